/* links: relay/stun */
/* STUN against the vectors of tests/data/stun.json (from Tailscale 1.103.0), spoilt requests,
 * and real sockets. */
#include "relay/stun.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/key.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "tests/unit/vectors.h"

static uint8_t request[40];

static int
setup(void **state)
{
	(void)state;
	if (doc_open("tests/data/stun.json") != 0)
		return -1;
	return hex(doc, "request", request, sizeof request) == sizeof request ? 0 : -1;
}

static void
test_requests(void **state)
{
	const json_t *cases = json_object_get(doc, "requests");
	uint8_t want[STUN_ID_BYTES];

	(void)state;
	hex(doc, "txid", want, sizeof want);
	assert_int_equal(json_array_size(cases), 7);
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *v = json_array_get(cases, i);
		uint8_t p[64], id[STUN_ID_BYTES] = { 0 };
		size_t n = hex(v, "packet", p, sizeof p);
		bool is_good = json_is_true(json_object_get(v, "accepted"));

		assert_int_equal(stun_parse(p, n, id), is_good ? ERR_OK : ERR_PROTO);
		if (is_good)
			assert_memory_equal(id, want, sizeof want);
	}
}

/* What we ask as a client is what our server understands, and the other way round. */
static void
test_client(void **state)
{
	static const char *const texts[] = { "192.0.2.7:41641", "[2001:db8::7]:1" };
	uint8_t id[STUN_ID_BYTES], got[STUN_ID_BYTES], p[STUN_REQUEST_BYTES], a[STUN_ANSWER_MAX_BYTES];
	struct net_addr want, seen;

	(void)state;
	hex(doc, "txid", id, sizeof id);
	stun_request_put(p, id);
	assert_memory_equal(p, request, sizeof p);
	assert_int_equal(stun_parse(p, sizeof p, got), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		assert_int_equal(net_addr_parse(texts[i], strlen(texts[i]), &want), ERR_OK);
		size_t n = stun_answer(a, id, &want);

		assert_int_equal(stun_answer_parse(a, n, id, &seen), ERR_OK);
		/* Two servers that are made to answer each other stop at once. */
		assert_int_equal(stun_parse(a, n, got), ERR_PROTO);
		assert_true(net_ip_eq(&seen.ip, &want.ip) && seen.port == want.port);
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(stun_answer_parse(a, cut, id, &seen), ERR_PROTO);
		a[9] ^= 1;		/* of another request */
		assert_int_equal(stun_answer_parse(a, n, id, &seen), ERR_PROTO);
	}
	assert_int_equal(stun_answer_parse(p, sizeof p, id, &seen), ERR_PROTO);
}

/* Every bit counts, as the fingerprint covers all; no prefix is good. */
static void
test_spoilt_requests(void **state)
{
	uint8_t p[sizeof request], id[STUN_ID_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof p; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(p, request, sizeof p);
			p[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(stun_parse(p, sizeof p, id), ERR_PROTO);
		}
	}
	for (size_t n = 0; n < sizeof p; n++)
		assert_int_equal(stun_parse(request, n, id), ERR_PROTO);
}

static void
test_answers(void **state)
{
	const json_t *cases = json_object_get(doc, "responses");

	(void)state;
	assert_int_equal(json_array_size(cases), 3);
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *v = json_array_get(cases, i);
		const char *text = json_string_value(json_object_get(v, "addr"));
		uint8_t id[STUN_ID_BYTES], want[64], got[STUN_ANSWER_MAX_BYTES];
		struct net_addr a;
		size_t n = hex(v, "response", want, sizeof want);

		hex(v, "txid", id, sizeof id);
		assert_int_equal(net_addr_parse(text, strlen(text), &a), ERR_OK);
		assert_int_equal(stun_answer(got, id, &a), n);
		assert_memory_equal(got, want, n);
	}
}

/* --- sockets: the worker is turned by the test, so nothing waits ------------------------------ */

struct server {
	struct worker_group *g;
	struct worker *w;
	struct stun *s;
};

static void
server_start(struct server *s, char **items, unsigned n)
{
	struct err_text why;
	struct config_list list = { .items = items, .n = n };

	assert_int_equal(worker_group_new(1, &s->g, &why), ERR_OK);
	s->w = worker_group_at(s->g, 0);
	if (stun_listen(&list, s->w, &s->s, &why) != ERR_OK)
		fail_msg("%s", why.s);
	assert_int_not_equal(stun_port(s->s), 0);
}

static void
server_stop(struct server *s)
{
	worker_group_stop(s->g);
	stun_close(s->s);
	worker_group_free(s->g);
}

/* A client at an address that asks another one, both as texts; connected, so that only an answer
 * from the address asked arrives. */
static int
client_open(int family, const char *from, const char *to, uint16_t port)
{
	struct net_addr a = { .port = 0 }, b = { .port = port };
	struct sockaddr_storage sa;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t n;

	assert_true(fd >= 0);
	assert_int_equal(net_ip_parse(from, strlen(from), &a.ip), ERR_OK);
	assert_int_equal(net_ip_parse(to, strlen(to), &b.ip), ERR_OK);
	n = net_addr_to_sockaddr(&a, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	n = net_addr_to_sockaddr(&b, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, n), 0);
	return fd;
}

static void
assert_answered(struct server *s, int fd)
{
	uint8_t got[64], want[STUN_ANSWER_MAX_BYTES];
	struct sockaddr_storage sa;
	socklen_t n_sa = sizeof sa;
	struct net_addr me;
	size_t n;

	assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
	worker_turn(s->w, false);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n_sa), 0);
	net_addr_from_sockaddr((struct sockaddr *)&sa, &me);
	n = stun_answer(want, request + 8, &me);
	assert_int_equal(recv(fd, got, sizeof got, 0), n);
	assert_memory_equal(got, want, n);
}

static void
test_answers_from_the_address_asked(void **state)
{
	struct server s;
	int a, b;

	(void)state;
	server_start(&s, (char *[]){ (char[]){ "0.0.0.0:0" } }, 1);
	a = client_open(AF_INET, "127.0.0.1", "127.0.0.1", stun_port(s.s));
	b = client_open(AF_INET, "127.0.0.1", "127.0.0.9", stun_port(s.s));
	assert_answered(&s, a);
	assert_answered(&s, b);
	close(a);
	close(b);
	server_stop(&s);
}

static void
test_both_families_on_one_socket(void **state)
{
	struct server s;
	int a, b;

	(void)state;
	a = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (a < 0)
		skip();		/* a machine without IPv6 */
	close(a);
	server_start(&s, (char *[]){ (char[]){ "[::]:0" } }, 1);
	a = client_open(AF_INET, "127.0.0.1", "127.0.0.7", stun_port(s.s));
	assert_answered(&s, a);
	b = client_open(AF_INET6, "::1", "::1", stun_port(s.s));
	assert_answered(&s, b);
	close(a);
	close(b);
	server_stop(&s);
}

static void
test_bursts_and_rubbish(void **state)
{
	struct server s;
	int64_t ok = metric_get(METRIC_STUN_OK), bad = metric_get(METRIC_STUN_BAD);
	uint8_t big[300] = { 0 };
	unsigned n_answers = 0;
	int fd;

	(void)state;
	server_start(&s, (char *[]){ (char[]){ "127.0.0.1:0" } }, 1);
	fd = client_open(AF_INET, "127.0.0.1", "127.0.0.1", stun_port(s.s));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
		if (i % 10 == 0)
			assert_true(send(fd, big, i % 20 == 0 ? 0 : sizeof big, 0) >= 0);
	}
	for (unsigned i = 0; i < 20; i++)
		worker_turn(s.w, false);
	while (recv(fd, big, sizeof big, 0) == 32)
		n_answers++;
	assert_int_equal(n_answers, 100);
	assert_int_equal(metric_get(METRIC_STUN_OK) - ok, 100);
	assert_int_equal(metric_get(METRIC_STUN_BAD) - bad, 10);
	close(fd);
	server_stop(&s);
}

/* More than the usual receive buffer holds wait while the worker is busy. */
static void
test_a_busy_worker_loses_none(void **state)
{
	struct server s;
	uint8_t p[64];
	unsigned n_answers = 0;
	int fd;

	(void)state;
	server_start(&s, (char *[]){ (char[]){ "127.0.0.1:0" } }, 1);
	fd = client_open(AF_INET, "127.0.0.1", "127.0.0.1", stun_port(s.s));
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
	for (unsigned i = 0; i < 20; i++) {
		worker_turn(s.w, false);
		while (recv(fd, p, sizeof p, 0) == 32)
			n_answers++;
	}
	assert_int_equal(n_answers, 400);
	close(fd);
	server_stop(&s);
}

/* However many addresses ask, all together get so many answers. */
static void
test_rate_of_all_is_bounded(void **state)
{
	struct server s;
	int64_t ok = metric_get(METRIC_STUN_OK), limited = metric_get(METRIC_STUN_LIMITED);

	(void)state;
	clock_test_set(1000, 1);
	server_start(&s, (char *[]){ (char[]){ "127.0.0.1:0" } }, 1);
	for (unsigned source = 1; source <= 52; source++) {
		char from[16];

		snprintf(from, sizeof from, "127.0.2.%u", source);
		int fd = client_open(AF_INET, from, "127.0.0.1", stun_port(s.s));
		for (unsigned i = 0; i < 2000; i++) {
			assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
			if (i % 16 == 15)
				worker_turn(s.w, false);
		}
		close(fd);
	}
	assert_int_equal(metric_get(METRIC_STUN_OK) - ok, 100000);
	assert_int_equal(metric_get(METRIC_STUN_LIMITED) - limited, 4000);
	server_stop(&s);
	clock_test_stop();
}

static void
test_rate_is_bounded(void **state)
{
	struct server s;
	int64_t ok = metric_get(METRIC_STUN_OK), limited = metric_get(METRIC_STUN_LIMITED);
	int fd;

	(void)state;
	clock_test_set(1000, 1);
	server_start(&s, (char *[]){ (char[]){ "127.0.0.1:0" } }, 1);
	fd = client_open(AF_INET, "127.0.0.1", "127.0.0.1", stun_port(s.s));
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
		if (i % 16 == 15)
			worker_turn(s.w, false);
	}
	for (unsigned i = 0; i < 20; i++)
		worker_turn(s.w, false);
	assert_int_equal(metric_get(METRIC_STUN_OK) - ok, 2000);
	assert_int_equal(metric_get(METRIC_STUN_LIMITED) - limited, 1000);
	close(fd);
	server_stop(&s);
	clock_test_stop();
}

static void
test_listen_faults(void **state)
{
	struct server s;
	struct err_text why;
	char taken[32];
	struct stun *other = NULL;
	static const struct { const char *item; enum err want; const char *says; } cases[] = {
		{ "nonsense", ERR_INVAL, "\"nonsense\" is no address and port for STUN" },
		{ NULL, ERR_IO, "in use by another program" },
	};

	(void)state;
	server_start(&s, (char *[]){ (char[]){ "127.0.0.1:0" } }, 1);
	snprintf(taken, sizeof taken, "127.0.0.1:%u", stun_port(s.s));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char item[32];
		struct config_list list = { .items = (char *[]){ item }, .n = 1 };

		snprintf(item, sizeof item, "%s", cases[i].item != NULL ? cases[i].item : taken);
		assert_int_equal(stun_listen(&list, s.w, &other, &why), cases[i].want);
		assert_non_null(strstr(why.s, cases[i].says));
		assert_null(other);
	}
	assert_int_equal(stun_port(NULL), 0);
	stun_close(NULL);
	server_stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_spoilt_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_answers_from_the_address_asked),
		cmocka_unit_test(test_both_families_on_one_socket),
		cmocka_unit_test(test_bursts_and_rubbish),
		cmocka_unit_test(test_a_busy_worker_loses_none),
		cmocka_unit_test(test_rate_is_bounded),
		cmocka_unit_test(test_rate_of_all_is_bounded),
		cmocka_unit_test(test_listen_faults),
	};

	return cmocka_run_group_tests(tests, setup, doc_close);
}
