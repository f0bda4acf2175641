/*
 * HTTP/2 server inside Noise, by nghttp2: bytes in, bytes out, whole requests as callbacks. No
 * sockets, no clock, no threads. It knows nothing of Tailscale: limits, requests, answers, and
 * answers that go on (a queue of shared bytes per stream, which are copied once, into the caller's
 * buffer).
 *
 * An idle session keeps 28 KiB, of which about 14 are ever touched: header tables are of size 0, closed
 * streams are forgotten, bodies and queues own memory only while they hold something, and nghttp2's buffer for
 * frames has pages of its own.
 */
#ifndef COORD_H2_H
#define COORD_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "coord/h2_queue.h"

#define H2_OUT_MIN_BYTES	(17u << 10)	/* least room that h2_send can go on with */

struct h2;

/* What the owner keeps with a stream: zeroed at first, never read by h2. */
struct h2_note {
	uint8_t kind;
	uint8_t flags;
	int64_t at_ms, due_ms;
	uint64_t seen_bytes;
};

struct h2_stream {
	uint32_t magic;
	int32_t id;
	TAILQ_ENTRY(h2_stream) link;	/* in h2_streams */
	struct h2_note note;
	int64_t born_ms;		/* h2_recv's clock */
	uint64_t sent_bytes;		/* of the answer's body, into h2_send's buffer */
	char method[16];		/* valid in on_request */
	char *path;			/* owned; valid in on_request, never NULL there */
	struct buf body;		/* valid in on_request */
	bool is_requested;		/* the whole request has been read */
	bool is_answered;		/* the answer's head has been submitted */
	/* private */
	bool _is_last, _is_waiting;
	int _refusal;			/* status of a request that we do not want, or 0 */
	uint32_t _head_bytes;
	struct h2_queue _out;		/* what is to be sent */
};

TAILQ_HEAD(h2_streams, h2_stream);

struct h2_limits {
	uint32_t streams_max;		/* open at a time */
	size_t body_bytes;		/* of a request; twice as much of all in a session */
	size_t bodies_bytes;		/* of the requests of all sessions, but for a little of each */
};

/* arg is h2_new's. Neither may free the h2. */
struct h2_hooks {
	/* A request is there; answer it now or later. */
	void (*on_request)(void *arg, struct h2_stream *s);
	/* The stream is about to be freed, whatever the reason (also by h2_free). */
	void (*on_closed)(void *arg, struct h2_stream *s);
};

/* Settings and callbacks of all sessions; immutable, any thread. */
struct h2_env;
struct h2_env *h2_env_new(const struct h2_limits *limits, const struct h2_hooks *hooks) MUST_USE;
void h2_env_free(struct h2_env *env);		/* after its sessions; NULL is fine */

/* env is borrowed. Our SETTINGS are the first thing that h2_send gives. Never NULL. */
struct h2 *h2_new(const struct h2_env *env, void *arg) MUST_USE;
void h2_free(struct h2 *h);			/* NULL is fine */

/* What the client sent. ERR_PROTO, ERR_LIMIT (a flood): only h2_free is allowed then. Lesser faults
 * are answered by h2_send, with GOAWAY and h2_is_done behind it if need be. */
enum err h2_recv(struct h2 *h, const uint8_t *p, size_t n, int64_t now_ms) MUST_USE;

/* Buffer of the caller. */
struct h2_out {
	uint8_t *p;
	size_t cap, len;
};
/* Appends what is to be sent. ERR_AGAIN: there is more than fits (leave at least H2_OUT_MIN_BYTES);
 * ERR_PROTO: close. */
enum err h2_send(struct h2 *h, struct h2_out *out) MUST_USE;
bool h2_wants_send(const struct h2 *h);
/* The client's preface and SETTINGS have arrived. */
bool h2_is_met(const struct h2 *h);
/* Nothing will come or go any more: close. */
bool h2_is_done(const struct h2 *h);
/* Says that no new requests are taken; those under way are finished. */
void h2_finish(struct h2 *h);

/* Streams that are open, oldest first. */
struct h2_streams *h2_streams(struct h2 *h);
/* The open stream of this number, or NULL. */
struct h2_stream *h2_find(struct h2 *h, int32_t id);

struct h2_answer {
	int status;
	const char *content_type;	/* NULL: none */
	int retry_after_s;		/* 0: none */
	struct shbuf *body;		/* taken; NULL: none */
};
/* A whole answer; one per stream (a second one is dropped). */
void h2_answer(struct h2 *h, struct h2_stream *s, const struct h2_answer *a);
/* Part of an answer that goes on: the first call sends a 200 head. prefix (n_prefix <= 8 bytes,
 * copied) goes in front of the segments; all references are taken. is_last ends the stream behind
 * it. */
struct h2_part {
	uint8_t prefix[8];
	size_t n_prefix;
	struct shbuf **segs;
	unsigned n;
	bool is_last;
};
void h2_push(struct h2 *h, struct h2_stream *s, const struct h2_part *part);
/* Nothing is queued: all of what was pushed has been copied out. */
bool h2_is_drained(const struct h2_stream *s);
/* Breaks the stream off (RST_STREAM). */
void h2_reset(struct h2 *h, struct h2_stream *s);

#endif
