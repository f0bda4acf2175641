/* links: server/door server/door_route server/door_listen server/door_conn server/door_guest server/door_pass server/door_http server/door_source server/tls server/tls_self tests/unit/door_rig */
/* Proves: the door answers, upgrades and refuses real connections, TLS and plain alike. */
#include "tests/unit/door_rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/metrics.h"

/* --- tests ------------------------------------------------------------------------------------ */

static void
both_ports_speak_both(void **state)
{
	struct door_rig *f = *state;
	const uint16_t ports[] = { f->https_port, f->http_port };
	char text[8192];

	for (int i = 0; i < 4; i++) {
		bool is_tls = i % 2 == 0;
		struct client c = client_open(f, ports[i / 2], is_tls);
		const char *want = is_tls ? "GET 127.0.0.1 tls" : "GET 127.0.0.1 plain";

		/* kept alive: one by one, pipelined, cut */
		client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
		expect_start(client_until(&c, want, text), "HTTP/1.1 200 OK\r\nDate: ");
		assert_non_null(strstr(text, "\r\nX-Extra: 1\r\n"));
		assert_null(strstr(text, "Connection:"));
		client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\nGET /204 HTTP/1.1\r\nHost: h\r\n\r\n"
		    "GET /who?a=b HTTP/1.1\r\nHo");
		client_until(&c, want, text);
		expect_start(client_until(&c, "\r\n\r\n", text), "HTTP/1.1 204 No Content\r\n");
		assert_null(strstr(text, "Content-Length"));
		client_say(&c, "st: h\r\n\r\n");
		client_until(&c, want, text);
		/* HEAD has the length and no body */
		client_say(&c, "HEAD /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
		client_until(&c, NULL, text);
		assert_non_null(strstr(text, is_tls ? "Content-Length: 18" : "Content-Length: 20"));
		assert_non_null(strstr(text, "Connection: close\r\n"));
		assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

static void
ipv6_is_served(void **state)
{
	struct door_rig *f = *state;
	char text[8192];
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	bool has_v6 = fd >= 0 && bind(fd, (struct sockaddr *)(void *)&sa, sizeof(sa)) == 0;
	if (fd >= 0)
		close(fd);
	if (!has_v6)
		skip();
	f->cfg.listen_https = (struct config_list){ f->https + 1, 1 };
	door_rig_start(f);
	struct client c = { client_connect("::1", f->https_port), NULL };
	client_tls(&c, f->client_ctx);
	client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c, "GET ::1 tls", text);
	client_close(&c);
}

static void
answers_and_refusals(void **state)
{
	static const struct { const char *request, *start, *holds; bool closes; } cases[] = {
		{ "POST /who-post HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200", "POST",
		    false },
		{ "GET http://h/who HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "GET", false },
		{ "GET /who HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "Connection: close", true },
		{ "GET /who HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200",
		    "Connection: keep-alive", false },
		{ "GET /close HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "Connection: close", true },
		{ "GET /who HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "Host field", true },
		{ "GET /who HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 400", "not an HTTP/1.1", true },
		{ "nonsense\r\n\r\n", "HTTP/1.1 400", "not an HTTP/1.1", true },
		{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET /who HTTP/1.0\r\n\r\n", "HTTP/1.1 400", "", true },
		{ "PUT /who HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405", "use GET", true },
		{ "GET /who HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413", "body",
		    true },
		{ "GET /who HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		    "HTTP/1.1 413", "body", true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 426",
		    "DERP requires connection upgrade", true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nUpgrade: DERP\r\n\r\n", "HTTP/1.1 426", "\r\nUpgrade: DERP",
		    true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Protocol: derp\r\n\r\n", "HTTP/1.1 426", "", true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: DERP\r\nX-Fail: 1\r\n\r\n",
		    "HTTP/1.1 400", "X-Fail is set", true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: DERP\r\n"
		  "X-Fail: busy\r\n\r\n", "HTTP/1.1 503", "too many at once", true },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: DERP\r\n"
		  "Content-Length: 1\r\n\r\nx", "HTTP/1.1 400", "no body", true },
		{ "GET /both HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "GET", false },
		{ "GET /below/x/y?z HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 204", "", false },
		{ "POST /below/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405",
		    "use GET", true },
	};
	struct door_rig *f = *state;
	char text[8192];

	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		struct client c = client_open(f, f->https_port, i % 2 == 0);
		size_t k = i / 2;

		client_say(&c, cases[k].request);
		if (!cases[k].closes)	/* so a second request ends it */
			client_say(&c, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c, NULL, text);
		expect_start(text, cases[k].start);
		if (strstr(text, cases[k].holds) == NULL)
			fail_msg("case %zu: %s", k, text);
		assert_int_equal(strstr(text, "bye") != NULL,
		    !cases[k].closes || strstr(cases[k].request, "/close") != NULL);
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

/* A route for what is below a path is not for the path itself. */
static void
beside_a_route_is_passed(void **state)
{
	static const char *const targets[] = { "/below/", "/below", "/belowx/y", "/who/", "/x/below/y" };
	struct door_rig *f = *state;
	char text[8192], request[128];

	for (size_t i = 0; i < COUNT_OF(targets); i++) {
		struct client c = client_open(f, f->http_port, false);

		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
		client_say(&c, request);
		client_until(&c, "passed", text);
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

static void
upgrades_get_what_followed(void **state)
{
	static const char *const requests[] = {
		"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n",
		"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, upgrade\r\nUpgrade: x, derp\r\n\r\n",
		"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
		"POST /both HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: line\r\n"
		    "Content-Length: 0\r\n\r\n",
		"GET /who HTTP/1.1\r\nHost: h\r\n\r\n"
		    "GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n",
	};
	struct door_rig *f = *state;
	char text[8192], whole[1024];

	for (size_t i = 0; i < 4 * COUNT_OF(requests); i++) {
		struct client c = client_open(f, f->https_port, i % 2 == 0);

		if (i / 2 % 2 == 0) {
			snprintf(whole, sizeof(whole), "%s%s", requests[i / 4], "left over\n");
			client_say(&c, whole);
		} else {
			client_say(&c, requests[i / 4]);
			client_say(&c, "left ");
			client_say(&c, "over\n");
		}
		client_until(&c, "127.0.0.1 left over\n", text);
		assert_non_null(strstr(text, "HTTP/1.1 101 Switching Protocols\r\n"));
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

static void
slow_clients_are_ended(void **state)
{
	static const struct { const char *bytes; size_t n; const char *want; } cases[] = {
		{ "", 0, "" },
		{ "GET /who HTTP/1.1\r\nHost", 23, "HTTP/1.1 408 " },
		{ "\x16\x03\x01\x02", 4, "" },	/* part of a ClientHello */
	};
	struct door_rig *f = *state;
	char text[8192];

	f->cfg.limits.head_ms = 300;
	door_rig_start(f);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct client c = client_open(f, f->https_port, false);

		client_send(&c, cases[i].bytes, cases[i].n);
		client_until(&c, NULL, text);
		expect_start(text, cases[i].want);
		assert_true((cases[i].want[0] == '\0') == (text[0] == '\0'));
		client_close(&c);
	}
	/* also within TLS, and when the bytes keep dropping in */
	struct client c = client_open(f, f->https_port, true);
	bool is_open = true;
	for (int i = 0; i < 1000 && is_open; i++) {
		struct pollfd p = { c.fd, POLLIN, 0 };

		is_open = SSL_write(c.ssl, i == 0 ? "GET /who?" : "x", i == 0 ? 9 : 1) > 0 &&
		    poll(&p, 1, 20) == 0;
	}
	assert_false(is_open);
	client_close(&c);
	/* a kept-alive connection has the longer time of the idle */
	c = client_open(f, f->https_port, false);
	client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c, "127.0.0.1 plain", text);
	struct pollfd p = { c.fd, POLLIN, 0 };
	assert_int_equal(poll(&p, 1, 400), 0);
	client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c, "127.0.0.1 plain", text);
	client_close(&c);
	door_rig_expect_conns(f, 0);
}

/* Who would be served when its client has given up is not begun with. */
static void
late_handshakes_are_not_begun(void **state)
{
	struct door_rig *f = *state;
	int64_t before = metric_get(METRIC_DOOR_LATE);
	char text[8192];

	f->cfg.limits.head_ms = 2000;
	door_rig_start(f);
	struct client c = client_open(f, f->https_port, false);
	struct pollfd p = { c.fd, POLLIN, 0 };
	assert_int_equal(poll(&p, 1, 1700), 0);
	client_send(&c, "\x16\x03\x01", 3);
	client_until(&c, NULL, text);
	assert_string_equal(text, "");
	client_close(&c);
	door_rig_expect_conns(f, 0);
	assert_int_equal(metric_get(METRIC_DOOR_LATE), before + 1);
}

static void
large_heads_are_refused(void **state)
{
	struct door_rig *f = *state;
	char *big = malloc(300000), text[8192];

	assert_non_null(big);
	memset(big, 'a', 300000);
	memcpy(big, "GET /", 5);
	for (int i = 0; i < 2; i++) {
		struct client c = client_open(f, f->https_port, i == 0);

		client_send(&c, big, 60000);
		client_until(&c, NULL, text);
		expect_start(text, "HTTP/1.1 431 ");
		client_close(&c);
	}
	/* exactly the limit is fine */
	struct client c = client_open(f, f->https_port, false);
	snprintf(big, 300000, "GET /who HTTP/1.1\r\nHost: h\r\nA: %0*d\r\n\r\n", 4096 - 19 - 9 - 3 - 4, 0);
	assert_int_equal(strlen(big), 4096);
	client_say(&c, big);
	client_until(&c, "GET 127.0.0.1 plain", text);
	client_close(&c);
	free(big);
	door_rig_expect_conns(f, 0);
}

static void
half_open_connections_are_bounded(void **state)
{
	struct door_rig *f = *state;
	struct client c[4];
	char text[8192];

	f->cfg.limits.half_open_per_source = 3;
	door_rig_start(f);
	for (int i = 0; i < 3; i++)
		c[i] = client_open(f, f->https_port, false);
	door_rig_expect_conns(f, 3);
	c[3] = client_open(f, f->http_port, false);
	assert_string_equal(client_until(&c[3], NULL, text), "");
	client_close(&c[3]);
	/* a served request, and an end, make room each */
	client_say(&c[0], "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c[0], "127.0.0.1 plain", text);
	c[3] = client_open(f, f->http_port, true);
	client_close(&c[1]);
	door_rig_expect_conns(f, 3);
	c[1] = client_open(f, f->http_port, true);
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	door_rig_expect_conns(f, 0);
}

/* Who was served, but is not known, is still counted: one address cannot have all there are. */
static void
guests_are_bounded(void **state)
{
	struct door_rig *f = *state;
	struct client c[18];
	char text[8192];

	/* Two: the one before may still be counted when the next comes. */
	f->cfg.limits.half_open_per_source = 2;
	door_rig_start(f);
	for (int i = 0; i < 16; i++) {
		c[i] = client_open(f, f->http_port, i % 4 >= 2);
		client_say(&c[i], i % 2 == 0 ? "GET /who HTTP/1.1\r\nHost: h\r\n\r\n" :
		    "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c[i], i % 2 == 0 ? "127.0.0.1" : "passed", text);
	}
	for (int i = 16; i < 18; i++) {
		c[i] = client_open(f, f->http_port, false);
		client_say(&c[i], "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c[i], NULL, text);
		assert_non_null(strstr(text, "503"));
		client_close(&c[i]);
	}
	/* One that goes makes room for another. */
	client_close(&c[5]);
	for (bool is_served = false; !is_served;) {
		c[5] = client_open(f, f->http_port, false);
		client_say(&c[5], "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
		client_until(&c[5], NULL, text);
		is_served = strstr(text, "127.0.0.1 plain") != NULL;
		client_close(&c[5]);
	}
	for (int i = 0; i < 16; i++)
		if (i != 5)
			client_close(&c[i]);
	door_rig_expect_conns(f, 0);
}

static void
connections_are_bounded(void **state)
{
	struct door_rig *f = *state;
	struct client c[6];
	char text[8192];

	f->cfg.limits.conns = 5;
	door_rig_start(f);
	for (int i = 0; i < 5; i++) {
		c[i] = client_open(f, f->https_port, i % 2 == 0);
		client_say(&c[i], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c[i], "passed", text);
	}
	door_rig_expect_conns(f, 5);
	c[5] = client_open(f, f->https_port, false);
	assert_string_equal(client_until(&c[5], NULL, text), "");
	for (int i = 0; i < 6; i++)
		client_close(&c[i]);
	door_rig_expect_conns(f, 0);
}

/* What is beyond the burst is closed before it costs anything. */
static void
accepts_are_paced(void **state)
{
	struct door_rig *f = *state;
	struct client c[4];
	char text[8192];

	f->cfg.limits.accepts_per_s = 1;
	f->cfg.limits.accepts_burst = 3;
	door_rig_start(f);
	for (int i = 0; i < 4; i++)
		c[i] = (struct client){ client_connect("127.0.0.1", f->http_port), NULL };
	for (int i = 0; i < 3; i++) {
		client_say(&c[i], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c[i], "passed", text);
	}
	assert_string_equal(client_until(&c[3], NULL, text), "");
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	door_rig_expect_conns(f, 0);
}

/* --- proxies ---------------------------------------------------------------------------------- */

static void
trusted_proxies_name_the_peer(void **state)
{
	static const char v2[] = "\r\n\r\n\0\r\nQUIT\n"
	    "\x21\x11\0\x0c\xc6\x33\x64\x07\x7f\0\0\x01\x30\x39\x01\xbb";
	static const struct { const char *proxy; size_t n; const char *field, *want; } cases[] = {
		{ "", 0, "A: b", "127.0.0.1" },
		{ "", 0, "X-Forwarded-For: 203.0.113.5", "203.0.113.5" },
		{ "", 0, "X-Forwarded-For: 6.6.6.6, 203.0.113.5,127.0.0.9", "203.0.113.5" },
		{ "", 0, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: [2001:db8::2]:77", "2001:db8::2" },
		{ "", 0, "X-Forwarded-For: 6.6.6.6, nonsense", "127.0.0.1" },
		{ "", 0, "X-Forwarded-For: 127.0.0.8, 127.0.0.9", "127.0.0.8" },
		{ "", 0, "X-Forwarded-For: ,", "127.0.0.1" },
		{ "PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n", 45, "A: b", "198.51.100.7" },
		/* an untrusted client's own field does not count */
		{ "PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n", 45, "X-Forwarded-For: 6.6.6.6",
		    "198.51.100.7" },
		{ "PROXY UNKNOWN\r\n", 15, "A: b", "127.0.0.1" },
		{ v2, sizeof(v2) - 1, "A: b", "198.51.100.7" },
	};
	struct door_rig *f = *state;
	char text[8192], request[256], want[128];

	f->trusted[0] = (char *)(uintptr_t)"127.0.0.0/8";
	f->cfg.trusted_proxies = (struct config_list){ f->trusted, 1 };
	f->cfg.proxy_protocol = true;
	f->cfg.limits.half_open_per_source = 1;	/* does not bind the proxy itself */
	door_rig_start(f);
	struct client silent[2] = { client_open(f, f->http_port, false),
		client_open(f, f->http_port, false) };
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		struct client c = client_open(f, f->https_port, false);
		size_t k = i / 2;

		for (size_t at = 0; at < cases[k].n; at += 20)	/* cut as TCP may */
			client_send(&c, cases[k].proxy + at,
			    cases[k].n - at < 20 ? cases[k].n - at : 20);
		if (i % 2 == 0)
			client_tls(&c, f->client_ctx);
		snprintf(request, sizeof(request), "GET /who HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n"
		    "GET /close HTTP/1.1\r\nHost: h\r\n\r\n", cases[k].field);
		client_say(&c, request);
		client_until(&c, NULL, text);
		snprintf(want, sizeof(want), "GET %s %s", cases[k].want, i % 2 == 0 ? "tls" : "plain");
		if (strstr(text, want) == NULL)
			fail_msg("case %zu: wanted %s in %s", k, want, text);
		client_close(&c);
	}
	/* a bad PROXY header, and a second half-open connection of a real peer */
	struct client c = client_open(f, f->https_port, false);
	client_say(&c, "PROXY TCP4 nonsense\r\n");
	assert_string_equal(client_until(&c, NULL, text), "");
	client_close(&c);
	for (int i = 0; i < 2; i++) {
		client_say(&silent[i], "PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n");
		if (i == 1)
			assert_string_equal(client_until(&silent[i], NULL, text), "");
		else
			client_say(&silent[i], "GET /204 HTTP/1.1\r\n");	/* not whole: half open */
	}
	client_close(&silent[0]);
	client_close(&silent[1]);
	door_rig_expect_conns(f, 0);
}

#define STARTED(name) \
	cmocka_unit_test_setup_teardown(name, door_rig_setup_started, door_rig_teardown)
#define CONFIGURED(name) cmocka_unit_test_setup_teardown(name, door_rig_setup, door_rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STARTED(both_ports_speak_both),
		CONFIGURED(ipv6_is_served),
		STARTED(answers_and_refusals),
		STARTED(beside_a_route_is_passed),
		STARTED(upgrades_get_what_followed),
		CONFIGURED(slow_clients_are_ended),
		CONFIGURED(late_handshakes_are_not_begun),
		STARTED(large_heads_are_refused),
		CONFIGURED(half_open_connections_are_bounded),
		CONFIGURED(guests_are_bounded),
		CONFIGURED(connections_are_bounded),
		CONFIGURED(accepts_are_paced),
		CONFIGURED(trusted_proxies_name_the_peer),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
