/*
 * libmicrohttpd without threads: its epoll descriptor is one event of the coordinator's loop, so handlers touch
 * state directly and take about a millisecond. Connections come from the door (a socketpair per connection)
 * and from the Unix socket of the fairlead command. Router, bodies, answers, suspension.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include <jansson.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/net.h"
#include "base/worker.h"

struct http;
struct coord;
struct event_base;

/* Coordinator thread, before its loop runs. cfg and coord are borrowed. ERR_IO with *why. */
enum err http_new(struct event_base *base, const struct config *cfg, struct coord *coord,
	struct http **out, struct err_text *why) MUST_USE;
void http_free(struct http *h);			/* ends every connection; NULL is fine */

/* The Unix socket of the fairlead command (0660, owner root/own user; peer credentials are the
 * authentication). A stale socket file is replaced; a live one is ERR_EXISTS with *why. */
enum err http_listen_unix(struct http *h, const char *path, struct err_text *why) MUST_USE;

/* Takes fd, the plain side of a connection whose real peer is given. pass: the door's name for it
 * (generation 0: none). Coordinator thread. */
void http_add_take(struct http *h, int fd, const struct net_addr *peer, bool is_tls,
	struct conn_ref pass);

/* A request on a passed connection asks for an upgrade on this path: the connection goes back to the door.
 * head: the request head as bytes, rebuilt; rest: bytes behind it. */
typedef void http_upgrade_fn(void *arg, struct conn_ref pass, const struct buf *head,
	const struct buf *rest);
void http_on_upgrade(struct http *h, const char *path, http_upgrade_fn *fn, void *arg);

#endif
