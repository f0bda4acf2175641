/*
 * The front door: listening sockets, TLS or plain by the first byte, one request head, then a
 * route: an answer made here, an upgrade that takes the connection away (relay, control), or the
 * passage to libmicrohttpd (door_pass) for everything else.
 *
 * One listening socket per address and port, polled by every worker; who accepts gives the
 * descriptor to the worker with the fewest connections. Deadlines, sizes, and half-open connections
 * per source address are bounded by config.limits. Behind trusted proxies the peer address comes
 * from PROXY headers or X-Forwarded-For.
 */
#ifndef SERVER_DOOR_H
#define SERVER_DOOR_H

#include "base/buf.h"
#include "base/config.h"
#include "base/io.h"
#include "base/worker.h"
#include "server/door_http.h"

struct door;
struct tls;

/* Answers on the worker's thread: appends a whole HTTP/1.1 response (head and body) to out with
 * door_answer; the connection is kept alive when both sides can and the response has no
 * "Connection: close". */
typedef void door_answer_fn(void *arg, const struct io *io, const struct door_head *head,
	struct buf *out);
/* Takes the connection (unread bytes behind the head are in it already) and answers the upgrade
 * itself. On the worker's thread. ERR_OK: io is taken, and no longer counted: the taker calls
 * worker_conns_add for as long as it has it. Otherwise io is still the door's, which answers 400
 * (ERR_BUSY: 503) with *why and closes. head is valid during the call. */
typedef enum err door_upgrade_fn(void *arg, struct io *io, const struct door_head *head,
	struct err_text *why);
/* A plain stream for libmicrohttpd: fd is taken. Called on any worker's thread. peer: without
 * X-Forwarded-For. If fd is closed before a byte was written to it, the client gets a 503. */
typedef void door_pass_fn(void *arg, int fd, const struct net_addr *peer, bool is_tls,
	struct conn_ref pass);

/* Makes the door; no socket yet. tls is borrowed. Main thread. */
enum err door_new(const struct config *cfg, struct worker_group *g, struct tls *tls,
	struct door **out, struct err_text *why) MUST_USE;
/* Before the workers start: path exactly as given (copied), or, if it ends with a slash, everything
 * below it; method "GET" (HEAD is answered too) or "POST", static. Requests with a body get 413. */
void door_on_answer(struct door *d, const char *method, const char *path, door_answer_fn *fn,
	void *arg);
/* token: what the Upgrade field must list, e.g. "DERP"; static. A request for the path without it
 * gets a door_on_answer route of the same path if there is one, else 426. */
void door_on_upgrade(struct door *d, const char *path, const char *token, door_upgrade_fn *fn,
	void *arg);
/* The same for a WebSocket (RFC 6455) with this subprotocol; static. fn gets a GET request that lists
 * both, nothing else of it is checked. */
void door_on_websocket(struct door *d, const char *path, const char *protocol, door_upgrade_fn *fn,
	void *arg);
void door_on_pass(struct door *d, door_pass_fn *fn, void *arg);

/* Binds everything of config.listen_https and listen_http; "addr:0" takes a free port (see
 * door_ports). ERR_IO with *why: "port 443 on 0.0.0.0 is in use by another program: …"; then only
 * door_free. Main thread, before workers start. */
enum err door_listen(struct door *d, struct err_text *why) MUST_USE;
/* true: what connects waits in the kernel's queue until false. Connections go on. Main thread. */
void door_pause(struct door *d, bool is_paused);
/* The listening sockets, at most max of them; borrowed. Returns how many. */
unsigned door_sockets(const struct door *d, int *out, unsigned max);
/* Ports in use, 0 when there is none: of the first TLS and plain listener. */
void door_ports(const struct door *d, uint16_t *https, uint16_t *http);
/* No more accepts. Connections end with worker_group_stop. Main thread. */
void door_close(struct door *d);
/* After the workers stopped (or if they never ran), before worker_group_free; NULL is fine. */
void door_free(struct door *d);

/*
 * A connection that was passed to libmicrohttpd turned out to ask for an upgrade (kept-alive
 * connection of a reverse proxy): whatever was written to the passage so far is sent to the client,
 * then the upgrade route takes the connection, and writes the 101: none may be in the passage. Call
 * it before closing fd. head_bytes: the request as bytes, method to empty line; rest: what followed
 * it. Both are copied. A client that sent more, which is in the passage unread, is cut off. The same
 * for a path of door_on_answer that came after others: the door answers it. Any thread.
 */
void door_pass_upgrade(struct door *d, struct conn_ref pass, const struct buf *head_bytes,
	const struct buf *rest);

/* Appends a response: status line, Date, Content-Length, Content-Type (NULL: none), Connection,
 * given extra field lines ("Name: value\r\n…", may be NULL), body (not for HEAD). */
void door_answer(struct buf *out, const struct door_head *head, int status, const char *type,
	const char *extra, const void *body, size_t n);

#endif
