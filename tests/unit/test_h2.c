/* links: coord/h2 coord/h2_mem coord/h2_queue */
/* HTTP/2 sessions against a scripted nghttp2 client, in memory: requests, answers that go on. */
#include "coord/h2.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/h2_rig.h"

static void
requests(void **state)
{
	static const struct { const char *method, *path, *body; int status; } cases[] = {
		{ "POST", "/machine/map", "{\"a\":1}", 200 },
		{ "GET", "/machine/whoami", NULL, 404 },
		{ "POST", "/x?y=z", "", 503 },
		{ "PATCH", "/", "x", 200 },
	};
	struct pair *p = pair_new(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct h2c_stream *s;

		p->seen.answer_status = cases[i].status;
		s = h2c_at(&p->c, h2c_request(&p->c, cases[i].method, cases[i].path, cases[i].body));
		run_ok(p);
		assert_int_equal(p->seen.n_requests, i + 1);
		assert_string_equal(p->seen.method, cases[i].method);
		assert_string_equal(p->seen.path, cases[i].path);
		assert_int_equal(p->seen.n_body, cases[i].body != NULL ? strlen(cases[i].body) : 0);
		assert_int_equal(s->status, cases[i].status);
		assert_string_equal(s->content_type, "text/plain");
		assert_int_equal(s->body.len, 5);
		assert_memory_equal(s->body.p, "hello", 5);
		assert_true(s->is_closed);
		assert_int_equal(s->code, 0);
		assert_int_equal(p->seen.n_closed, i + 1);
	}
	assert_true(p->c.has_settings);
	assert_true(TAILQ_EMPTY(h2_streams(p->h)));
	pair_free(p);
}

static void
answers_without_body(void **state)
{
	struct pair *p = pair_new(0);
	struct h2c_stream *s = h2c_at(&p->c, h2c_request(&p->c, "POST", "/", "x"));
	struct h2_stream *server;

	(void)state;
	run_ok(p);
	server = h2_find(p->h, p->seen.id);
	assert_non_null(server);
	assert_null(h2_find(p->h, 99));
	h2_answer(p->h, server, &(struct h2_answer){ .status = 429, .retry_after_s = 7 });
	h2_answer(p->h, server, &(struct h2_answer){ .status = 200, .body = text("second") });
	run_ok(p);
	assert_int_equal(s->status, 429);
	assert_string_equal(s->retry_after, "7");
	assert_string_equal(s->content_type, "");
	assert_int_equal(s->body.len, 0);
	assert_true(s->is_closed);
	pair_free(p);
}

/* Messages of several segments through buffers of all sizes arrive whole and in order. */
static void
streaming(void **state)
{
	static const size_t rooms[] = { H2_OUT_MIN_BYTES, 20000, 40000, 100000, 200000 };

	(void)state;
	for (size_t r = 0; r < COUNT_OF(rooms); r++) {
		struct pair *p = pair_new(0);
		struct h2c_stream *s = h2c_at(&p->c, h2c_request(&p->c, "POST", "/map", "{}"));
		struct shbuf *big = shbuf_alloc(300000), *shared = text("shared");
		struct h2_stream *server;

		memset(big->bytes, 'b', big->len);
		assert_int_equal(run(p, rooms[r]), ERR_OK);
		server = h2_find(p->h, p->seen.id);
		for (unsigned i = 0; i < 3; i++) {
			struct shbuf *segs[] = { shbuf_hold(shared), shbuf_hold(big), shbuf_hold(shared) };

			h2_push(p->h, server, &(struct h2_part){ .prefix = { 1, 2, 3, (uint8_t)i },
			    .n_prefix = 4, .segs = segs, .n = 3, .is_last = i == 2 });
			assert_false(h2_is_drained(server));
			if (i < 2) {
				assert_int_equal(run(p, rooms[r]), ERR_OK);
				assert_true(h2_is_drained(server));
				assert_false(s->is_closed);
				assert_int_equal(s->body.len, (i + 1) * 300016u);
				assert_int_equal(server->sent_bytes, s->body.len);
			}
		}
		assert_int_equal(run(p, rooms[r]), ERR_OK);
		assert_int_equal(s->status, 200);
		assert_true(s->is_closed);
		assert_int_equal(s->body.len, 3 * 300016);
		for (unsigned i = 0; i < 3; i++) {
			uint8_t *at = s->body.p + i * 300016u;

			assert_memory_equal(at, ((uint8_t[]){ 1, 2, 3, (uint8_t)i }), 4);
			assert_memory_equal(at + 4, "sharedb", 7);
			assert_memory_equal(at + 300016 - 7, "bshared", 7);
		}
		shbuf_drop(big);
		shbuf_drop(shared);
		pair_free(p);
	}
}

static void
ends_without_message(void **state)
{
	struct pair *p = pair_new(0);
	struct h2c_stream *s = h2c_at(&p->c, h2c_request(&p->c, "POST", "/map", "{}"));
	struct shbuf *one = text("x");
	struct h2_stream *server;

	(void)state;
	run_ok(p);
	server = h2_find(p->h, p->seen.id);
	h2_push(p->h, server, &(struct h2_part){ .segs = &one, .n = 1 });
	run_ok(p);
	assert_false(s->is_closed);
	h2_push(p->h, server, &(struct h2_part){ .is_last = true });
	one = text("too late");
	h2_push(p->h, server, &(struct h2_part){ .segs = &one, .n = 1 });
	run_ok(p);
	assert_true(s->is_closed);
	assert_int_equal(s->code, 0);
	assert_int_equal(s->body.len, 1);
	pair_free(p);
}

/* The client takes 1000 bytes and never more; other streams go on; reset and close free what
 * waits. */
static void
stalled_stream(void **state)
{
	struct pair *p = pair_new(1000);
	struct h2c_stream *s = h2c_at(&p->c, h2c_request(&p->c, "POST", "/map", "{}"));
	struct shbuf *big = shbuf_alloc(5000);
	struct h2_stream *server;
	struct h2c_stream *other;

	(void)state;
	memset(big->bytes, 1, big->len);
	run_ok(p);
	server = h2_find(p->h, p->seen.id);
	h2_push(p->h, server, &(struct h2_part){ .segs = &big, .n = 1 });
	run_ok(p);
	assert_int_equal(s->body.len, 1000);
	assert_int_equal(server->sent_bytes, 1000);
	assert_false(h2_is_drained(server));
	p->seen.answer_status = 200;
	other = h2c_at(&p->c, h2c_request(&p->c, "GET", "/x", NULL));
	run_ok(p);
	assert_int_equal(other->status, 200);
	h2_reset(p->h, server);
	run_ok(p);
	assert_true(s->is_closed);
	assert_int_equal(s->code, NGHTTP2_CANCEL);
	assert_int_equal(p->seen.n_closed, 2);
	pair_free(p);
}

static void
client_resets(void **state)
{
	struct pair *p = pair_new(1000);
	int32_t id = h2c_request(&p->c, "POST", "/map", "{}");
	struct shbuf *big = shbuf_alloc(5000);

	(void)state;
	memset(big->bytes, 1, big->len);
	run_ok(p);
	h2_push(p->h, h2_find(p->h, id), &(struct h2_part){ .segs = &big, .n = 1 });
	run_ok(p);
	assert_int_equal(nghttp2_submit_rst_stream(p->c.session, 0, id, NGHTTP2_CANCEL), 0);
	run_ok(p);
	assert_int_equal(p->seen.n_closed, 1);
	assert_null(h2_find(p->h, id));
	pair_free(p);
}

/* Streams that are open when the session is freed are closed one by one. */
static void
freed_while_open(void **state)
{
	struct pair *p = pair_new(1000);
	struct shbuf *big = shbuf_alloc(5000);
	int32_t id = h2c_request(&p->c, "POST", "/map", "{}");

	(void)state;
	memset(big->bytes, 1, big->len);
	h2c_request(&p->c, "POST", "/machine/register", "{}");
	h2c_at(&p->c, id + 4)->is_open_ended = true;
	h2c_request(&p->c, "POST", "/half", "half a body");
	run_ok(p);
	assert_int_equal(p->seen.n_requests, 2);
	h2_push(p->h, h2_find(p->h, id), &(struct h2_part){ .segs = &big, .n = 1 });
	run_ok(p);
	h2_free(p->h);
	p->h = NULL;
	assert_int_equal(p->seen.n_closed, 3);
	pair_free(p);
}

static void
garbage(void **state)
{
	static const struct { const char *bytes; size_t n; } cases[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27 },
		{ "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n\0\0\0\4\0\0\0\0\0", 33 },
		{ "\0\0\0\4\0\0\0\0\0", 9 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair *p = pair_new(0);

		assert_int_equal(h2_recv(p->h, (const uint8_t *)cases[i].bytes, cases[i].n, 0),
		    ERR_PROTO);
		pair_free(p);
	}
}

/* A frame that the protocol forbids is answered with GOAWAY, and then all is over. */
static void
bad_frame(void **state)
{
	static const uint8_t push[] = { 0, 0, 4, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2 };
	struct pair *p = pair_new(0);

	(void)state;
	run_ok(p);
	assert_int_equal(h2_recv(p->h, push, sizeof push, 0), ERR_OK);
	assert_true(h2_wants_send(p->h));
	run_ok(p);
	assert_true(p->c.has_goaway);
	assert_int_equal(p->c.goaway_code, NGHTTP2_PROTOCOL_ERROR);
	assert_true(h2_is_done(p->h));
	pair_free(p);
}

static void
pings_and_finish(void **state)
{
	struct pair *p = pair_new(0);
	struct shbuf *one = text("x");
	int32_t id;

	(void)state;
	nghttp2_submit_ping(p->c.session, 0, NULL);
	id = h2c_request(&p->c, "POST", "/map", "{}");
	run_ok(p);
	assert_int_equal(p->c.n_pings, 1);
	assert_false(h2_wants_send(p->h));
	h2_push(p->h, h2_find(p->h, id), &(struct h2_part){ .segs = &one, .n = 1 });
	h2_finish(p->h);
	run_ok(p);
	assert_true(p->c.has_goaway);
	assert_false(h2_is_done(p->h));
	h2_push(p->h, h2_find(p->h, id), &(struct h2_part){ .is_last = true });
	run_ok(p);
	assert_true(h2_is_done(p->h));
	pair_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(answers_without_body),
		cmocka_unit_test(streaming),
		cmocka_unit_test(ends_without_message),
		cmocka_unit_test(stalled_stream),
		cmocka_unit_test(client_resets),
		cmocka_unit_test(freed_while_open),
		cmocka_unit_test(garbage),
		cmocka_unit_test(bad_frame),
		cmocka_unit_test(pings_and_finish),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
