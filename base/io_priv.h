/*
 * Private to base/io, base/io_tls, base/io_record and base/io_ws: what a struct io holds.
 *
 * OpenSSL sees one BIO of ours for both directions. It reads the socket directly (after bytes that
 * the door had peeked at), or, as long as our own records may come after the handshake, from the
 * worker's feed, and of that no byte more than the handshake has. It writes
 *   - into the worker's staging buffer while this io owns it (io_write until io_flush),
 *   - else behind what is pending (handshake, alerts, key updates), sent at the end of the call.
 * Neither ever blocks a write, so SSL_write seals whole or fails for good: no retry state exists.
 *
 * After a TLS 1.3 handshake the SSL is freed, and base/io_record does the rest: records are read into
 * the feed, opened from there into the caller's buffer, and sealed from the caller's into the stage.
 *
 * An idle connection owns nothing but its struct io and SSL, or keys.
 */
#ifndef BASE_IO_PRIV_H
#define BASE_IO_PRIV_H

#include <assert.h>

#include "base/io.h"
#include "base/io_run.h"
#include "base/tls_record.h"
#include "base/worker.h"

#define IO_MAGIC		0x10c0ffe1u
#define IO_WRITE_MAX		(IO_STAGE_BYTES / 2)
/* Room behind a full stage for what TLS itself has to say; one who makes us say more without ever
 * reading it is closed. */
#define IO_TLS_SLACK_BYTES	(64u << 10)
/* One call asks the socket for no more after so many bytes: a client may send records for ever that
 * hold nothing for us (key updates), and OpenSSL goes on as long as there are any. */
#define IO_TLS_FEED_BYTES	(64u << 10)

/* What was read at once of one connection and is not opened yet. Who reads next puts the rest of it
 * into the owner's raw, so that it is mostly less than a record that is kept. */
struct io_feed {
	struct io *owner;	/* borrowed; NULL: empty */
	size_t at, end;
	uint8_t p[(64u << 10) + TLS_RECORD_MAX_BYTES];
};

struct io_stage {
	struct io *owner;	/* borrowed; NULL: empty */
	size_t len;
	struct tls_record_engine *engine;	/* owned; NULL: none was needed yet */
	struct io_feed feed;
	uint8_t p[IO_STAGE_BYTES + IO_TLS_SLACK_BYTES];
};

struct io {
	uint32_t magic;
	int fd;
	struct worker *w;
	SSL *ssl;		/* NULL: plain, or records of our own */
	struct tls_record *rec;	/* owned; NULL: plain, or OpenSSL's records */
	struct io_ws *ws;	/* NULL: no WebSocket frames; owned */
	struct io_guest *guest;	/* NULL: known, or not counted */
	struct io_run front;	/* put back: what io_read gives first */
	struct io_run raw;	/* what TLS reads first: put back before it began, or rest of the feed */
	struct io_run out;	/* sealed, not taken by the socket yet */
	uint64_t bytes_in, bytes_out;
	struct net_addr peer;
	uint32_t dry_turn;	/* the turn in which a read emptied the socket; 0: none */
	uint32_t fed_bytes;	/* that the socket gave to TLS in this call */
	bool is_open : 1;	/* TLS handshake done */
	bool is_eof : 1;	/* the peer ended its direction */
	bool is_broken : 1;	/* the socket failed, or TLS did: nothing more is said */
	bool is_drained : 1;	/* OpenSSL has no whole record any more */
	bool is_unsettled : 1;	/* whose records come after the handshake is decided at the first use */
};

static_assert(sizeof(struct io) <= 144, "an idle connection must stay small");

/* The socket or TLS failed: nothing more is said, what was not sent is dropped. */
void io_break(struct io *io);
/* One recv: ERR_OK with at least a byte, ERR_AGAIN, ERR_CLOSED, ERR_IO. */
enum err io_recv(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
/* Sends what is pending: ERR_OK none is left, ERR_AGAIN, ERR_CLOSED, ERR_IO. A failure breaks io
 * and shows again in the next call, so this one may be ignored. */
enum err io_send_out(struct io *io);

/* io_read below what was put back and below WebSocket frames. */
enum err io_read_raw(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
/* Puts n > 0 bytes into the stage, which io owns and which has room. ERR_IO: broken. */
enum err io_stage_put(struct io *io, const void *p, size_t n) MUST_USE;

/* io_read of a connection with WebSocket frames. */
enum err io_ws_read(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
/* Frames n bytes into the stage; as io_stage_put. */
enum err io_ws_put(struct io *io, const void *p, size_t n) MUST_USE;
/* What framing n bytes may add, with what TLS adds to more records. */
size_t io_ws_overhead(size_t n);
/* Bytes that were read behind the request and are not decoded yet. */
size_t io_ws_waiting(const struct io *io);
/* The close frame, into the stage. */
void io_ws_goodbye(struct io *io);
void io_ws_free(struct io_ws *ws);		/* NULL is fine */

/* Puts n > 0 bytes back below WebSocket frames; not while there are others. */
void io_ws_unread(struct io *io, const void *p, size_t n);

/* TLS, OpenSSL's or ours. */
static inline bool
io_has_tls(const struct io *io)
{
	return io->ssl != NULL || io->rec != NULL;
}

/* io_read of a connection that speaks TLS. */
enum err io_tls_read(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
/* Seals n > 0 bytes into the stage if io owns it, where there is room; else at most
 * IO_SMALL_BYTES behind what is pending. ERR_IO: broken. */
#define IO_SMALL_BYTES	256u
enum err io_tls_seal(struct io *io, const void *p, size_t n) MUST_USE;
/* Puts what TLS says of its own into the stage if io owns it, else behind what is pending. false: no
 * room, or broken. */
bool io_tls_say(struct io *io, const void *p, size_t n) MUST_USE;
/* Another io_tls_read may give bytes without the socket. */
bool io_tls_has_more(const struct io *io);
/* close_notify behind what is pending. */
void io_tls_goodbye(struct io *io);

/* Bytes of io in the feed, at *p. */
size_t io_feed_peek(struct io *io, uint8_t **p);
/* The first n of them are done with. */
void io_feed_drop(struct io *io, size_t n);
/* At least a byte more of them; of the socket's wish at most. ERR_AGAIN, ERR_CLOSED, ERR_IO. */
enum err io_feed_more(struct io *io, size_t wish) MUST_USE;
/* Nobody needs the feed for io any more: what is there goes to raw. */
void io_feed_leave(struct io *io);

/* The same as of io_tls, with records of our own. */
enum err io_record_read(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
enum err io_record_seal(struct io *io, const void *p, size_t n) MUST_USE;
bool io_record_has_more(const struct io *io);
void io_record_goodbye(struct io *io);

#endif
