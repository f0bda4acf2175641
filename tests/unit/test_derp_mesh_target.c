/* links: relay/derp_mesh_target */
/* Names of other relays, the request to them, and what they may answer. */
#include "relay/derp_mesh_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/obj.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static void
test_parse(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		bool is_tls, is_ip, has_pin;
	} good[] = {
		{ "derp2.example.org", "derp2.example.org", 443, true, false, false },
		{ "derp2:8443", "derp2", 8443, true, false, false },
		{ "https://derp2.example.org:1", "derp2.example.org", 1, true, false, false },
		{ "http://derp2", "derp2", 80, false, false, false },
		{ "http://10.0.0.2:3340", "10.0.0.2", 3340, false, true, false },
		{ "[2001:db8::1]", "2001:db8::1", 443, true, true, false },
		{ "https://[2001:db8::1]:65535", "2001:db8::1", 65535, true, true, false },
		{ "sha256-raw:" PIN "@10.0.0.2", "10.0.0.2", 443, true, true, true },
		{ "https://sha256-raw:" PIN "@[::1]:8443", "::1", 8443, true, true, true },
	};
	static const char *const bad[] = {
		"", ":443", "https://", "https://:443", "a b", "host:", "host:0", "host:65536", "host:4x",
		"host:99999999999999999999", "user@host", "host/path", "ftp://host", "[::1", "::1", "[host]",
		"[10.0.0.1]", "[]", "[::1]x", "sha256-raw:00@host", "sha256-raw:" PIN "host",
		"http://sha256-raw:" PIN "@host", "sha256-raw:" PIN "@", "host\r\nX: y",
	};
	struct derp_mesh_target t;
	char longest[300];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_int_equal(derp_mesh_target_parse(good[i].text, &t), ERR_OK);
		assert_string_equal(t.host, good[i].host);
		assert_int_equal(t.port, good[i].port);
		assert_int_equal(t.is_tls, good[i].is_tls);
		assert_int_equal(t.is_ip, good[i].is_ip);
		assert_int_equal(t.has_pin, good[i].has_pin);
	}
	assert_int_equal(t.pin[0], 0);
	assert_int_equal(t.pin[31], 0xff);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		t.port = 7;
		assert_int_equal(derp_mesh_target_parse(bad[i], &t), ERR_INVAL);
		assert_int_equal(t.port, 7);		/* untouched */
	}
	memset(longest, 'a', sizeof longest);
	longest[253] = '\0';
	assert_int_equal(derp_mesh_target_parse(longest, &t), ERR_OK);
	longest[253] = 'a';
	longest[254] = '\0';
	assert_int_equal(derp_mesh_target_parse(longest, &t), ERR_INVAL);
}

static void
test_request(void **state)
{
	static const struct { const char *text, *host; } cases[] = {
		{ "derp2.example.org", "\r\nHost: derp2.example.org\r\n" },
		{ "derp2.example.org:443", "\r\nHost: derp2.example.org\r\n" },
		{ "derp2.example.org:8443", "\r\nHost: derp2.example.org:8443\r\n" },
		{ "http://derp2", "\r\nHost: derp2\r\n" },
		{ "http://derp2:443", "\r\nHost: derp2:443\r\n" },
		{ "[::1]:8443", "\r\nHost: [::1]:8443\r\n" },
	};
	char out[DERP_MESH_REQUEST_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct derp_mesh_target t;
		size_t n;

		assert_int_equal(derp_mesh_target_parse(cases[i].text, &t), ERR_OK);
		n = derp_mesh_target_request(&t, out);
		assert_int_equal(n, strlen(out));
		assert_memory_equal(out, "GET /derp HTTP/1.1\r\n", 20);
		assert_non_null(strstr(out, cases[i].host));
		assert_non_null(strstr(out, "\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"));
		assert_string_equal(out + n - 4, "\r\n\r\n");
	}
}

static void
test_answer(void **state)
{
	static const struct { const char *text; enum err rc; size_t n_head; } cases[] = {
		{ "", ERR_AGAIN, 0 }, { "HTTP", ERR_AGAIN, 0 }, { "HTTP/1.1 101 X\r\n", ERR_AGAIN, 0 },
		{ "HTTP/1.1 101 X\r\n\r\n", ERR_OK, 18 },
		{ "HTTP/1.1 101 X\r\nUpgrade: DERP\r\n\r\nbehind", ERR_OK, 33 },
		{ "HTTP/1.1 1010\r\n\r\n", ERR_DENIED, 0 }, { "HTTP/1.1 404 Not Found\r\n\r\n", ERR_DENIED, 0 },
		{ "HTTP/1.0 101 X\r\n\r\n", ERR_PROTO, 0 }, { "SSH", ERR_PROTO, 0 },
		{ "HTTP/1.1 \r\n\r\n", ERR_DENIED, 0 },
	};
	char longest[4096];
	size_t n_head = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		n_head = 0;
		assert_int_equal(derp_mesh_target_answer(cases[i].text, strlen(cases[i].text), &n_head),
		    cases[i].rc);
		assert_int_equal(n_head, cases[i].n_head);
	}
	memset(longest, 'a', sizeof longest);
	memcpy(longest, "HTTP/1.1 101 X\r\n", 16);
	assert_int_equal(derp_mesh_target_answer(longest, sizeof longest - 1, &n_head), ERR_AGAIN);
	assert_int_equal(derp_mesh_target_answer(longest, sizeof longest, &n_head), ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_request), cmocka_unit_test(test_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
