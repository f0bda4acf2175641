/* links: server/door_http */
/* Proves: the door's head and PROXY parsers take what clients send and refuse what is ambiguous. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/obj.h"
#include "server/door_http.h"

static char *
text_of(struct door_str s, char out[256])
{
	ASSERT(s.n < 256);
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return out;
}

static void
heads_understood(void **state)
{
	static const struct {
		const char *head, *method, *path, *query;
		unsigned minor, n_fields;
		int64_t content_length;
		bool is_chunked, keeps_alive;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "GET", "/", "", 1, 0, -1, false, true },
		{ "GET /key?v=145 HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET", "/key", "v=145", 1, 1, -1,
		    false, true },
		{ "\r\nGET /derp HTTP/1.1\r\nHost:h\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n",
		    "GET", "/derp", "", 1, 3, -1, false, true },
		{ "POST /ts2021 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST", "/ts2021", "", 1, 1, 0,
		    false, true },
		{ "POST /x HTTP/1.1\r\nContent-Length: 12\r\ncontent-length: 12\r\n\r\n", "POST", "/x",
		    "", 1, 2, 12, false, true },
		{ "POST /x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST", "/x", "", 1, 1, -1,
		    true, true },
		{ "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", 0, 0, -1, false, false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", 0, 1, -1, false,
		    true },
		{ "GET / HTTP/1.1\r\nConnection: foo , Close\r\n\r\n", "GET", "/", "", 1, 1, -1, false,
		    false },
		{ "GET / HTTP/1.1\r\nConnection: foo\r\nConnection: close\r\n\r\n", "GET", "/", "", 1,
		    2, -1, false, false },
		{ "GET http://h:80/a/b?c=d?e HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET", "/a/b", "c=d?e", 1,
		    1, -1, false, true },
		{ "GET http://h HTTP/1.1\r\n\r\n", "GET", "/", "", 1, 0, -1, false, true },
		{ "GET /go?u=http://h/ HTTP/1.1\r\n\r\n", "GET", "/go", "u=http://h/", 1, 0, -1, false,
		    true },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*", "", 1, 0, -1, false, true },
		{ "CONNECT h:443 HTTP/1.1\r\n\r\n", "CONNECT", "h:443", "", 1, 0, -1, false, true },
		{ "GET /? HTTP/1.1\r\nEmpty:\r\nTab:\t x \t\r\n\r\n", "GET", "/", "", 1, 2, -1, false,
		    true },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct door_head h;
		char t[256];
		size_t n = strlen(cases[i].head);

		assert_int_equal(door_http_parse(cases[i].head, n, &h), ERR_OK);
		assert_string_equal(text_of(h.method, t), cases[i].method);
		assert_string_equal(text_of(h.path, t), cases[i].path);
		assert_string_equal(text_of(h.query, t), cases[i].query);
		assert_int_equal(h.minor, cases[i].minor);
		assert_int_equal(h.n_fields, cases[i].n_fields);
		assert_int_equal(h.content_length, cases[i].content_length);
		assert_int_equal(h.is_chunked, cases[i].is_chunked);
		assert_int_equal(h.keeps_alive, cases[i].keeps_alive);
		assert_int_equal(h.head_bytes, n);
	}
}

static void
heads_refused(void **state)
{
	static const char *const cases[] = {
		"garbage\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.x\r\n\r\n", "GET / HTTP/1.11\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n", " GET / HTTP/1.1\r\n\r\n", "G@T / HTTP/1.1\r\n\r\n",
		"GET /\x01 HTTP/1.1\r\n\r\n", "GET / http/1.1\r\n\r\n", "\r\n\r\n", "\r\n\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n",
		"GET / HTTP/1.1\r\n: b\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
		"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n",
		"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static const char with_nul[] = "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n";
	struct door_head h;
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (door_http_parse(cases[i], strlen(cases[i]), &h) != ERR_PROTO)
			fail_msg("taken: %s", cases[i]);
	assert_int_equal(door_http_parse(with_nul, sizeof(with_nul) - 1, &h), ERR_PROTO);
}

/* Cut at every byte a good head is "not yet" and never an error, whatever follows its end. */
static void
heads_split_anywhere(void **state)
{
	static const char text[] = "\r\nPOST /ts2021 HTTP/1.1\r\nHost: h\r\nUpgrade: a, b\r\n\r\nrest";
	size_t head_bytes = sizeof(text) - 1 - 4;
	struct door_head h;
	(void)state;

	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n + 1);

		assert_non_null(exact);
		memcpy(exact, text, n);
		enum err rc = door_http_parse(exact, n, &h);
		assert_int_equal(rc, n < head_bytes ? ERR_AGAIN : ERR_OK);
		if (rc == ERR_OK)
			assert_int_equal(h.head_bytes, head_bytes);
		free(exact);
	}
}

/* A bad beginning is refused before the end of the head is there. */
static void
heads_refused_early(void **state)
{
	static const char *const cases[] = { "\x16\x03\x01", "SSH-2.0-x\r\n", "GET /\n", "\n", "\r\r",
		"GET / HTTP/3\r\nHost: h\r\n", " ", "{\"a\"" };
	struct door_head h;
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(door_http_parse(cases[i], strlen(cases[i]), &h), ERR_PROTO);
}

static void
too_many_fields(void **state)
{
	char text[4096];
	struct door_head h;
	(void)state;

	for (int extra = 0; extra <= 1; extra++) {
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n");

		for (int i = 0; i < DOOR_HEAD_FIELDS_MAX + extra; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "X-%d: y\r\n", i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
		assert_int_equal(door_http_parse(text, (size_t)n, &h), extra ? ERR_LIMIT : ERR_OK);
	}
	assert_int_equal(h.n_fields, DOOR_HEAD_FIELDS_MAX);
}

static void
fields_and_lists(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n"
	    "Upgrade: h2c ,DERP\r\nX-A: 1\r\nx-a: 2\r\nUPGRADE: tailscale-control-protocol\r\n\r\n";
	struct door_head h;
	char t[256];
	(void)state;

	assert_int_equal(door_http_parse(text, sizeof(text) - 1, &h), ERR_OK);
	assert_string_equal(text_of(door_http_field(&h, "X-a"), t), "1");
	assert_null(door_http_field(&h, "X-B").p);
	assert_true(door_str_is(door_http_field(&h, "x-a"), "1"));
	assert_false(door_str_is(door_http_field(&h, "nothing"), ""));
	assert_true(door_http_lists(&h, "connection", "upgrade"));
	assert_true(door_http_lists(&h, "upgrade", "derp"));
	assert_true(door_http_lists(&h, "upgrade", "Tailscale-Control-Protocol"));
	assert_false(door_http_lists(&h, "upgrade", "der"));
	assert_false(door_http_lists(&h, "upgrade", ""));
	assert_false(door_str_lists((struct door_str){ NULL, 0 }, "x"));
}

/* --- PROXY protocol --- */

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define PROXY_CASE(bytes, rc, peer) { bytes, sizeof(bytes) - 1, rc, peer }

static const struct {
	const char *bytes;
	size_t n;
	enum err rc;
	const char *peer;	/* "-": untouched */
} proxy_cases[] = {
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n", ERR_OK, "203.0.113.7:56324"),
	PROXY_CASE("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ERR_OK, "[2001:db8::1]:1"),
	PROXY_CASE("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ERR_OK, "192.0.2.1:1"),
	PROXY_CASE("PROXY UNKNOWN\r\n", ERR_OK, "-"),
	PROXY_CASE("PROXY UNKNOWN ff::1 ff::2 1 2\r\n", ERR_OK, "-"),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443", ERR_AGAIN, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r", ERR_AGAIN, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\rX", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 5\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 203.0.113.7 10.0.0.1 +5 443\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 ::1 ::1 1 2\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY TCP4 999.0.113.7 10.0.0.1 1 2\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY  TCP4 203.0.113.7 10.0.0.1 1 2\r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROXY \r\n", ERR_PROTO, NULL),
	PROXY_CASE("PROX", ERR_AGAIN, NULL),
	PROXY_CASE("POST / HTTP/1.1\r\n\r\n", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\xdc\x04\x01\xbb", ERR_OK,
	    "203.0.113.7:56324"),
	/* with three TLV bytes behind */
	PROXY_CASE(SIG "\x21\x11\0\x0f\xcb\0\x71\x07\x0a\0\0\x01\xdc\x04\x01\xbb\x04\0\0", ERR_OK,
	    "203.0.113.7:56324"),
	PROXY_CASE(SIG "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02", ERR_OK, "[2001:db8::1]:1"),
	PROXY_CASE(SIG "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02", ERR_OK, "192.0.2.1:1"),
	PROXY_CASE(SIG "\x20\0\0\0", ERR_OK, "-"),
	PROXY_CASE(SIG "\x20\x11\0\x04zzzz", ERR_OK, "-"),
	PROXY_CASE(SIG "\x21\0\0\x02zz", ERR_OK, "-"),
	PROXY_CASE(SIG "\x21\x31\0\x02zz", ERR_OK, "-"),
	PROXY_CASE(SIG "\x21\x11\0\x0b\xcb\0\x71\x07\x0a\0\0\x01\xdc\x04\x01", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x21\x21\0\x0czzzzzzzzzzzz", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x21\x12\0\x0czzzzzzzzzzzz", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x11\x11\0\x0czzzzzzzzzzzz", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x22\x11\0\x0czzzzzzzzzzzz", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x21\x11\xff\xff", ERR_PROTO, NULL),
	PROXY_CASE(SIG "\x21\x11\0", ERR_AGAIN, NULL),
	PROXY_CASE(SIG "\x21\x11\0\x0c\xcb\0\x71", ERR_AGAIN, NULL),
	PROXY_CASE("\r\n\r\n", ERR_AGAIN, NULL),
	PROXY_CASE("\r\nGET / HTTP/1.1", ERR_PROTO, NULL),
};

static void
proxy_headers(void **state)
{
	(void)state;

	for (size_t i = 0; i < COUNT_OF(proxy_cases); i++) {
		size_t n = proxy_cases[i].n, used = 12345;
		uint8_t *exact = malloc(n + 3);
		struct net_addr peer = { { 0 }, 0 };
		char t[NET_TEXT_MAX];

		assert_non_null(exact);
		memcpy(exact, proxy_cases[i].bytes, n);
		memcpy(exact + n, "\x16\x03\x01", 3);
		bool is_done = proxy_cases[i].rc == ERR_OK;
		enum err rc = door_proxy_parse(exact, n + (is_done ? 3 : 0), &peer, &used);
		if (rc != proxy_cases[i].rc)
			fail_msg("case %zu: %s", i, err_str(rc));
		assert_int_equal(used, is_done ? n : 12345);
		if (is_done && strcmp(proxy_cases[i].peer, "-") != 0)
			assert_string_equal(net_addr_put(&peer, t), proxy_cases[i].peer);
		else
			assert_int_equal(peer.ip.family, 0);
		for (size_t cut = 0; is_done && cut < n; cut++)
			assert_int_equal(door_proxy_parse(exact, cut, &peer, &used), ERR_AGAIN);
		free(exact);
	}
}

static void
proxy_v1_is_bounded(void **state)
{
	uint8_t text[200];
	struct net_addr peer;
	size_t used;
	(void)state;

	memset(text, '1', sizeof(text));
	memcpy(text, "PROXY TCP4 ", 11);
	assert_int_equal(door_proxy_parse(text, 106, &peer, &used), ERR_AGAIN);
	assert_int_equal(door_proxy_parse(text, 107, &peer, &used), ERR_PROTO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_understood),
		cmocka_unit_test(heads_refused),
		cmocka_unit_test(heads_split_anywhere),
		cmocka_unit_test(heads_refused_early),
		cmocka_unit_test(too_many_fields),
		cmocka_unit_test(fields_and_lists),
		cmocka_unit_test(proxy_headers),
		cmocka_unit_test(proxy_v1_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
