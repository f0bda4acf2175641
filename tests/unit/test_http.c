/* links: web/http web/http_run web/http_back web/http_req web/http_unix web/router web/auth web/http_who web/http_stream web/form web/auth_text web/scope coord/cred coord/tag coord/user */
/* Requests and answers, waiting, lists, the way back to the door. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_rig.h"

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
		TEST(test_routing), TEST(test_head), TEST(test_answered_later),
		TEST(test_client_leaves_while_waiting), TEST(test_end_while_waiting),
		TEST(test_back_to_the_door), TEST(test_back_then_end), TEST(test_not_back), TEST(test_list),
		TEST(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
