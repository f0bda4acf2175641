/* links: web/http web/http_run web/http_back web/http_req web/http_unix web/router web/auth web/http_who web/http_stream web/form web/auth_text web/scope coord/cred coord/tag coord/user */
/* Bodies and heads: what is kept of them, what is refused, when. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>

#include "http_rig.h"

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_body_too_long), TEST(test_refused_body), TEST(test_refused_at_once),
		TEST(test_largest_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
