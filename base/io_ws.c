/*
 * WebSocket frames between io_read/io_write and the stream below. A frame of ours is one TLS record, so
 * that framing costs a few bytes and no record more.
 */
#include <openssl/ssl.h>
#include <string.h>

#include "base/io_priv.h"
#include "base/obj.h"
#include "base/wire.h"
#include "base/ws.h"

/* Payload of one frame of ours: with its header a full record. */
#define FRAME_BYTES		(IO_RECORD_BYTES - 4)
/* Header and what TLS adds, per frame. */
#define FRAME_OVERHEAD		80u
/* Answers to pings wait behind so many bytes at most; then they are left out. */
#define PENDING_MAX_BYTES	(64u << 10)
/* Frames without a byte of data, read in one go: one who sends more of them wants to keep us busy. */
#define NOTHING_MAX_BYTES	(128u << 10)

struct io_ws {
	struct io_run raw;	/* read behind the request: frames */
	bool is_over;		/* the client's close frame came, or nonsense */
	bool has_closed;	/* our close frame was made */
	enum err why;		/* is_over: what io_read answers from here on */
	struct ws_reader reader;
};

void
io_ws_start(struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(io->ws == NULL && (!io_has_tls(io) || io->is_open));
	io->ws = obj_alloc(sizeof *io->ws);
	io->ws->raw = io->front;
	io->front = (struct io_run){ .p = NULL };
}

bool
io_is_ws(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->ws != NULL;
}

void
io_ws_free(struct io_ws *ws)
{
	if (ws == NULL)
		return;
	io_run_clear(&ws->raw);
	free(ws);
}

size_t
io_ws_waiting(const struct io *io)
{
	return io->ws == NULL ? 0 : io_run_len(&io->ws->raw);
}

void
io_ws_unread(struct io *io, const void *p, size_t n)
{
	ASSERT(io_run_len(&io->ws->raw) == 0);
	io_run_append(&io->ws->raw, p, n);
}

size_t
io_ws_overhead(size_t n)
{
	return (n / FRAME_BYTES + 2) * FRAME_OVERHEAD;
}

/* --- writing ---------------------------------------------------------------------------------- */

enum err
io_ws_put(struct io *io, const void *p, size_t n)
{
	uint8_t frame[WS_OUT_HDR_MAX_BYTES + FRAME_BYTES];
	const uint8_t *at = p;
	enum err rc = ERR_OK;

	while (n > 0 && rc == ERR_OK) {
		size_t k = n < FRAME_BYTES ? n : FRAME_BYTES;
		size_t n_hdr = ws_hdr_put(frame, WS_BINARY, k);

		memcpy(frame + n_hdr, at, k);
		rc = io_stage_put(io, frame, n_hdr + k);
		at += k;
		n -= k;
	}
	return rc;
}

/* A small frame of our own from inside a read: behind what is staged or pending. It is left out when
 * too much is. */
static void
put_control(struct io *io, enum ws_opcode opcode, const uint8_t *p, size_t n)
{
	uint8_t frame[WS_OUT_HDR_MAX_BYTES + WS_CONTROL_MAX_BYTES];
	struct io_stage *s = io->w->stage;
	size_t n_frame = ws_hdr_put(frame, opcode, n);

	if (io->is_broken || io_run_len(&io->out) > PENDING_MAX_BYTES)
		return;
	memcpy(frame + n_frame, p, n);
	n_frame += n;
	if (s->owner == io) {
		if (s->len < IO_STAGE_BYTES && io_stage_put(io, frame, n_frame) != ERR_OK)
			io_break(io);
		return;
	}
	static_assert(sizeof frame <= IO_SMALL_BYTES, "a small frame");
	if (!io_has_tls(io))
		io_run_append(&io->out, frame, n_frame);
	else if (io_tls_seal(io, frame, n_frame) != ERR_OK)
		return;
	(void)io_send_out(io);		/* a failure shows in the next call */
}

static void
put_close(struct io *io, enum ws_close code)
{
	uint8_t payload[2];

	if (io->ws->has_closed)
		return;
	io->ws->has_closed = true;
	wire_put_u16be(payload, (uint16_t)code);
	put_control(io, WS_CLOSE, payload, sizeof payload);
}

void
io_ws_goodbye(struct io *io)
{
	put_close(io, WS_CLOSE_NORMAL);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Decodes what was read; the stream may end with it. */
static size_t
decode(struct io *io, uint8_t *p, size_t n)
{
	struct io_ws *ws = io->ws;
	size_t n_data;
	enum err rc = ws_read(&ws->reader, p, n, &n_data);

	if (ws->reader.has_ping) {
		ws->reader.has_ping = false;
		put_control(io, WS_PONG, ws->reader.ping, ws->reader.n_ping);
	}
	if (rc != ERR_OK) {
		ws->is_over = true;
		ws->why = rc;
		put_close(io, rc == ERR_CLOSED ? WS_CLOSE_NORMAL : WS_CLOSE_PROTOCOL);
	}
	return n_data;
}

enum err
io_ws_read(struct io *io, void *p, size_t cap, size_t *got)
{
	struct io_ws *ws = io->ws;
	size_t n, n_data = 0, n_raw = 0;

	while (n_data == 0) {
		enum err rc = ERR_OK;

		if (ws->is_over)
			return ws->why;
		n = io_run_take(&ws->raw, p, cap);
		if (n == 0)
			rc = io_read_raw(io, p, cap, &n);
		if (rc != ERR_OK)
			return rc;
		n_raw += n;
		if (n_raw > NOTHING_MAX_BYTES)
			return ERR_PROTO;
		n_data = decode(io, p, n);
	}
	*got = n_data;
	return ERR_OK;
}
