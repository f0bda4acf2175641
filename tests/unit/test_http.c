/* links: web/http web/http_run web/http_back web/http_req web/http_unix web/router web/auth web/http_who web/http_stream web/form web/auth_text web/scope coord/cred coord/tag coord/user */
/* The glue around libmicrohttpd with a real event loop, socketpairs; the routes
 * are this test's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
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

static void
on_echo(struct http_req *q)
{
	struct buf b = { .len = 0 };

	json_dump_to(&b, q->json);
	http_reply_json_take(q, 200, &b);
}

static void
on_thing(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_printf(&b, "{\"id\":\"%s\",\"who\":\"%s\"}", q->params[0], q->who.actor.name);
	http_reply_json_take(q, 200, &b);
}

static void
on_hello(struct http_req *q)
{
	http_reply_text(q, 200, "text/plain", "hello\n");
}

static void
on_park(struct http_req *q)
{
	parked = q;
}

static void
on_busy(struct http_req *q)
{
	http_reply_err(q, ERR_BUSY, NULL);
}

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	(void)arg;
	if (i % 10 == 3)
		return;			/* has gone meanwhile */
	json_w_obj_open(w, NULL);
	json_w_int(w, "n", (int64_t)i);
	json_w_obj_close(w);
}

static void
list_free(void *arg)
{
	(void)arg;
	n_list_freed++;
}

static void
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

static void
on_back(struct door *door, struct conn_ref pass, const struct buf *head, const struct buf *rest)
{
	(void)door;
	n_back++;
	back_pass = pass;
	buf_clear(&back_head);
	buf_append(&back_head, head->p, head->len);
	assert_int_equal(rest->len, 0);
}

static int
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

static int
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

static void
client_poll(struct client *c)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buf_append(&c->in, bytes, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->is_eof = true;
}

static void
turn(struct fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

/* Is a whole answer there? Then its length. */
static size_t
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

static size_t
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

static void
turns(struct fixture *f, struct client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		turn(f);
		client_poll(c);
	}
}

static void
client_close(struct client *c)
{
	close(c->fd);
	buf_fini(&c->in);
}

static void
client_send(struct client *c, const char *text, size_t n)
{
	assert_int_equal(send(c->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* A connection as the door passes it. */
static struct client
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

static bool
wait_no_connections(struct fixture *f)
{
	for (unsigned i = 0; i < TURNS_MAX && !TAILQ_EMPTY(&f->h->open); i++)
		turn(f);
	return TAILQ_EMPTY(&f->h->open) && TAILQ_EMPTY(&f->h->fresh);
}

/* All on one kept-alive connection of the door's. */
static void
test_routing(void **state)
{
	static const struct { const char *request, *status, *in_answer; } cases[] = {
		{ "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\r\n\r\nhello\n" },
		{ "GET /hello?a=b HTTP/1.1\r\nHost: x\r\n\r\n", "200", "X-Content-Type-Options: nosniff" },
		{ "GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n", "200", "hello" },
		{ "GET //hello HTTP/1.1\r\nHost: x\r\n\r\n", "200", "hello" },
		{ "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404",
		  "{\"message\":\"there is nothing at /nothing\",\"status\":404}" },
		{ "GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n", "404", "application/json" },
		{ "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", "405", "Allow: GET\r\n" },
		{ "PUT /api/things/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "405",
		  "Allow: GET, DELETE\r\n" },
		{ "GET /api/things/1 HTTP/1.1\r\nHost: x\r\n\r\n", "401", "WWW-Authenticate: Bearer" },
		{ "DELETE /api/things/1 HTTP/1.1\r\nHost: x\r\n\r\n", "401",
		  "this needs a login" },
		{ "GET /api/things/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400", "not well encoded" },
		{ "GET /api/things/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400", "not well encoded" },
		{ "GET /api/things/% HTTP/1.1\r\nHost: x\r\n\r\n", "400", "not well encoded" },
		{ "GET /busy HTTP/1.1\r\nHost: x\r\n\r\n", "503", "Retry-After: 1" },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"a\":[1] }", "200",
		  "{\"a\":[1]}" },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"
		    "{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
		  "200", "{\"a\":1}" },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "\r\n\r\n{}" },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{a}", "400",
		  "the body is not JSON" },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]", "400",
		  "the body must be a JSON object" },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "200", "hello" },
	};
	struct fixture *f = *state;
	struct client c = from_door(f, 0);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		client_send(&c, cases[i].request, strlen(cases[i].request));
		size_t n = wait_answer(f, &c);
		assert_memory_equal(c.in.p + 9, cases[i].status, 3);
		if (strstr(buf_cstr(&c.in), cases[i].in_answer) == NULL)
			fail_msg("%s\n-> %s", cases[i].request, buf_cstr(&c.in));
		assert_int_equal(c.in.len, n);
		buf_clear(&c.in);
	}
	client_close(&c);
	assert_true(wait_no_connections(f));
}

static void
test_head(void **state)
{
	struct fixture *f = *state;
	struct client c = from_door(f, 0);
	static const char request[] = "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n";

	client_send(&c, request, sizeof(request) - 1);
	for (unsigned i = 0; i < TURNS_MAX && strstr(buf_cstr(&c.in), "\r\n\r\n") == NULL; i++)
		turns(f, &c, 1);
	assert_non_null(strstr(buf_cstr(&c.in), "Content-Length: 6\r\n"));
	assert_null(strstr(buf_cstr(&c.in), "hello"));
	client_close(&c);
}

static void
test_body_too_long(void **state)
{
	struct fixture *f = *state;
	struct client c = from_door(f, 0);
	static const char known[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n";
	static const char chunked[] = "POST /echo HTTP/1.1\r\nHost: x\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n";

	client_send(&c, known, sizeof(known) - 1);
	wait_answer(f, &c);
	assert_memory_equal(c.in.p + 9, "413", 3);
	client_close(&c);

	c = from_door(f, 0);
	client_send(&c, chunked, sizeof(chunked) - 1);
	char *block = obj_alloc(70000);
	int head = snprintf(block, 16, "%x\r\n", 65536);
	memset(block + head, 'x', 65536);
	memcpy(block + head + 65536, "\r\n", 2);
	size_t len = (size_t)head + 65536 + 2;
	for (unsigned i = 0; i < 17; i++)
		for (size_t at = 0; at < len; ) {
			ssize_t n = send(c.fd, block + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
			at += n > 0 ? (size_t)n : 0;
			turn(f);
		}
	free(block);
	client_send(&c, "0\r\n\r\n", 5);
	wait_answer(f, &c);
	assert_memory_equal(c.in.p + 9, "413", 3);
	client_close(&c);
	assert_true(wait_no_connections(f));
}

/* n bytes of a body, as fast as they are taken. */
static void
send_body(struct fixture *f, struct client *c, size_t n)
{
	char block[16384];

	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < TURNS_MAX && n > 0; i++) {
		ssize_t sent = send(c->fd, block, n < sizeof(block) ? n : sizeof(block),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		n -= sent > 0 ? (size_t)sent : 0;
		turns(f, c, 1);
	}
	assert_int_equal(n, 0);
}

/* What is refused by its head keeps nothing of its body, and the connection stays good. */
static void
test_refused_body(void **state)
{
	static const struct { const char *request, *status; size_t n_bytes; } cases[] = {
		{ "POST /api/store/1", "401", 1000000 }, { "PATCH /api/store/1", "401", 1000000 },
		{ "DELETE /api/things/1", "401", 1000000 }, { "PUT /api/things/1", "405", 1000000 },
		{ "POST /nothing", "404", 1000000 }, { "GET /api/things/1", "401", 1000000 },
		{ "POST /echo", "413", 20000 },		/* of nobody: 16 KiB */
	};
	static const char hello[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct client c = from_door(f, 0);
	char head[200];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int n = snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
		    cases[i].request, cases[i].n_bytes);
		client_send(&c, head, (size_t)n);
		turns(f, &c, 10);
		size_t before = mallinfo2().uordblks;
		send_body(f, &c, cases[i].n_bytes - 1);
		size_t after = mallinfo2().uordblks;	/* a sanitizer's heap is not seen */
		if (after > before + 8192 || c.in.len > 0)
			fail_msg("%s: %zu bytes kept, \"%s\"", cases[i].request, after - before,
			    buf_cstr(&c.in));
		send_body(f, &c, 1);
		wait_answer(f, &c);
		assert_memory_equal(c.in.p + 9, cases[i].status, 3);
		buf_clear(&c.in);
	}
	client_send(&c, hello, sizeof(hello) - 1);
	wait_answer(f, &c);
	assert_memory_equal(c.in.p + 9, "200", 3);
	client_close(&c);
	assert_true(wait_no_connections(f));
}

/* Who waits for leave to send, or would send too much, hears of it before the body. */
static void
test_refused_at_once(void **state)
{
	static const struct { const char *request, *fields, *status; } cases[] = {
		{ "POST /api/store/1", "Expect: 100-continue\r\nContent-Length: 500000\r\n", "401" },
		{ "PATCH /api/store/1", "Expect: 100-continue\r\nContent-Length: 500000\r\n", "401" },
		{ "DELETE /api/things/1", "Expect: 100-continue\r\nContent-Length: 500000\r\n", "401" },
		{ "POST /echo", "Expect: 100-continue\r\nContent-Length: 500000\r\n", "413" },
		{ "POST /echo", "Expect: 100-continue\r\nContent-Length: 5\r\n", "100" },
		{ "POST /api/store/1", "Content-Length: 2000000\r\n", "401" },
		{ "PATCH /api/store/1", "Content-Length: 2000000\r\n", "401" },
		{ "PATCH /api/store/1", "Content-Length: 99999999999999999999999\r\n", "4" },
	};
	struct fixture *f = *state;
	char head[200];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct client c = from_door(f, 0);
		int n = snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", cases[i].request,
		    cases[i].fields);
		client_send(&c, head, (size_t)n);
		for (unsigned k = 0; k < 200 && c.in.len < 12; k++)
			turns(f, &c, 1);
		assert_true(c.in.len >= 12);
		if (memcmp(c.in.p + 9, cases[i].status, strlen(cases[i].status)) != 0)
			fail_msg("%s %s: %s", cases[i].request, cases[i].fields, buf_cstr(&c.in));
		turns(f, &c, 20);
		assert_true(c.is_eof || cases[i].status[0] == '1');
		client_close(&c);
	}
	assert_true(wait_no_connections(f));
}

/* The largest heads that the door lets through (16 KiB, 64 fields) are answered by us: what is too much
 * for libmicrohttpd it answers itself, with a page of HTML. */
static void
test_largest_heads(void **state)
{
	static const char *const fields[] = { "Cookie: a=1; b=", "X-Forwarded-For: 1", "Authorization: " };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		unsigned n_fields = i == 0 ? 1 : 63;
		struct client c = from_door(f, 0);
		struct buf head = { .len = 0 };

		buf_printf(&head, "GET /api/things/1 HTTP/1.1\r\nHost: x\r\n");
		for (unsigned k = 0; k < n_fields; k++) {
			size_t end = 40 + (16384 - 40) / n_fields * (k + 1);

			buf_str(&head, fields[i]);
			while (head.len < end - 4)
				buf_byte(&head, 'x');
			buf_str(&head, "\r\n");
		}
		buf_str(&head, "\r\n");
		assert_true(head.len > 16000 && head.len <= 16384);
		client_send(&c, (const char *)head.p, head.len);
		wait_answer(f, &c);
		assert_memory_equal(c.in.p + 9, "401", 3);
		assert_non_null(strstr(buf_cstr(&c.in), "application/json"));
		buf_fini(&head);
		client_close(&c);
	}
	assert_true(wait_no_connections(f));
}

static void
park(struct fixture *f, struct client *c)
{
	static const char request[] = "GET /park HTTP/1.1\r\nHost: x\r\n\r\n";

	parked = NULL;
	client_send(c, request, sizeof(request) - 1);
	for (unsigned i = 0; i < TURNS_MAX && parked == NULL; i++)
		turn(f);
	assert_non_null(parked);
}

static void
test_answered_later(void **state)
{
	struct fixture *f = *state;
	struct client a = from_door(f, 0), b = from_door(f, 0);

	park(f, &a);
	struct http_req *first = parked;
	park(f, &b);
	turns(f, &a, 50);
	turns(f, &b, 50);
	assert_int_equal(a.in.len + b.in.len, 0);
	http_reply_text(parked, 200, "text/plain", "for b");
	wait_answer(f, &b);
	assert_non_null(strstr(buf_cstr(&b.in), "for b"));
	client_poll(&a);
	assert_int_equal(a.in.len, 0);
	http_reply_error(first, 409, "for %s", "a");
	wait_answer(f, &a);
	assert_non_null(strstr(buf_cstr(&a.in), "{\"message\":\"for a\",\"status\":409}"));
	buf_clear(&a.in);
	park(f, &a);				/* the connection is still good */
	http_reply_text(parked, 200, "text/plain", "again");
	wait_answer(f, &a);
	client_close(&a);
	client_close(&b);
	assert_true(wait_no_connections(f));
}

static void
test_client_leaves_while_waiting(void **state)
{
	struct fixture *f = *state;
	struct client c = from_door(f, 0);

	park(f, &c);
	client_close(&c);
	for (unsigned i = 0; i < 50; i++)
		turn(f);
	assert_int_equal(parked->magic, HTTP_REQ_MAGIC);
	http_reply_text(parked, 200, "text/plain", "for nobody");
	assert_true(wait_no_connections(f));
}

static void
test_end_while_waiting(void **state)
{
	struct fixture *f = *state;
	struct client c = from_door(f, 0);

	park(f, &c);
	http_free(f->h);
	f->h = NULL;
	client_poll(&c);
	assert_true(c.is_eof);
	assert_int_equal(c.in.len, 0);
	assert_null(parked->peer);
	http_reply_text(parked, 200, "text/plain", "for nobody");	/* frees it: ASan checks */
	client_close(&c);
}

static void
test_back_to_the_door(void **state)
{
	static const char plain[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char upgrade[] = "POST /ts2021?x=1 HTTP/1.1\r\nHost: x\r\n"
	    "Upgrade: tailscale-control-protocol\r\n"
	    "Connection: upgrade\r\nX-Tailscale-Handshake: AAAA\r\nContent-Length: 0\r\n\r\n";
	struct fixture *f = *state;
	struct client c = from_door(f, 7);

	client_send(&c, plain, sizeof(plain) - 1);
	buf_consume(&c.in, wait_answer(f, &c));
	client_send(&c, upgrade, sizeof(upgrade) - 1);
	for (unsigned i = 0; i < TURNS_MAX && n_back == 0; i++)
		turn(f);
	assert_int_equal(n_back, 1);
	assert_int_equal(back_pass.generation, 7);
	assert_int_equal(back_pass.slot, 2);
	assert_string_equal(buf_cstr(&back_head), upgrade);
	turns(f, &c, 50);
	assert_int_equal(c.in.len, 0);		/* no 101, nothing */
	assert_false(c.is_eof);
	client_close(&c);
	assert_true(wait_no_connections(f));
}

/* The second request waits in libmicrohttpd when the server ends. */
static void
test_back_then_end(void **state)
{
	static const char request[] = "GET /below/x?v=1 HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct client c = from_door(f, 9);

	client_send(&c, request, sizeof(request) - 1);
	for (unsigned i = 0; i < TURNS_MAX && n_back == 0; i++)
		turn(f);
	assert_string_equal(buf_cstr(&back_head), request);
	http_free(f->h);
	f->h = NULL;
	client_poll(&c);
	assert_true(c.is_eof);
	client_close(&c);
}

static void
test_not_back(void **state)
{
	static const char with_body[] =
	    "POST /ts2021 HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: upgrade\r\n"
	    "Content-Length: 2\r\n\r\nab";
	static const char key[] = "GET /key HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char beside[] = "GET /below/ HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct client c = from_door(f, 7);

	client_send(&c, with_body, sizeof(with_body) - 1);
	wait_answer(f, &c);
	assert_memory_equal(c.in.p + 9, "400", 3);
	client_close(&c);
	for (int i = 0; i < 2; i++) {
		c = from_door(f, i == 0 ? 0 : 7);	/* first: nobody to give it back to */
		client_send(&c, i == 0 ? key : beside, strlen(i == 0 ? key : beside));
		wait_answer(f, &c);
		assert_memory_equal(c.in.p + 9, "404", 3);
		client_close(&c);
	}
	assert_int_equal(n_back, 0);
}

/* Takes the chunked coding off. */
static json_t *
dechunk(struct client *c)
{
	struct buf body = { .len = 0 };
	json_t *v = NULL;
	char *p = strstr(buf_cstr(&c->in), "\r\n\r\n") + 4;

	for (size_t n; (n = strtoul(p, &p, 16)) != 0; p += n + 2) {
		p += 2;
		buf_append(&body, p, n);
	}
	assert_int_equal(json_parse(body.p, body.len, &v, NULL), ERR_OK);
	buf_fini(&body);
	return v;
}

static void
test_list(void **state)
{
	static const struct { const char *request; size_t want; } cases[] = {
		{ "GET /list/all HTTP/1.1\r\nHost: x\r\n\r\n", LIST_LEN - LIST_LEN / 10 },
		{ "GET /list/0 HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
	};
	struct fixture *f = *state;
	struct client c = from_door(f, 0);

	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		client_send(&c, cases[i].request, strlen(cases[i].request));
		wait_answer(f, &c);
		json_t *v = dechunk(&c);
		assert_int_equal(json_array_size(json_object_get(v, "things")), cases[i].want);
		json_decref(v);
		buf_clear(&c.in);
	}
	/* A client that leaves in the middle. */
	client_send(&c, cases[0].request, strlen(cases[0].request));
	for (unsigned i = 0; i < 5; i++)
		turn(f);
	client_close(&c);
	assert_true(wait_no_connections(f));
	assert_int_equal(n_list_freed, 3);
}

static void
on_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* An idle server must not spin: the loop sleeps until this test's own timer. */
static void
test_idle(void **state)
{
	struct fixture *f = *state;
	struct client c = from_door(f, 0);
	static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

	client_send(&c, request, sizeof(request) - 1);
	wait_answer(f, &c);
	turns(f, &c, 10);
	bool is_over = false;
	unsigned n = 0;
	event_base_once(f->base, -1, EV_TIMEOUT, on_over, &is_over, &(struct timeval){ .tv_usec = 20000 });
	while (!is_over) {
		event_base_loop(f->base, EVLOOP_ONCE);
		n++;
	}
	assert_int_equal(n, 1);
	client_close(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_routing), TEST(test_head), TEST(test_body_too_long), TEST(test_refused_body),
		TEST(test_refused_at_once), TEST(test_largest_heads),
		TEST(test_answered_later),
		TEST(test_client_leaves_while_waiting), TEST(test_end_while_waiting),
		TEST(test_back_to_the_door), TEST(test_back_then_end), TEST(test_not_back), TEST(test_list),
		TEST(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
