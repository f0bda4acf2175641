/*
 * libmicrohttpd without threads: its epoll descriptor is one event of the coordinator's loop, so handlers touch
 * state directly and take about a millisecond. Connections come from the door (a socketpair per connection)
 * and from the Unix socket of the fairlead command.
 *
 *   http       daemon, connections                  http_unix  the socket of the fairlead command
 *   http_run   a request from its head to its handler          http_back  connections that go back to the door
 *   http_req   one request as handlers see it, its answer        router     method and path to a handler: pure
 *   http_who   who asks, through proxies                         http_stream  answers without end
 *   auth       credentials and roles to scopes                   flapi_*    /api/fairlead/v1, one noun per file
 *   events     the stream of changes                             api_*      /api/v2, one noun per file
 *   assets     the console, embedded                             form, auth_text, scope: pure parsers
 *
 * A request is routed, and refused if need be, by its head; its handler runs when its body (at most
 * HTTP_BODY_MAX_BYTES; of somebody unknown, 16 KiB) is complete. The handler answers at once, or returns
 * without an answer: then the connection is suspended until one of the http_reply functions is called. A
 * client that leaves meanwhile is noticed only then; the request stays valid until it is answered.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include <jansson.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/net.h"
#include "base/worker.h"
#include "web/router.h"

#define HTTP_BODY_MAX_BYTES	(1u << 20)
#define HTTP_BODY_LARGE_BYTES	(5u << 20)	/* of routes with HTTP_LARGE: a policy */

struct http;
struct coord;
struct door;
struct event_base;
struct http_req;
struct events;

/* Coordinator thread, before its loop runs. cfg and coord are borrowed. Has the routes of flapi.
 * ERR_IO with *why. */
enum err http_new(struct event_base *base, const struct config *cfg, struct coord *coord,
	struct http **out, struct err_text *why) MUST_USE;
/* Ends every connection. A request that still waits for its done function is freed by that: coord_stop
 * calls those that are left. NULL is fine. */
void http_free(struct http *h);

/* Adds a table of routes; borrowed, usually static const. Before the loop runs. */
void http_routes(struct http *h, const struct http_route *table, size_t n);
/* The same for handlers outside this folder: they find arg in q->arg. */
void http_routes_for(struct http *h, const struct http_route *table, size_t n, void *arg);

/* Asked when no route has the path: true when it has answered. One, before the loop runs. */
typedef bool http_other_fn(struct http_req *q, const char *method, const char *path);
void http_on_other(struct http *h, http_other_fn *fn);
/* fn runs in http_free, when every connection has ended. */
void http_at_end(struct http *h, void (*fn)(void *arg), void *arg);
/* For web/events: kept for its handler. */
void http_set_events(struct http *h, struct events *e);
/* Borrowed. */
struct event_base *http_base(struct http *h);
struct coord *http_coord(struct http *h);

/* The Unix socket of the fairlead command (0660, owner root/own user; peer credentials are the
 * authentication: whoever can open it is the owner of the server). Its directory is made if it is missing. A
 * stale socket file is replaced; a live one is ERR_EXISTS, anything else ERR_IO, with *why. */
enum err http_listen_unix(struct http *h, const char *path, struct err_text *why) MUST_USE;
/* false: connections to the Unix socket wait in its backlog until true. It serves at first. */
void http_unix_serve(struct http *h, bool is_serving);
/* Borrowed; -1: none. */
int http_unix_socket(const struct http *h);
/* Another process has the socket from now on: its file stays when h ends. */
void http_unix_leave(struct http *h);

/* Takes fd, the plain side of a connection whose real peer is given. pass: the door's name for it
 * (generation 0: none). Coordinator thread. Such a connection is a stranger, whatever SO_PEERCRED
 * says: that names our own process. */
void http_add_take(struct http *h, int fd, const struct net_addr *peer, bool is_tls,
	struct conn_ref pass);

/*
 * A request on a passed connection is for a path of the door (an upgrade, or an answer made there):
 * the connection goes back to it. head: the request head as bytes, rebuilt. rest is empty: clients
 * send nothing behind a request until it is answered (RFC 9110 7.8 for upgrades; proxies do not
 * pipeline), and what libmicrohttpd has read ahead cannot be had back without its own 101.
 *
 * Nothing at all is written on the passage for this request, no 101 either: everything that comes
 * out of it belongs to earlier answers. Our end is closed when the door has closed its end. A
 * request with a body is answered 400 here and does not go back.
 */
typedef void http_upgrade_fn(struct door *door, struct conn_ref pass, const struct buf *head,
	const struct buf *rest);
/* path exactly as given, or, if it ends with a slash, everything below it; at most 16 of them, before
 * the loop runs. */
void http_on_upgrade(struct http *h, const char *path, http_upgrade_fn *fn, struct door *door);

#endif
