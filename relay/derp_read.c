/*
 * The packet path. A turn reads up to READ_TURN_BYTES of one client into the worker's scratch
 * buffer and parses there. A packet frame for a client becomes one from a client in place, so
 * consecutive packets for one receiver are one run of ready bytes, looked up once and handed
 * over once.
 *
 * Frames nobody wants are skipped as they come, however long they say they are; only a frame
 * that is wanted and within its limit is ever kept until the rest comes.
 */
#include "relay/derp_read.h"

#include <string.h>

#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_frame.h"

#define READ_TURN_BYTES		(64u << 10)
/* Longer packets that look like disco go the way of data: the lane ahead is for short ones. */
#define DISCO_LANE_MAX_BYTES	2048u
/* "Not here" answers of one connection: 3 at once, then one a second (derper's numbers). */
#define GONE_EVERY_MS		1000
#define GONE_BURST		3

static_assert(READ_TURN_BYTES + DERP_FRAME_MAX_BYTES / 2 <= WORKER_SCRATCH_BYTES, "room to read");

/* One turn of one client. */
struct turn {
	struct derp_conn *c;
	uint8_t *p;		/* n bytes, parsed up to at */
	size_t n, at;
	bool is_noted;		/* as the active one of its key */
	bool is_put_off;	/* the greeting has to wait for the next turn */
	bool has_dst, is_dst_known;
	uint8_t dst_key[KEY_BYTES];
	struct conn_ref dst;
	uint8_t *run;		/* ready frames for dst, run_n bytes */
	size_t run_n;
	unsigned run_packets;
};

/* --- packets ---------------------------------------------------------------------------------- */

/* Hands the collected run over. */
static void
turn_end_run(struct turn *t)
{
	if (t->run_n == 0)
		return;
	derp_worker_send(t->c->dw, &(struct derp_worker_run){
		.to = t->dst, .lane = DERP_LANE_DATA, .n_packets = t->run_packets,
		.frames = t->run, .n = t->run_n,
	});
	t->run_n = 0;
	t->run_packets = 0;
}

/* Finds the receiver; the answer holds for the rest of the turn or until another one is asked
 * for. */
static void
turn_find_dst(struct turn *t, const uint8_t key[KEY_BYTES])
{
	if (t->has_dst && memcmp(t->dst_key, key, KEY_BYTES) == 0)
		return;
	turn_end_run(t);
	if (t->c->state == DERP_CONN_CLOSED)
		return;
	memcpy(t->dst_key, key, KEY_BYTES);
	t->has_dst = true;
	t->is_dst_known = derp_route_find(t->c->dw->shared->routes, key, &t->dst);
	if (t->is_dst_known && !conn_ref_eq(t->dst, t->c->ref))
		derp_peers_add(&t->c->peers, t->dst);
}

static void
turn_unknown_dst(struct turn *t, bool is_disco)
{
	struct derp_conn *c = t->c;
	int64_t now_ms = c->dw->w->now_ms;
	uint8_t frame[DERP_FRAME_GONE_BYTES];

	c->dw->counts.dropped_unknown++;
	if (c->gone_ms < now_ms)
		c->gone_ms = now_ms;
	if (!is_disco || c->gone_ms - now_ms > (GONE_BURST - 1) * GONE_EVERY_MS)
		return;
	c->gone_ms += GONE_EVERY_MS;
	c->dw->counts.gone_not_here++;
	derp_conn_put_control(c, frame, derp_frame_put_gone(frame, t->dst_key, DERP_FRAME_GONE_NOT_HERE));
}

static void
turn_send_packet(struct turn *t, uint8_t *frame, size_t n)
{
	struct derp_conn *c = t->c;
	const uint8_t *packet = frame + DERP_FRAME_HDR_BYTES + KEY_BYTES;
	size_t n_packet = n - DERP_FRAME_HDR_BYTES - KEY_BYTES;
	bool is_disco = derp_frame_is_disco(packet, n_packet);

	c->dw->counts.packets_in++;
	c->dw->counts.bytes_in += (int64_t)n_packet;
	turn_find_dst(t, frame + DERP_FRAME_HDR_BYTES);
	if (c->state == DERP_CONN_CLOSED)
		return;
	if (!t->is_dst_known) {
		turn_unknown_dst(t, is_disco);
		return;
	}
	derp_frame_readdress(frame, c->key.b);
	if (is_disco && n <= DISCO_LANE_MAX_BYTES) {
		derp_worker_send(c->dw, &(struct derp_worker_run){
			.to = t->dst, .lane = DERP_LANE_CONTROL, .n_packets = 1, .frames = frame, .n = n,
		});
		return;
	}
	if (t->run_n > 0 && t->run + t->run_n != frame)
		turn_end_run(t);
	if (t->run_n == 0)
		t->run = frame;
	t->run_n += n;
	t->run_packets++;
}

/* --- other frames ----------------------------------------------------------------------------- */

static void
turn_ping(struct derp_conn *c, const uint8_t *data)
{
	uint8_t frame[DERP_FRAME_PONG_BYTES];

	c->dw->counts.pings++;
	if (c->is_pong_waiting)
		return;		/* who pings faster than it reads gets fewer answers */
	c->is_pong_waiting = true;
	c->dw->counts.pongs++;
	derp_conn_put_control(c, frame, derp_frame_put_pong(frame, data));
}

static void
turn_note_preferred(struct derp_conn *c, bool is_home)
{
	if (is_home != c->is_home)
		metric_add(METRIC_DERP_HOME, is_home ? 1 : -1);
	c->is_home = is_home;
}

/* One whole frame whose type and length were checked. */
static enum err
turn_frame(struct turn *t, const struct derp_frame_hdr *h)
{
	uint8_t *payload = t->p + t->at + DERP_FRAME_HDR_BYTES;
	struct derp_conn *c = t->c;

	switch (h->type) {
	case DERP_FRAME_CLIENT_INFO:
		return derp_conn_hello(c, payload, h->len_bytes);
	case DERP_FRAME_SEND_PACKET:
		turn_send_packet(t, t->p + t->at, DERP_FRAME_HDR_BYTES + h->len_bytes);
		return ERR_OK;
	case DERP_FRAME_NOTE_PREFERRED:
		turn_note_preferred(c, payload[0] != 0);
		return ERR_OK;
	case DERP_FRAME_PING:
		turn_ping(c, payload);
		return ERR_OK;
	default:
		return ERR_PROTO;
	}
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void
turn_skip(struct turn *t)
{
	struct derp_conn *c = t->c;
	size_t left = t->n - t->at, n = c->skip_bytes < left ? c->skip_bytes : left;

	c->skip_bytes -= (uint32_t)n;
	t->at += n;
}

/* Judges the frame that begins at t->at by its header. ERR_AGAIN: the header is not all there;
 * ERR_UNSUPPORTED: it is being skipped. */
static enum err
turn_header(struct turn *t, struct derp_frame_hdr *h)
{
	struct derp_conn *c = t->c;
	enum err rc = derp_frame_parse(t->p + t->at, t->n - t->at, h);

	if (rc != ERR_OK)
		return rc;
	if (c->state == DERP_CONN_HELLO)
		return derp_frame_check_hello(h);
	if (!t->is_noted) {
		derp_route_note(c->dw->shared->routes, c->entry, c->ref);
		t->is_noted = true;
	}
	rc = derp_frame_check_client(h);
	if (rc == ERR_UNSUPPORTED) {
		if (h->type != DERP_FRAME_PONG)
			c->dw->counts.unknown_frames++;
		c->skip_bytes = h->len_bytes;
		t->at += DERP_FRAME_HDR_BYTES;
	}
	return rc;
}

/* All whole frames. ERR_OK: what is left is the start of one; else close. c may be closed. */
static enum err
turn_frames(struct turn *t)
{
	struct derp_frame_hdr h;
	enum err rc;

	while (t->at < t->n && t->c->state != DERP_CONN_CLOSED) {
		if (t->c->skip_bytes > 0) {
			turn_skip(t);
			continue;
		}
		rc = turn_header(t, &h);
		if (rc == ERR_UNSUPPORTED)
			continue;
		if (rc == ERR_AGAIN)
			break;
		if (rc != ERR_OK)
			return rc;
		if (t->n - t->at - DERP_FRAME_HDR_BYTES < h.len_bytes)
			break;
		rc = turn_frame(t, &h);
		if (rc == ERR_AGAIN) {
			t->is_put_off = true;
			break;
		}
		if (rc != ERR_OK)
			return rc;
		t->at += DERP_FRAME_HDR_BYTES + h.len_bytes;
	}
	if (t->c->state != DERP_CONN_CLOSED)
		turn_end_run(t);
	return ERR_OK;
}

/* How long the frame is that c carries the start of; its header alone if even that is not known. */
static size_t
carry_wants(const struct derp_conn *c)
{
	struct derp_frame_hdr h;

	if (derp_frame_parse(c->carry.p, c->carry.len, &h) != ERR_OK)
		return DERP_FRAME_HDR_BYTES;
	return DERP_FRAME_HDR_BYTES + (size_t)h.len_bytes;	/* was checked when it was kept */
}

/* Reads behind the place of what is carried, so that it need not be moved while the frame is still
 * incomplete (one may send a byte at a time). */
static enum err
turn_read(struct turn *t)
{
	struct derp_conn *c = t->c;
	size_t end, got;
	enum err rc = ERR_OK;

	t->n = c->carry.len;
	end = t->n + READ_TURN_BYTES;
	if (end > WORKER_SCRATCH_BYTES)
		end = WORKER_SCRATCH_BYTES;
	while (t->n < end && (rc = io_read(c->io, t->p + t->n, end - t->n, &got)) == ERR_OK)
		t->n += got;
	return rc;
}

/* Keeps what was not parsed; owns memory only if there is some. */
static void
turn_keep(struct turn *t)
{
	struct buf *carry = &t->c->carry;

	if (t->at == t->n) {
		buf_fini(carry);
		return;
	}
	buf_clear(carry);
	buf_append(carry, t->p + t->at, t->n - t->at);
}

void
derp_read_run(struct derp_conn *c)
{
	struct turn t = { .c = c, .p = c->dw->w->scratch };
	size_t carried = c->carry.len;
	enum err rc = turn_read(&t), parsed;

	derp_worker_touch(c->dw);
	if (carried > 0 && t.n < carry_wants(c)) {
		buf_append(&c->carry, t.p + carried, t.n - carried);
	} else {
		if (carried > 0)
			memcpy(t.p, c->carry.p, carried);
		parsed = turn_frames(&t);
		if (c->state == DERP_CONN_CLOSED)
			return;
		if (parsed != ERR_OK) {
			derp_conn_close(c, err_str(parsed));
			return;
		}
		turn_keep(&t);
	}
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		derp_conn_close(c, err_str(rc));
		return;
	}
	derp_conn_check_pending(c);
	if (t.is_put_off || (rc == ERR_OK && io_has_more(c->io)))
		worker_again(c->dw->w, &c->again);
}
