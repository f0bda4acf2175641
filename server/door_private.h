/*
 * What the files of the door share: door (routes, life), door_route (what a request is for),
 * door_listen (sockets, accepting), door_conn (one connection until it is handed on), door_pass
 * (plain bytes to and from libmicrohttpd).
 *
 * Every struct but struct door belongs to one worker and is touched on its thread only.
 */
#ifndef SERVER_DOOR_PRIVATE_H
#define SERVER_DOOR_PRIVATE_H

#include <stdatomic.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "server/door.h"
#include "server/door_source.h"

#define DOOR_MAGIC		0x7d00f401u
#define DOOR_CONN_MAGIC		0x7d00f402u
#define DOOR_PASS_MAGIC		0x7d00f403u

#define DOOR_ROUTES_MAX		32
#define DOOR_LISTENERS_MAX	(2 * CONFIG_LIST_MAX)	/* listen_https and listen_http */

/* Handshake steps and further pipelined requests that one turn of the loop may run; a handshake's
 * signature costs 0.1-0.4 ms, during which no packet is relayed. The rest waits for later turns. */
#define DOOR_LATER_PER_TURN	4
/* A handshake whose turn comes when less than this part of head_ms is left is not begun: its client,
 * who waits 10 s for everything, would be gone when it is done, and in a storm all would. */
#define DOOR_LATE_PART		5

#define DOOR_IDLE_MS		60000	/* no request, or an answer that nobody reads */
#define DOOR_LINGER_MS		2000	/* after a refusal, until the client has closed */
#define DOOR_LINGER_BYTES	(256u << 10)
#define DOOR_PASS_IDLE_MS	900000	/* a passage without a byte either way */
#define DOOR_PASS_HALF_MS	60000	/* the same after the client's end of stream */
/* So many times half_open_per_source may one source have of connections that were served or handed on,
 * but on which nobody has proved yet to be a node of ours. */
#define DOOR_GUESTS_FACTOR	8
#define DOOR_PASS_BUF_BYTES	(64u << 10)	/* kept per direction when the other side is full */

struct door_conn;
struct door_pass;
struct door_worker;
struct event;

struct door_route {
	char *path;
	const char *method;		/* of an answer; NULL: an upgrade */
	const char *token;		/* of an upgrade */
	const char *protocol;		/* of a WebSocket; else NULL */
	door_answer_fn *answer;
	door_upgrade_fn *upgrade;
	void *arg;
};

struct door_listener {
	int fd;
	bool is_https;
	struct net_addr addr;
};

struct door {
	uint32_t magic;
	const struct config *cfg;	/* borrowed */
	struct worker_group *g;		/* borrowed */
	struct tls *tls;		/* borrowed */
	struct door_route routes[DOOR_ROUTES_MAX];
	unsigned n_routes;
	door_pass_fn *pass_fn;
	void *pass_arg;
	struct door_listener listeners[DOOR_LISTENERS_MAX];
	unsigned n_listeners;
	struct net_prefixes trusted;	/* config trusted_proxies */
	struct door_source *sources;
	struct door_source *guests;	/* connections beyond the door of peers that are not known */
	struct door_worker *workers[WORKER_MAX];
	_Atomic int64_t said_full_ms;	/* when door_say_full logged last */
	_Atomic int64_t accept_due_us;	/* limits.accepts_per_s: when the bucket is full again */
};

/* Something that goes on in a later turn, rationed. Embedded. */
struct door_later {
	TAILQ_ENTRY(door_later) _link;
	bool is_queued;
	bool is_begun;		/* before those that are not: what was spent on it shall not be in vain */
	void (*fn)(struct door_later *l);
};

/* Lists of connections with one deadline each: the first is always the next to expire. */
enum door_wait { DOOR_WAIT_HEAD, DOOR_WAIT_IDLE, DOOR_WAIT_LINGER, DOOR_WAIT_COUNT };

struct door_worker {
	struct door *d;
	struct worker *w;
	struct event *accepts[DOOR_LISTENERS_MAX];	/* one per listener */
	struct event *resume;				/* accepting again after a pause */
	struct event *tick;
	bool is_ticking, is_stopped;
	bool is_paused;					/* accepts nothing: door_pause */
	int64_t tick_ms;
	TAILQ_HEAD(, door_conn) conns[DOOR_WAIT_COUNT];
	int64_t wait_ms[DOOR_WAIT_COUNT];
	TAILQ_HEAD(, door_pass) passes[2];		/* [1]: the client has ended its stream */
	TAILQ_HEAD(, door_later) later;
	unsigned n_later;
	struct worker_flush again;			/* runs the later queue in the next turn */
};

/* --- door.c --- */

/* Does an answer made by door_answer end its connection, by its own fields? */
bool door_answer_closes(const struct buf *out);
/* Is it one of config.trusted_proxies? Any thread. */
bool door_is_trusted(const struct door *d, const struct net_ip *ip);
/* l->fn runs once, in a later turn, when its turn has come. */
void door_later_ask(struct door_worker *dw, struct door_later *l);
/* Before the object that holds l is freed. */
void door_later_cancel(struct door_worker *dw, struct door_later *l);
/* The deadline timer runs as long as there is anything to watch. */
void door_tick_start(struct door_worker *dw);
/* Counts a connection of this worker: +1 when it is assigned, -1 when the door lets go of it. */
void door_count(struct worker *w, int n);
/* One warning a minute about connections that cannot be taken. */
void door_say_full(struct door *d, const char *event, const char *why);

/* --- door_route.c --- */

enum door_do { DOOR_DO_UPGRADE, DOOR_DO_ANSWER, DOOR_DO_REFUSE, DOOR_DO_PASS };

/* What to do with the request, and by which route (NULL: pass). Refuse: the path is the route's, but
 * the method or the missing upgrade is not. */
enum door_do door_route_find(const struct door *d, const struct door_head *h,
	const struct door_route **out);
/* The peer of a request on a connection from *from: behind trusted proxies the right-most address of
 * X-Forwarded-For that is not one of them. */
struct net_addr door_route_peer(const struct door *d, const struct net_addr *from,
	const struct door_head *h);

/* --- door_guest.c --- */

/* Counts io under source until its peer is known or it ends; once. false: the source has too many. */
bool door_guest_begin(struct door *d, struct io *io, const struct net_ip *source) MUST_USE;

/* --- door_listen.c --- */

/* Accepts no more on this worker. */
void door_listen_stop(struct door_worker *dw);

/* --- door_conn.c --- */

/* Takes a fresh socket of this worker, counted by door_count. is_counted: in the table of half-open
 * connections under its peer's address. */
void door_conn_start(struct door_worker *dw, int fd, const struct net_addr *peer, bool is_counted);
/* Takes io back from a passage, with a request head and what follows in *in (taken): serves it. */
void door_conn_adopt(struct door_worker *dw, struct io *io, const struct net_addr *peer,
	struct buf *in);
/* Takes io back from a passage that ended. is_refused: nothing came back, the client gets a 503. */
void door_conn_finish(struct door_worker *dw, struct io *io, bool is_refused);
/* The deadline of c has passed. */
void door_conn_expire(struct door_conn *c);
int64_t door_conn_deadline_ms(const struct door_conn *c);
/* Closes it, from any of its callbacks too. */
void door_conn_free(struct door_conn *c);

#endif
