/* links: coord/ts2021 coord/ts2021_conn coord/ts2021_request coord/noise coord/h2 coord/h2_mem coord/h2_queue coord/machine coord/msg_map coord/msg_register coord/msg_ssh coord/hostinfo coord/tag */
/* Control connections: keep-alives and deadlines by an injected clock, every way that a stream
 * ends, and clients that misbehave. */
#include "tests/unit/ts2021_rig.h"

/* --- tests: time ------------------------------------------------------------------------------ */

static void
keepalives(void **state)
{
	static const char want[] = "\x1b\0\0\0\x28\xb5\x2f\xfd\x20\x12\x91\0\0{\"KeepAlive\":true}";
	struct client *c = client_new(0);
	struct h2c_stream *map = client_map(c);

	(void)state;
	/* none before the first message, however long it takes */
	for (int i = 0; i < 100; i++)
		advance(1000);
	run(c);
	assert_int_equal(map->body.len, 0);
	map_send("x", false);
	run(c);
	assert_int_equal(seen.n_drained, 1);
	buf_clear(&map->body);
	for (int n = 0; n < 3; n++) {
		int s;

		for (s = 0; s < 70 && map->body.len == 0; s++) {
			advance(1000);
			run(c);
		}
		assert_true(s >= 50 && s <= 62);
		assert_int_equal(map->body.len, sizeof want - 1);
		assert_memory_equal(map->body.p, want, sizeof want - 1);
		buf_clear(&map->body);
	}
	/* a message puts it off */
	for (int s = 0; s < 40; s++)
		advance(1000);
	map_send("y", false);
	run(c);
	buf_clear(&map->body);
	for (int s = 0; s < 45; s++)
		advance(1000);
	run(c);
	assert_int_equal(map->body.len, 0);
	assert_int_equal(seen.n_drained, 2);	/* keep-alives are not told */
	client_free(c);
}

static void
deadlines(void **state)
{
	static const struct { bool says_preface; const char *asks; int after_s, before_s; } cases[] = {
		{ false, NULL, 9, 13 },		/* only the upgrade */
		{ true, NULL, 28, 50 },		/* nothing asked */
		{ true, "/machine/whoami", 118, 140 },	/* asked, then idle: GOAWAY */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct client *c = client_new(0);
		int s;

		worker_turn(worker, false);
		client_read(c);
		assert_true(c->has_answer);
		if (cases[i].asks != NULL)
			h2c_request(&c->h2, "GET", cases[i].asks, NULL);
		if (cases[i].says_preface)
			run(c);
		for (s = 0; s < 200 && !c->is_closed; s++) {
			advance(1000);
			client_read(c);
		}
		assert_true(s > cases[i].after_s && s <= cases[i].before_s);
		assert_int_equal(c->h2.has_goaway, cases[i].asks != NULL);
		client_free(c);
	}
}

/* An open map stream keeps the connection, however quiet the client is. */
static void
no_deadline_with_a_stream(void **state)
{
	struct client *c = client_new(0);

	(void)state;
	client_map(c);
	map_send("x", false);
	for (int s = 0; s < 600; s++) {
		advance(1000);
		client_read(c);
	}
	assert_false(c->is_closed);
	client_free(c);
}

static void
unfinished_body(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *s = h2c_at(&c->h2, 1);

	(void)state;
	client_map(c);
	s = h2c_at(&c->h2, 3);
	s->is_open_ended = true;
	h2c_request(&c->h2, "POST", "/machine/register", "{");
	run(c);
	assert_false(s->is_closed);
	for (int i = 0; i < 50; i++)
		advance(1000);
	run(c);
	assert_true(s->is_closed);
	assert_int_equal(s->code, NGHTTP2_CANCEL);
	assert_int_equal(seen.n_gone, 0);
	assert_int_equal(seen.n_register, 0);
	client_free(c);
}

/* --- tests: ends ------------------------------------------------------------------------------ */

static void
gone_by_reset(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *map = client_map(c);

	(void)state;
	map_send("x", false);
	run(c);
	nghttp2_submit_rst_stream(c->h2.session, 0, seen.from.stream, NGHTTP2_CANCEL);
	run(c);
	assert_int_equal(seen.n_gone, 1);
	assert_int_equal(seen.gone, seen.from.stream);
	assert_true(map->is_closed);
	/* answers that come too late are misses */
	map_send("y", false);
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 200, 0, text("z"));
	ts2021_stream_end(ctl, seen.from.conn, seen.from.stream);
	run(c);
	assert_int_equal(seen.n_drained, 1);
	assert_int_equal(seen.n_gone, 1);
	client_free(c);
}

static void
gone_with_the_connection(void **state)
{
	struct client *c = client_new(0);
	struct conn_ref ref;

	(void)state;
	client_map(c);
	h2c_request(&c->h2, "POST", "/machine/register", REGISTER_BODY);
	h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY);
	run(c);
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 200, 0, NULL);
	run(c);
	ref = seen.from.conn;
	client_free(c);
	worker_turn(worker, false);
	assert_int_equal(seen.n_gone, 2);
	assert_null(worker_find(worker, ref));
	map_send("late", false);
	ts2021_reply(ctl, (struct conn_ref){ .generation = 0 }, 1, 200, 0, text("nobody"));
	ts2021_reply(ctl, (struct conn_ref){ .worker = 9, .generation = 1 }, 1, 200, 0, text("nobody"));
	worker_turn(worker, false);
}

static void
gone_when_the_server_stops(void **state)
{
	struct client *c = client_new(0), *waiting;

	(void)state;
	client_map(c);
	waiting = client_new(0);
	map_send("never delivered", false);
	worker_group_stop(group);
	assert_int_equal(seen.n_gone, 1);
	client_read(c);
	assert_true(c->is_closed);
	client_read(waiting);
	assert_true(waiting->is_closed);
	client_free(c);
	client_free(waiting);
}

static void
ended_by_us(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *one = client_map(c), *two;

	(void)state;
	map_send("x", false);
	run(c);
	ts2021_stream_end(ctl, seen.from.conn, seen.from.stream);
	ts2021_stream_end(ctl, seen.from.conn, seen.from.stream);
	run(c);
	assert_true(one->is_closed);
	assert_int_equal(one->code, 0);
	assert_int_equal(one->body.len, 5);
	two = client_map(c);
	ts2021_stream_end(ctl, seen.from.conn, seen.from.stream);
	run(c);
	assert_true(two->is_closed);
	assert_int_equal(two->status, 503);
	/* an answer instead of the next message ends it */
	two = client_map(c);
	map_send("x", false);
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 404, 0, text("gone"));
	run(c);
	assert_true(two->is_closed);
	assert_int_equal(two->status, 200);
	assert_int_equal(two->body.len, 5);
	assert_int_equal(seen.n_gone, 0);
	client_free(c);
}

/* --- tests: bad clients ----------------------------------------------------------------------- */

static void
oversized_body(void **state)
{
	struct client *c = client_new(0);
	char *body = obj_alloc(BODY_MAX + 2);
	struct h2c_stream *s;

	(void)state;
	memset(body, ' ', BODY_MAX + 1);
	s = h2c_at(&c->h2, h2c_request(&c->h2, "POST", "/machine/map", body));
	run(c);
	assert_int_equal(s->status, 413);
	client_map(c);
	free(body);
	client_free(c);
}

static void
flood_of_resets(void **state)
{
	struct client *c = client_new(0);
	unsigned n;

	(void)state;
	for (n = 0; n < 200 && !c->is_closed; n++) {
		int32_t id = h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY);

		run(c);
		nghttp2_submit_rst_stream(c->h2.session, 0, id, NGHTTP2_CANCEL);
		run(c);
	}
	assert_true(c->is_closed);
	assert_true(n > 90 && n < 130);
	assert_int_equal(seen.n_gone, seen.n_map);
	client_free(c);
}

static void
garbage(void **state)
{
	static const struct { const char *p; size_t n; bool is_sealed; } cases[] = {
		{ "\x05", 1, false },
		{ "\x04\xff\xff", 3, false },
		{ "\x04\0\x05", 3, false },
		{ "\x04\0\x12" "xxxxxxxxxxxxxxxxxx", 21, false },
		{ "GET / HTTP/1.1\r\n\r\n", 18, false },
		{ "GET / HTTP/1.1\r\n\r\n", 18, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct client *c = client_new(0);
		struct buf b = { 0 };

		worker_turn(worker, false);
		client_read(c);
		if (cases[i].is_sealed)
			nc_seal(&c->noise, (const uint8_t *)cases[i].p, cases[i].n, &b);
		else
			buf_append(&b, cases[i].p, cases[i].n);
		assert_int_equal(write(c->fd, b.p, b.len), b.len);
		worker_turn(worker, false);
		worker_turn(worker, false);
		client_read(c);
		assert_true(c->is_closed);
		client_free(c);
		buf_fini(&b);
	}
	assert_int_equal(seen.n_gone, 0);
}

/* Empty records are legal. */
static void
empty_records(void **state)
{
	struct client *c = client_new(0);

	(void)state;
	worker_turn(worker, false);
	client_read(c);
	for (int i = 0; i < 5; i++)
		nc_seal(&c->noise, (const uint8_t *)"", 0, &c->out);
	client_map(c);
	client_free(c);
}

/* A socket that nobody reads: nothing is drained, nothing more is read, and in the end it is
 * closed. */
static void
stalled_socket(void **state)
{
	struct client *c = client_new(0);
	struct shbuf *big = shbuf_alloc(3 << 20);
	int s;

	(void)state;
	memset(big->bytes, 1, big->len);
	client_map(c);
	c->is_deaf = true;
	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, &big, 1, false);
	for (s = 0; s < 200 && seen.n_gone == 0; s++)
		advance(1000);
	assert_true(s >= STALL_S && s <= STALL_S + 35);
	assert_int_equal(seen.n_drained, 0);
	client_free(c);
}

/* The same, but the reader comes back in time. */
static void
slow_socket(void **state)
{
	struct client *c = client_new(0);
	struct shbuf *big = shbuf_alloc(3 << 20);
	struct h2c_stream *map;

	(void)state;
	memset(big->bytes, 1, big->len);
	map = client_map(c);
	c->is_deaf = true;
	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, &big, 1, false);
	for (int s = 0; s < STALL_S - 20; s++)
		advance(1000);
	assert_int_equal(seen.n_drained, 0);
	c->is_deaf = false;
	run(c);
	assert_int_equal(map->body.len, 4 + (3 << 20));
	assert_int_equal(seen.n_drained, 1);
	for (int s = 0; s < STALL_S - 20; s++)
		advance(1000);
	assert_int_equal(seen.n_gone, 0);
	client_free(c);
}

/* HTTP/2's window is closed for one stream: that one ends, the connection goes on. */
static void
stalled_stream(void **state)
{
	struct client *c = client_new(1000);
	struct shbuf *big = shbuf_alloc(5000);
	struct h2c_stream *map = client_map(c), *who;
	int s;

	(void)state;
	memset(big->bytes, 1, big->len);
	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, &big, 1, false);
	for (s = 0; s < 200 && seen.n_gone == 0; s++) {
		advance(1000);
		run(c);
	}
	assert_true(s >= STALL_S && s <= STALL_S + 35);
	assert_int_equal(map->body.len, 1000);
	assert_int_equal(map->code, NGHTTP2_CANCEL);
	assert_int_equal(seen.n_drained, 0);
	who = h2c_at(&c->h2, h2c_request(&c->h2, "GET", "/machine/whoami", NULL));
	run(c);
	assert_int_equal(who->status, 200);
	client_free(c);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(keepalives), T(deadlines), T(no_deadline_with_a_stream), T(unfinished_body),
		T(gone_by_reset), T(gone_with_the_connection), T(gone_when_the_server_stops),
		T(ended_by_us), T(oversized_body), T(flood_of_resets), T(garbage),
		T(empty_records), T(stalled_socket), T(slow_socket), T(stalled_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
