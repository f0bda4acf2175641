/* links: coord/h2 coord/h2_mem coord/h2_queue */
/* Limits of HTTP/2 sessions: bodies, heads, streams, floods. */
#include "coord/h2.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/unit/h2_rig.h"

static void
bodies_are_bounded(void **state)
{
	static const struct { size_t n; int status; } cases[] = {
		{ BODY_MAX, 200 }, { BODY_MAX + 1, 413 }, { 500000, 413 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair *p = pair_new(0);
		char *body = obj_alloc(cases[i].n + 1);
		struct h2c_stream *s;

		memset(body, 'x', cases[i].n);
		p->seen.answer_status = 200;
		s = h2c_at(&p->c, h2c_request(&p->c, "POST", "/", body));
		run_ok(p);
		assert_int_equal(s->status, cases[i].status);
		assert_true(s->is_closed);
		assert_int_equal(p->seen.n_requests, cases[i].status == 200);
		if (cases[i].status == 200)
			assert_int_equal(p->seen.body_sum, 'x' * cases[i].n);
		/* the connection goes on */
		s = h2c_at(&p->c, h2c_request(&p->c, "GET", "/", NULL));
		run_ok(p);
		assert_int_equal(s->status, 200);
		pair_free(p);
		free(body);
	}
}

/* Ten bodies at a time, each within bounds, are more than twice one. */
static void
all_bodies_are_bounded(void **state)
{
	struct pair *p = pair_new(0);
	char body[4001];
	unsigned n_refused = 0;

	(void)state;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	for (int i = 0; i < 10; i++) {
		h2c_at(&p->c, 2 * i + 1)->is_open_ended = true;
		h2c_request(&p->c, "POST", "/", body);
	}
	run_ok(p);
	for (int i = 0; i < 10; i++)
		n_refused += h2c_at(&p->c, 2 * i + 1)->status == 413;
	assert_int_equal(n_refused, 8);
	assert_int_equal(p->seen.n_requests, 0);
	pair_free(p);
}

/* Many sessions that each send half a body: all of them together are bounded, but for a little of
 * each, which a client of good will needs to be served all the same. */
static void
bodies_of_all_sessions_are_bounded(void **state)
{
	static struct pair pairs[3];
	static char body[100001];
	struct h2_env *wide = h2_env_new(&(struct h2_limits){ .streams_max = 10,
	    .body_bytes = 200000, .bodies_bytes = 100000 },
	    &(struct h2_hooks){ .on_request = on_request, .on_closed = on_closed });

	(void)state;
	memset(body, 'x', sizeof body - 1);
	for (int i = 0; i < 3; i++) {
		struct pair *p = &pairs[i];

		h2c_init(&p->c, 0);
		p->h = h2_new(wide, p);
		p->now_ms = 1000;
		p->seen.answer_status = 200;
		h2c_at(&p->c, 1)->is_open_ended = true;
		h2c_request(&p->c, "POST", "/", body);
		run_ok(p);
		assert_int_equal(h2c_at(&p->c, 1)->status, i < 2 ? 0 : 503);
	}
	body[60000] = '\0';
	h2c_request(&pairs[2].c, "POST", "/", body);
	run_ok(&pairs[2]);
	assert_int_equal(h2c_at(&pairs[2].c, 3)->status, 200);
	pair_free(&pairs[0]);
	body[60000] = 'x';
	h2c_request(&pairs[2].c, "POST", "/", body);
	run_ok(&pairs[2]);
	assert_int_equal(h2c_at(&pairs[2].c, 5)->status, 200);
	pair_free(&pairs[1]);
	pair_free(&pairs[2]);
	h2_env_free(wide);
}

static void
paths_are_bounded(void **state)
{
	static const struct { size_t n; int status; } cases[] = { { 1023, 200 }, { 1024, 414 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair *p = pair_new(0);
		char path[2000] = "/";
		struct h2c_stream *s;

		memset(path + 1, 'p', cases[i].n - 1);
		p->seen.answer_status = 200;
		s = h2c_at(&p->c, h2c_request(&p->c, "GET", path, NULL));
		run_ok(p);
		assert_int_equal(s->status, cases[i].status);
		assert_int_equal(p->seen.n_requests, cases[i].status == 200);
		pair_free(p);
	}
}

static void
heads_are_bounded(void **state)
{
	struct pair *p = pair_new(0);
	char *path = obj_alloc(20001);

	(void)state;
	memset(path, '/', 20000);
	h2c_request(&p->c, "GET", path, NULL);
	assert_int_equal(run(p, 100000), ERR_LIMIT);
	assert_int_equal(p->seen.n_requests, 0);
	pair_free(p);
	free(path);
}

static void
streams_are_bounded(void **state)
{
	struct pair *p = pair_new(0);
	unsigned n_refused = 0;

	(void)state;
	run_ok(p);	/* the client knows our settings, and disregards them */
	for (int i = 0; i < 14; i++)
		h2c_request(&p->c, "POST", "/", "x");
	run_ok(p);
	for (int i = 0; i < 14; i++)
		n_refused += h2c_at(&p->c, 2 * i + 1)->is_closed;
	assert_true(p->seen.n_requests <= 10);
	assert_int_equal(n_refused, 0);	/* nghttp2's client holds the rest back */
	pair_free(p);
}

static void
flood_of_resets(void **state)
{
	struct pair *p = pair_new(0);
	enum err rc = ERR_OK;
	unsigned n = 0;

	(void)state;
	while (rc == ERR_OK && n < 250 && !p->c.has_goaway) {
		int32_t id = h2c_request(&p->c, "POST", "/", NULL);

		h2c_flush(&p->c);
		nghttp2_submit_rst_stream(p->c.session, 0, id, NGHTTP2_CANCEL);
		rc = run(p, 100000);
		n++;
	}
	assert_true(n > 90 && n < 120);
	assert_true(h2_is_done(p->h));
	assert_int_equal(p->seen.n_closed, n);
	pair_free(p);
}

static void
flood_of_requests(void **state)
{
	struct pair *p = pair_new(0);
	enum err rc = ERR_OK;
	unsigned n = 0;

	(void)state;
	p->seen.answer_status = 200;
	while (rc == ERR_OK && n < 1000) {
		h2c_request(&p->c, "GET", "/", NULL);
		rc = run(p, 100000);
		if (rc == ERR_OK)
			n++;
		if (n == 200)
			p->now_ms += 1000;	/* 20 more */
	}
	assert_int_equal(rc, ERR_LIMIT);
	assert_int_equal(n, 320);
	pair_free(p);
}

/* One who acknowledges no settings may open more streams than allowed, each of which nghttp2 refuses
 * without a word to us: they count all the same. */
static void
flood_of_refused_streams(void **state)
{
	static const uint8_t head[] = { 0x83, 0x84, 0x87 };	/* POST / https */
	struct pair *p = pair_new(0);
	struct buf b = { 0 };
	enum err rc = ERR_OK;
	uint32_t n = 0;

	(void)state;
	buf_str(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	buf_append(&b, "\0\0\0\4\0\0\0\0\0", 9);	/* SETTINGS */
	assert_int_equal(h2_recv(p->h, b.p, b.len, p->now_ms), ERR_OK);
	for (; n < 5000 && rc == ERR_OK; n++) {
		uint8_t frame[9 + sizeof head] = { 0, 0, sizeof head, 1, 4 };
		static uint8_t space[20000];

		wire_put_u32be(frame + 5, 2 * n + 1);
		memcpy(frame + 9, head, sizeof head);
		rc = h2_recv(p->h, frame, sizeof frame, p->now_ms);
		if (rc == ERR_OK)
			assert_int_equal(h2_send(p->h, &(struct h2_out){ .p = space,
			    .cap = sizeof space }), ERR_OK);
	}
	assert_int_equal(rc, ERR_LIMIT);
	assert_in_range(n, 100, 400);
	buf_fini(&b);
	pair_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_bounded),
		cmocka_unit_test(all_bodies_are_bounded),
		cmocka_unit_test(bodies_of_all_sessions_are_bounded),
		cmocka_unit_test(paths_are_bounded),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(streams_are_bounded),
		cmocka_unit_test(flood_of_resets),
		cmocka_unit_test(flood_of_requests),
		cmocka_unit_test(flood_of_refused_streams),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
