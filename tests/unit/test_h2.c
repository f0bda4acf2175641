/* links: coord/h2 */
/* HTTP/2 sessions against a scripted nghttp2 client, in memory: requests, answers that go on,
 * limits, floods. */
#include "coord/h2.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/h2_client.h"

#define BODY_MAX 5000

struct seen {
	unsigned n_requests, n_closed;
	char method[16], path[64];
	size_t n_body;
	uint32_t body_sum;
	int32_t id;
	int answer_status;	/* answered at once, unless 0 */
};

struct pair {
	struct h2c c;
	struct h2 *h;
	struct seen seen;
	int64_t now_ms;
};

static struct h2_env *env;
static struct pair the_pair;

static struct shbuf *
text(const char *s)
{
	return shbuf_new(s, strlen(s));
}

static void
on_request(void *arg, struct h2_stream *s)
{
	struct pair *p = arg;

	p->seen.n_requests++;
	snprintf(p->seen.method, sizeof p->seen.method, "%s", s->method);
	snprintf(p->seen.path, sizeof p->seen.path, "%.63s", s->path);
	p->seen.n_body = s->body.len;
	p->seen.body_sum = 0;
	for (size_t i = 0; i < s->body.len; i++)
		p->seen.body_sum += s->body.p[i];
	p->seen.id = s->id;
	if (p->seen.answer_status != 0)
		h2_answer(p->h, s, &(struct h2_answer){ .status = p->seen.answer_status,
		    .content_type = "text/plain", .body = text("hello") });
}

static void
on_closed(void *arg, struct h2_stream *s)
{
	struct pair *p = arg;

	assert_true(s->id > 0);
	p->seen.n_closed++;
}

static int
group_setup(void **state)
{
	(void)state;
	env = h2_env_new(&(struct h2_limits){ .streams_max = 10, .body_bytes = BODY_MAX,
	    .bodies_bytes = 1 },
	    &(struct h2_hooks){ .on_request = on_request, .on_closed = on_closed });
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	h2_env_free(env);
	h2_env_free(NULL);
	return 0;
}

static struct pair *
pair_new(uint32_t window)
{
	struct pair *p = &the_pair;

	memset(p, 0, sizeof *p);
	h2c_init(&p->c, window);
	p->h = h2_new(env, p);
	p->now_ms = 1000;
	return p;
}

static void
pair_free(struct pair *p)
{
	h2_free(p->h);
	h2_free(NULL);
	h2c_fini(&p->c);
}

/* Both ways until nobody has anything to say; the server's pieces are of at most room bytes. */
static enum err
run(struct pair *p, size_t room)
{
	static uint8_t space[200000];
	bool is_more = true;

	while (is_more) {
		struct h2_out out = { .p = space, .cap = room };
		enum err rc;

		h2c_flush(&p->c);
		rc = h2_recv(p->h, p->c.out.p, p->c.out.len, p->now_ms);
		is_more = p->c.out.len > 0;
		buf_clear(&p->c.out);
		if (rc != ERR_OK)
			return rc;
		rc = h2_send(p->h, &out);
		if (rc != ERR_OK && rc != ERR_AGAIN)
			return rc;
		if (out.len > 0)
			h2c_recv(&p->c, space, out.len);
		is_more = is_more || out.len > 0;
	}
	return ERR_OK;
}

static void
run_ok(struct pair *p)
{
	assert_int_equal(run(p, 100000), ERR_OK);
}

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
		cmocka_unit_test(bodies_are_bounded),
		cmocka_unit_test(all_bodies_are_bounded),
		cmocka_unit_test(bodies_of_all_sessions_are_bounded),
		cmocka_unit_test(paths_are_bounded),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(streams_are_bounded),
		cmocka_unit_test(flood_of_resets),
		cmocka_unit_test(flood_of_requests),
		cmocka_unit_test(garbage),
		cmocka_unit_test(bad_frame),
		cmocka_unit_test(pings_and_finish),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
