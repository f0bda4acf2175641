/* What http, http_req and http_unix share; nobody else includes this. */
#ifndef WEB_HTTP_PRIVATE_H
#define WEB_HTTP_PRIVATE_H

#include <microhttpd.h>

#include "base/list.h"
#include "base/ratelimit.h"
#include "web/http_req.h"

#define HTTP_MAGIC		0x4773a001u
#define HTTP_CONN_MAGIC		0x4773c001u
#define HTTP_TABLES_MAX		48
#define HTTP_UPGRADES_MAX	16
#define HTTP_AT_END_MAX		4

struct event;

struct http_conn {
	uint32_t magic;
	struct http *http;
	int fd;				/* libmicrohttpd's */
	struct http_peer peer;
	struct event *ev_back;		/* waits for the door's end to close; NULL: none */
	TAILQ_ENTRY(http_conn) link;
};

TAILQ_HEAD(http_conn_list, http_conn);
struct http_stream;

struct http {
	uint32_t magic;
	struct event_base *base;
	const struct config *cfg;
	struct coord *coord;
	struct MHD_Daemon *daemon;
	struct event *ev_epoll, *ev_timer, *ev_run;
	struct http_conn_list fresh, open;	/* given to libmicrohttpd; seen by it */
	TAILQ_HEAD(, http_req) waiting;
	TAILQ_HEAD(, http_stream) streams;
	bool is_stopping;
	struct { const struct http_route *routes; size_t n; void *arg; } tables[HTTP_TABLES_MAX];
	unsigned n_tables;
	struct { char *path; http_upgrade_fn *fn; struct door *door; } upgrades[HTTP_UPGRADES_MAX];
	unsigned n_upgrades;
	struct ratelimit *complaints;	/* of libmicrohttpd, to the log */
	/* http_who */
	struct tailnet *tailnet;	/* borrowed: credentials are its */
	struct net_prefixes trusted;	/* config trusted_proxies */
	struct ratelimit *wrong;	/* credentials, by source */
	struct { void (*fn)(void *arg); void *arg; } at_end[HTTP_AT_END_MAX];
	unsigned n_at_end;
	http_other_fn *other;		/* NULL: none */
	struct events *events;		/* borrowed: web/events frees it at the end */
	int64_t started_mono_ms;
	/* http_unix */
	int unix_fd;			/* -1: none */
	char *unix_path;
	uint64_t unix_inode;		/* so that only our own file is removed */
	struct event *ev_unix;
};

/* Gives fd (taken) to libmicrohttpd. */
void http_conn_add_take(struct http *h, int fd, const struct http_peer *peer);
/* Lets libmicrohttpd run in this turn of the loop, or the next one. */
void http_kick(struct http *h);
/* q is suspended, until http_resume. */
void http_wait_start(struct http_req *q, enum http_stage stage);
/* http_back. false: the request is not for the door, or not from it. */
bool http_back_start(struct http_req *q, const char *method);
/* http_run: libmicrohttpd's callbacks. on_uri makes the request, *con_cls of all later calls. */
void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *mc);
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *mc, const char *url,
	const char *method, const char *version, const char *data, size_t *n, void **con_cls);
void http_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls,
	enum MHD_RequestTerminationCode why);
/* Does its head announce a body? */
bool http_has_body(const struct http_req *q);
/* The answer of a waiting request is there, or its connection ends. */
void http_resume(struct http_req *q);
void http_req_free(struct http_req *q);
void http_unix_close(struct http *h);
/* r is taken; the common fields are added. */
void http_answer_take(struct http_req *q, int status, struct MHD_Response *r, const char *type);
/* The same without the common fields. */
void http_answer_raw_take(struct http_req *q, int status, struct MHD_Response *r);
/* http_who: the peer of this request, through trusted proxies; may it have its route? (Otherwise it is
 * answered.) */
void http_who_peer(struct http_req *q, const struct http_peer *peer);
enum err http_who(struct http_req *q, const char *method) MUST_USE;
enum err http_who_init(struct http *h, struct err_text *why) MUST_USE;
/* Streams end at their next read. */
void http_stream_stop_all(struct http *h);

#endif
