/*
 * One control connection on its worker: socket, Noise, HTTP/2, requests. Private to ts2021*.c;
 * everything runs on the worker's thread.
 */
#ifndef COORD_TS2021_CONN_H
#define COORD_TS2021_CONN_H

#include <event2/event_struct.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/worker.h"
#include "coord/h2.h"
#include "coord/noise.h"
#include "coord/ts2021.h"

#define TS2021_MAGIC		0x75202110u
#define TS2021_CONN_MAGIC	0x75202111u
#define TS2021_WHEEL		32	/* slots of a second: more than any wait for a check */
#define TS2021_SEALED_BYTES	(IO_STAGE_BYTES / 2)

struct ts2021 {
	uint32_t magic;
	const struct config *cfg;	/* borrowed */
	struct worker_group *group;	/* borrowed */
	struct noise_identity identity;
	struct ts2021_hooks hooks;
	struct h2_env *h2_env;		/* owned */
	struct buf early;		/* owned: early payload, the same for all */
	struct shbuf *keepalive;	/* owned reference */
	struct ts2021_worker *workers;	/* owned: one per worker of the group */
};

TAILQ_HEAD(ts2021_conns, ts2021_conn);

/* What a worker has for its control connections. */
struct ts2021_worker {
	struct ts2021 *ctl;
	struct worker *w;
	struct noise_engine *noise;	/* owned */
	uint8_t *sealed;		/* owned: TS2021_SEALED_BYTES, valid within one callback */
	struct event tick;		/* every second while there are connections */
	struct worker_flush pump;	/* the next handshakes */
	struct worker_flush tell;	/* drained streams, behind the flushes of their connections */
	struct buf drained;		/* struct ts2021_stream each */
	struct ts2021_conns waiting;	/* for their handshake, oldest first */
	struct ts2021_conns wheel[TS2021_WHEEL];	/* by the second of their next check */
	int64_t ticked_s;		/* the wheel has been turned to here */
	unsigned n_waiting, n_conns;
	/* Time for reading requests, rationed: parsing may take milliseconds. Nodes that have a map do not
	 * wait behind those that join: each kind has its own. */
	struct ts2021_ration {
		unsigned n_deferred;	/* connections that read in a later turn, in order */
		int64_t read_us;	/* spent in this turn */
	} rations[2];			/* [is_known] */
	struct worker_flush turn_end;	/* begins the next ration */
};

struct ts2021_conn {
	uint32_t magic;
	uint16_t version;		/* of the handshake */
	bool is_open;			/* handshake done: on the wheel; else in waiting */
	bool is_writing;		/* the event is EV_WRITE: the socket is full */
	bool is_finishing;		/* GOAWAY was sent because it was idle */
	bool has_asked;			/* a request arrived */
	bool is_known;			/* was sent a map */
	bool is_deferred;		/* waits in the worker's next turns to read */
	uint8_t wheel_slot;
	uint16_t n_carry;
	uint8_t *carry;			/* owned, or NULL: initiation, then incomplete record */
	struct ts2021_worker *tw;	/* borrowed */
	struct io *io;			/* owned; NULL: closed */
	struct h2 *h2;			/* owned; NULL until the handshake */
	struct noise_half rx, tx;
	struct machine_key machine;
	struct conn_ref ref;
	struct event ev;
	struct worker_flush flush;	/* sends at the end of the turn */
	struct worker_flush again;	/* reads or sends on in the next turn */
	struct worker_limbo limbo;
	TAILQ_ENTRY(ts2021_conn) link;	/* in waiting or wheel */
	unsigned keepalive_ms;		/* its own interval: not all at once */
	int64_t born_ms, idle_ms;	/* begun; last without a stream since */
	int64_t out_ms;			/* the socket took something */
	uint64_t out_bytes;		/* io_bytes_out then */
	int64_t owed_ms;		/* since then an acknowledgement is due; 0: none */
};

/* io is taken; hello is copied. It waits in tw->waiting. */
struct ts2021_conn *ts2021_conn_new(struct ts2021_worker *tw, struct io *io,
	const uint8_t hello[NOISE_HELLO_BYTES]);
/* The handshake of one taken out of tw->waiting: opens or closes it. */
void ts2021_conn_open(struct ts2021_conn *c);
/* It is a node's that gets a map. */
void ts2021_conn_known(struct ts2021_conn *c);
/* Ends it with all its streams; it is freed at the end of the turn. Once. */
void ts2021_conn_close(struct ts2021_conn *c, const char *why);
/* Deadlines, stalls and keep-alives. Returns when to look again (mono ms), or -1: it has been
 * closed. */
int64_t ts2021_conn_check(struct ts2021_conn *c, int64_t now_ms);
/* Puts an open one on the wheel (it is on none). */
void ts2021_conn_wheel(struct ts2021_conn *c, int64_t due_ms);

/* Answers, on the worker. References are taken also when there is no such stream any more. */
void ts2021_conn_reply(struct ts2021_conn *c, int32_t stream, const struct h2_answer *a);
void ts2021_conn_map_send(struct ts2021_conn *c, int32_t stream, struct h2_part *part);
void ts2021_conn_stream_end(struct ts2021_conn *c, int32_t stream);

/* h2's hooks (arg: the connection) and the requests behind them: ts2021_request.c. */
void ts2021_on_request(void *arg, struct h2_stream *s);
void ts2021_on_closed(void *arg, struct h2_stream *s);

/* h2_note.kind and .flags */
enum { TS2021_OTHER, TS2021_REGISTER, TS2021_MAP, TS2021_SSH };
enum {
	TS2021_AWAITS = 1,	/* a hook has taken it, and its answer is not complete */
	TS2021_UNDER_WAY = 2	/* a map message is queued: on_drained is due */
};

#endif
