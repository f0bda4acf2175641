/* links: coord/ts2021 coord/ts2021_conn coord/ts2021_request coord/noise coord/h2 coord/h2_mem coord/h2_queue coord/machine coord/msg_map coord/msg_register coord/msg_ssh coord/hostinfo coord/tag */
/* Control connections: handshakes, joins, answers that go on, answers from other threads. */
#include "tests/unit/ts2021_rig.h"

/* --- tests: the ordinary ---------------------------------------------------------------------- */

static void
joins(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *reg, *map, *lite, *who;
	struct shbuf *segs[2] = { text("first"), text("second") };

	(void)state;
	reg = h2c_at(&c->h2, h2c_request(&c->h2, "POST", "/machine/register", REGISTER_BODY));
	run(c);
	assert_int_equal(seen.n_register, 1);
	assert_string_equal(seen.auth_key, "k");
	assert_true(machine_key_eq(&seen.from.machine, &c->noise.machine_pub));
	assert_int_equal(seen.from.noise_version, 145);
	assert_int_equal(seen.from.addr.port, 1234);
	assert_true(c->n_first > 250);	/* 101, response, early payload and SETTINGS at once */
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 200, 0, text("{\"Error\":\"\"}"));
	run(c);
	assert_int_equal(reg->status, 200);
	assert_string_equal(reg->content_type, "application/json");
	assert_memory_equal(reg->body.p, "{\"Error\":\"\"}", 12);
	assert_true(reg->is_closed);

	map = client_map(c);
	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, segs, 2, false);
	run(c);
	assert_int_equal(map->body.len, 4 + 11);
	assert_memory_equal(map->body.p, "\x0b\0\0\0firstsecond", 15);
	assert_int_equal(seen.n_drained, 1);
	assert_false(map->is_closed);

	struct ctl_peer stream = seen.from;
	lite = h2c_at(&c->h2, h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY));
	who = h2c_at(&c->h2, h2c_request(&c->h2, "GET", "/machine/whoami", NULL));
	run(c);
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 200, 0, NULL);
	seen.from = stream;
	map_send("third", false);
	run(c);
	assert_int_equal(lite->status, 200);
	assert_int_equal(lite->body.len, 0);
	assert_true(lite->is_closed);
	assert_int_equal(who->status, 200);
	assert_non_null(memmem(who->body.p, who->body.len, "\"192.0.2.7:1234\"", 16));
	assert_int_equal(map->body.len, 15 + 9);
	assert_int_equal(seen.n_drained, 2);
	map_send("end", true);
	run(c);
	assert_int_equal(map->body.len, 15 + 9 + 7);
	assert_true(map->is_closed);
	assert_int_equal(map->code, 0);
	assert_int_equal(seen.n_drained, 2);
	assert_int_equal(seen.n_gone, 0);
	client_free(c);
	worker_turn(worker, false);
	assert_int_equal(seen.n_gone, 0);
}

/* A HEAD request to the URL of a PingRequest is told on, with whose it is; anything else is answered alone. */
static void
pongs(void **state)
{
	static const struct {
		const char *path;
		uint64_t id;			/* 0: not told */
	} cases[] = {
		{ "/machine/ping-response?id=0123456789abcdef", 0x0123456789abcdef },
		{ "/machine/ping-response?id=ffffffffffffffff", UINT64_MAX },
		{ "/machine/ping-response?id=0123456789abcdef0", 0 },
		{ "/machine/ping-response?id=", 0 },
		{ "/machine/ping-response?id=xyz", 0 },
		{ "/machine/ping-response", 0 },
	};
	struct client *c = client_new(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct h2c_stream *s;
		unsigned before = seen.n_pong;

		s = h2c_at(&c->h2, h2c_request(&c->h2, "HEAD", cases[i].path, NULL));
		run(c);
		assert_int_equal(s->status, 200);
		assert_true(s->is_closed);
		assert_int_equal(seen.n_pong - before, cases[i].id != 0);
		if (cases[i].id != 0)
			assert_true(seen.pong_id == cases[i].id);
	}
	assert_true(machine_key_eq(&seen.from.machine, &c->noise.machine_pub));
	client_free(c);
}

/* However the bytes are cut. */
static void
byte_by_byte(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *map;

	(void)state;
	c->send_max = 1;
	map = client_map(c);
	map_send("x", true);
	run(c);
	assert_true(map->is_closed);
	assert_int_equal(map->body.len, 5);
	client_free(c);
}

/* Three megabytes in one message. */
static void
large_message(void **state)
{
	struct client *c = client_new(0);
	struct h2c_stream *map = client_map(c);
	struct shbuf *chunk = shbuf_alloc(100000), *segs[30];

	(void)state;
	for (size_t i = 0; i < chunk->len; i++)
		chunk->bytes[i] = (uint8_t)(i * 31);
	for (unsigned i = 0; i < COUNT_OF(segs); i++)
		segs[i] = shbuf_hold(chunk);
	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, segs, COUNT_OF(segs), false);
	run(c);
	assert_int_equal(map->body.len, 4 + 3000000);
	for (unsigned i = 0; i < COUNT_OF(segs); i++)
		assert_memory_equal(map->body.p + 4 + i * chunk->len, chunk->bytes, chunk->len);
	assert_int_equal(seen.n_drained, 1);
	shbuf_drop(chunk);
	client_free(c);
}

static void
old_clients(void **state)
{
	struct client *c = client_new_version(0, TS2021_VERSION_MIN - 1);
	struct h2c_stream *reg, *map;

	(void)state;
	reg = h2c_at(&c->h2, h2c_request(&c->h2, "POST", "/machine/register", REGISTER_BODY));
	map = h2c_at(&c->h2, h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY));
	run(c);
	assert_int_equal(reg->status, 200);
	assert_non_null(memmem(reg->body.p, reg->body.len, "1.80", 4));
	assert_int_equal(map->status, 400);
	assert_int_equal(seen.n_register + seen.n_map, 0);
	client_free(c);
	c = client_new_version(0, TS2021_VERSION_MIN);
	client_map(c);
	client_free(c);
}

static void
refused_requests(void **state)
{
	static const struct {
		const char *path, *body;
		enum err rc;
		int status;
		const char *retry_after, *says;
	} cases[] = {
		{ "/machine/register", "{", ERR_OK, 400, "", "line 1" },
		{ "/machine/register", "{}", ERR_OK, 400, "", "NodeKey" },
		{ "/machine/map", "", ERR_OK, 400, "", "line 1" },
		{ "/machine/map", "{\"NodeKey\":5}", ERR_OK, 400, "", "NodeKey" },
		{ "/machine/register", REGISTER_BODY, ERR_BUSY, 429, "5", "busy" },
		{ "/machine/map", MAP_BODY, ERR_BUSY, 429, "5", "busy" },
		{ "/machine/register", REGISTER_BODY, ERR_FULL, 503, "", "busy" },
		{ "/machine/map", MAP_BODY, ERR_IO, 503, "", "busy" },
		{ "/machine/nothing", "{}", ERR_OK, 404, "", "path" },
		{ "/machine/set-dns", "{}", ERR_OK, 501, "", "not available" },
	};
	struct client *c = client_new(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct h2c_stream *s;

		seen.rc = cases[i].rc;
		s = h2c_at(&c->h2, h2c_request(&c->h2, "POST", cases[i].path, cases[i].body));
		run(c);
		assert_int_equal(s->status, cases[i].status);
		assert_string_equal(s->retry_after, cases[i].retry_after);
		assert_true(s->body.len > 0);
		assert_non_null(memmem(s->body.p, s->body.len, cases[i].says, strlen(cases[i].says)));
		assert_true(s->is_closed);
	}
	assert_int_equal(seen.n_gone, 0);
	client_free(c);
}

#define SSH_AT "/machine/ssh/action/1/to/2"

/* What is final is an SSHAction, for a status would be asked again for half an hour. */
static void
ssh_checks(void **state)
{
	static const char check[] = "{\"accept\":true}";
	struct client *c = client_new(0);
	struct h2c_stream *s;
	int32_t id;

	(void)state;
	s = h2c_at(&c->h2, h2c_request(&c->h2, "GET", SSH_AT, ""));
	run(c);
	assert_int_equal(s->status, 200);
	assert_non_null(memmem(s->body.p, s->body.len, "\"reject\":true", 13));
	assert_int_equal(seen.n_ssh, 0);

	id = h2c_request(&c->h2, "GET", SSH_AT "?local_user=root&check=abc", "");
	s = h2c_at(&c->h2, id);
	run(c);
	assert_int_equal(seen.n_ssh, 1);
	assert_int_equal(seen.ssh.who.dst_id, 2);
	assert_string_equal(seen.ssh.check, "abc");
	assert_int_equal(s->status, 0);
	ts2021_reply(ctl, seen.from.conn, seen.from.stream, 200, 0, shbuf_new(check, sizeof(check) - 1));
	run(c);
	assert_int_equal(s->status, 200);
	assert_memory_equal(s->body.p, check, sizeof(check) - 1);
	assert_int_equal(seen.n_gone, 0);

	seen.rc = ERR_BUSY;
	s = h2c_at(&c->h2, h2c_request(&c->h2, "GET", SSH_AT "?local_user=root", ""));
	run(c);
	assert_int_equal(s->status, 429);
	seen.rc = ERR_OK;
	h2c_request(&c->h2, "GET", SSH_AT "?local_user=root", "");
	run(c);
	id = seen.from.stream;
	nghttp2_submit_rst_stream(c->h2.session, 0, id, NGHTTP2_CANCEL);
	run(c);
	assert_int_equal(seen.n_gone, 1);
	assert_int_equal(seen.gone, id);
	client_free(c);
}

/* --- tests: handshakes ------------------------------------------------------------------------ */

static void
bad_handshakes(void **state)
{
	struct machine_key other = { { 9 } };
	struct err_text why = { "" };
	struct client *c = obj_alloc(sizeof *c);
	struct io *io = connect_client(c, 0);
	char good[160], text160[160];

	(void)state;
	hello_text(c, 145, &server_key, good);
	static const char *const broken[] = { "", "AAAA", "****", "AHEBAGDPBX5anufy" };
	for (size_t i = 0; i < COUNT_OF(broken); i++) {
		assert_int_equal(ts2021_attach(ctl, io, broken[i], strlen(broken[i]), &why), ERR_INVAL);
		assert_true(why.s[0] != '\0');
	}
	assert_int_equal(ts2021_attach(ctl, io, good, strlen(good) - 1, &why), ERR_INVAL);
	good[4] = 'B';	/* the length in the head */
	assert_int_equal(ts2021_attach(ctl, io, good, strlen(good), &why), ERR_INVAL);
	/* well formed, but for another server: it has been taken, and is refused */
	hello_text(c, 145, &other, text160);
	assert_int_equal(ts2021_attach(ctl, io, text160, strlen(text160), &why), ERR_OK);
	worker_turn(worker, false);
	assert_true(read(c->fd, buf_reserve(&c->in, 1000), 1000) > 20);
	assert_memory_equal(c->in.p, "HTTP/1.1 400 ", 13);
	assert_int_equal(read(c->fd, text160, 1), 0);
	client_free(c);
}

static void
handshakes_are_rationed(void **state)
{
	struct client *c[40];
	unsigned n_done, n_before = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(c); i++)
		c[i] = client_new(0);
	for (unsigned turn = 0; turn < 4; turn++) {
		worker_turn(worker, false);
		n_done = 0;
		for (unsigned i = 0; i < COUNT_OF(c); i++) {
			client_read(c[i]);
			n_done += c[i]->has_answer;
		}
		assert_true(n_done - n_before <= 32);	/* end of a turn, and the beginning of the next */
		n_before = n_done;
		if (turn == 0)
			assert_int_equal(n_done, 16);
	}
	assert_int_equal(n_before, COUNT_OF(c));
	for (unsigned i = 0; i < COUNT_OF(c); i++)
		client_free(c[i]);
}

/* Nobody waits for an answer that comes too late. */
static void
old_handshakes_are_dropped(void **state)
{
	struct client *c[20];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(c); i++)
		c[i] = client_new(0);
	worker_turn(worker, false);
	now_ms += 10000;
	clock_test_set(now_ms, 1700000010);
	for (unsigned i = 0; i < 3; i++)
		worker_turn(worker, false);
	client_read(c[0]);
	assert_true(c[0]->has_answer);
	client_read(c[19]);
	assert_true(c[19]->is_closed);
	for (unsigned i = 0; i < COUNT_OF(c); i++)
		client_free(c[i]);
}

/* The recorded bytes of a real client (tests/data/transcript.json, from Tailscale 1.103.0). */
static struct private_key recorded_ephemeral;

static void
recorded_random(void *p, size_t n)
{
	memset(p, 0, n);
	if (n == sizeof recorded_ephemeral)
		memcpy(p, &recorded_ephemeral, n);
}

static void
recorded_key(const json_t *doc, size_t i, struct private_key *out)
{
	const char *s = json_string_value(json_array_get(json_object_get(doc, "random_bytes_in_order"), i));

	assert_int_equal(key_hex_parse(s, 64, out->b), ERR_OK);
	out->b[0] &= 248;
	out->b[31] = (uint8_t)((out->b[31] & 127) | 64);
}

static void
recorded_client(void **state)
{
	json_t *doc = json_load_file("tests/data/transcript.json", 0, NULL), *e;
	struct client *c = obj_alloc(sizeof *c);
	struct err_text why = { "" };
	struct private_key static_key;
	struct io *io;
	unsigned n_sent = 0;
	size_t i;

	teardown(state);
	assert_non_null(doc);
	recorded_key(doc, 0, &static_key);
	recorded_key(doc, 6, &recorded_ephemeral);
	begin(1, &static_key, &hooks);
	rand_test_source(recorded_random);
	io = connect_client(c, 0);
	json_array_foreach(json_object_get(doc, "events"), i, e) {
		const char *hex = json_string_value(json_object_get(e, "hex"));
		size_t n = strlen(hex) / 2;
		uint8_t *p = obj_alloc(n + 1);
		char *at;

		if (strcmp(json_string_value(json_object_get(e, "layer")), "tcp") == 0 &&
		    strcmp(json_string_value(json_object_get(e, "from")), "client") == 0 &&
		    seen.n_register == 0) {
			assert_int_equal(key_hex_parse(hex, 2 * n, p), ERR_OK);
			if (n_sent++ == 0) {
				at = strstr((char *)p, "X-Tailscale-Handshake: ");
				assert_non_null(at);
				at += 23;
				assert_int_equal(ts2021_attach(ctl, io, at, strcspn(at, "\r"), &why), ERR_OK);
			} else {
				assert_int_equal(write(c->fd, p, n), n);
			}
			worker_turn(worker, false);
			worker_turn(worker, false);
		}
		free(p);
	}
	rand_test_source(NULL);
	assert_int_equal(seen.n_register, 1);
	assert_int_equal(seen.from.noise_version, 145);
	char key[KEY_TEXT_MAX];
	assert_string_equal(machine_key_put(&seen.from.machine, key),
	    json_string_value(json_object_get(doc, "client_machine_public")));
	json_decref(doc);
	client_free(c);
}

/* --- threads ---------------------------------------------------------------------------------- */

static _Atomic int n_threaded;

static enum err
threaded_map(void *arg, const struct ctl_peer *from, struct map_req *req)
{
	(void)arg;
	seen.from = *from;
	msg_map_free(req);
	atomic_store(&n_threaded, 1);
	return ERR_OK;
}

static void
threaded_drained(void *arg, const struct ts2021_stream *list, unsigned n)
{
	(void)arg;
	(void)list;
	atomic_fetch_add(&n_threaded, (int)n);
}

static void
threaded_gone(void *arg, struct conn_ref conn, int32_t stream, unsigned silent_ms)
{
	(void)silent_ms;
	(void)arg;
	(void)conn;
	(void)stream;
	atomic_fetch_add(&n_threaded, 1);
}

static void
threaded_attach(struct worker *w, void *arg)
{
	struct client *c = arg;
	struct io *io = connect_client(c, 0);
	char hello[160];

	(void)w;
	hello_text(c, 145, &server_key, hello);
	assert_int_equal(ts2021_attach(ctl, io, hello, strlen(hello), NULL), ERR_OK);
	atomic_store(&n_threaded, -1);
}

/* Lets the client run until n_threaded has at least this value; nothing here waits for a clock. */
static void
until(struct client *c, int n)
{
	while (atomic_load(&n_threaded) < n) {
		client_read(c);
		client_write(c);
		sched_yield();
	}
}

static const struct ts2021_hooks threaded_hooks = { .on_register = on_register,
	.on_map = threaded_map, .on_ssh = on_ssh, .on_drained = threaded_drained, .on_gone = threaded_gone };

/* Requests on the worker's thread, answers from this one. */
static void
answers_from_another_thread(void **state)
{
	struct client *c = obj_alloc(sizeof *c);
	struct private_key key;
	struct err_text why;

	teardown(state);
	private_key_new(&key);
	atomic_store(&n_threaded, -2);
	begin(2, &key, &threaded_hooks);
	assert_int_equal(worker_group_start(group, &why), ERR_OK);
	worker_call(worker, threaded_attach, c, NULL);
	while (atomic_load(&n_threaded) != -1)
		sched_yield();
	h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY);
	until(c, 1);
	assert_int_equal(seen.from.conn.worker, 1);
	for (int i = 0; i < 20; i++) {
		map_send("message", false);
		until(c, 2 + i);
	}
	while (h2c_at(&c->h2, 1)->body.len < 20 * 11)
		client_read(c);
	worker_group_stop(group);
	assert_int_equal(atomic_load(&n_threaded), 22);
	client_free(c);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(joins), T(pongs), T(byte_by_byte), T(large_message), T(old_clients), T(refused_requests),
		T(ssh_checks),
		T(bad_handshakes), T(handshakes_are_rationed), T(old_handshakes_are_dropped),
		T(recorded_client), T(answers_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
