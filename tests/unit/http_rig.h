/* The glue around libmicrohttpd with a real event loop, socketpairs; the routes are ours. One test program
 * each. */
#ifndef TESTS_UNIT_HTTP_RIG_H
#define TESTS_UNIT_HTTP_RIG_H

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "web/flapi.h"
#include "web/http_private.h"

#include "fake_creds.h"

#define TURNS_MAX	20000		/* of the loop, until a test gives up */
#define LIST_LEN	5000

struct fixture {
	struct event_base *base;
	struct http *h;
	struct config cfg;
};

/* What the routes and the hand-back saw. */
static struct http_req *parked;
static struct buf back_head;
static struct conn_ref back_pass;
static unsigned n_back, n_list_freed;

static inline void
on_echo(struct http_req *q)
{
	struct buf b = { .len = 0 };

	json_dump_to(&b, q->json);
	http_reply_json_take(q, 200, &b);
}

static inline void
on_thing(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_printf(&b, "{\"id\":\"%s\",\"who\":\"%s\"}", q->params[0], q->who.actor.name);
	http_reply_json_take(q, 200, &b);
}

static inline void
on_hello(struct http_req *q)
{
	http_reply_text(q, 200, "text/plain", "hello\n");
}

static inline void
on_park(struct http_req *q)
{
	parked = q;
}

static inline void
on_busy(struct http_req *q)
{
	http_reply_err(q, ERR_BUSY, NULL);
}

static inline void
list_put(void *arg, size_t i, struct json_writer *w)
{
	(void)arg;
	if (i % 10 == 3)
		return;			/* has gone meanwhile */
	json_w_obj_open(w, NULL);
	json_w_int(w, "n", (int64_t)i);
	json_w_obj_close(w);
}

static inline void
list_free(void *arg)
{
	(void)arg;
	n_list_freed++;
}

static inline void
on_list(struct http_req *q)
{
	http_reply_list(q, &(struct http_list){ .name = "things", .n = strcmp(q->params[0],
	    "0") == 0 ? 0 : LIST_LEN,
	    .put = list_put, .free_fn = list_free });
}

static const struct http_route routes[] = {
	{ "GET", "/hello", HTTP_PUBLIC, false, on_hello },
	{ "GET", "/busy", HTTP_PUBLIC, false, on_busy },
	{ "POST", "/echo", HTTP_PUBLIC, true, on_echo },
	{ "GET", "/api/things/{id}", HTTP_READ, false, on_thing },
	{ "DELETE", "/api/things/{id}", HTTP_WRITE, false, on_thing },
	{ "POST", "/api/store/{id}", HTTP_WRITE, true, on_thing },
	{ "PATCH", "/api/store/{id}", HTTP_WRITE, true, on_thing },
	{ "GET", "/list/{n}", HTTP_PUBLIC, false, on_list },
	{ "GET", "/park", HTTP_PUBLIC, false, on_park },
};

struct tailnet *
coord_tailnet(struct coord *c, const char *name)
{
	(void)c;
	(void)name;
	return NULL;
}

void
flapi_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}

static inline void
on_back(struct door *door, struct conn_ref pass, const struct buf *head, const struct buf *rest)
{
	(void)door;
	n_back++;
	back_pass = pass;
	buf_clear(&back_head);
	buf_append(&back_head, head->p, head->len);
	assert_int_equal(rest->len, 0);
}

static inline int
setup(void **state)
{
	struct fixture *f = obj_alloc(sizeof(*f));

	f->cfg.limits.conns = 100;
	f->cfg.limits.head_bytes = 16384;
	f->base = event_base_new();
	if (http_new(f->base, &f->cfg, NULL, &f->h, NULL) != ERR_OK)
		return -1;
	http_on_upgrade(f->h, "/ts2021", on_back, NULL);
	http_on_upgrade(f->h, "/key", on_back, NULL);
	http_on_upgrade(f->h, "/below/", on_back, NULL);
	parked = NULL;
	n_back = n_list_freed = 0;
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	event_base_free(f->base);
	buf_fini(&back_head);
	free(f);
	return 0;
}

struct client {
	int fd;
	struct buf in;
	bool is_eof;
};

static inline void
client_poll(struct client *c)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buf_append(&c->in, bytes, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->is_eof = true;
}

static inline void
turn(struct fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

/* Is a whole answer there? Then its length. */
static inline size_t
answer_length(struct client *c)
{
	const char *text = buf_cstr(&c->in), *end = strstr(text, "\r\n\r\n"), *field;

	if (end == NULL)
		return 0;
	size_t head = (size_t)(end - text) + 4;
	if ((field = strstr(text, "Content-Length: ")) != NULL && field < end) {
		size_t n = strtoul(field + 16, NULL, 10);
		return c->in.len >= head + n ? head + n : 0;
	}
	const char *last = strstr(end, "\r\n0\r\n\r\n");	/* chunked */
	return last == NULL ? 0 : (size_t)(last - text) + 7;
}

static inline size_t
wait_answer(struct fixture *f, struct client *c)
{
	size_t n = 0;

	for (unsigned i = 0; i < TURNS_MAX && (n = answer_length(c)) == 0 && !c->is_eof; i++) {
		turn(f);
		client_poll(c);
	}
	if (n == 0)
		fail_msg("no answer, only \"%s\"", buf_cstr(&c->in));
	return n;
}

static inline void
turns(struct fixture *f, struct client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		turn(f);
		client_poll(c);
	}
}

static inline void
client_close(struct client *c)
{
	close(c->fd);
	buf_fini(&c->in);
}

static inline void
client_send(struct client *c, const char *text, size_t n)
{
	assert_int_equal(send(c->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* A connection as the door passes it. */
static inline struct client
from_door(struct fixture *f, uint32_t generation)
{
	int fds[2];
	struct net_addr peer;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(net_addr_parse("192.0.2.7:4711", 14, &peer), ERR_OK);
	http_add_take(f->h, fds[1], &peer, true, (struct conn_ref){ .worker = 1, .slot = 2,
	    .generation = generation });
	return (struct client){ .fd = fds[0] };
}

static inline bool
wait_no_connections(struct fixture *f)
{
	for (unsigned i = 0; i < TURNS_MAX && !TAILQ_EMPTY(&f->h->open); i++)
		turn(f);
	return TAILQ_EMPTY(&f->h->open) && TAILQ_EMPTY(&f->h->fresh);
}

#endif
