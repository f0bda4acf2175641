/* links: relay/derp_admit coord/relay_feed */
/* Proves admission of relays: what is not signed or does not follow changes nothing, the file brings
 * the same state back whatever is cut off it, validity ends, and what the coordinator's side sends
 * makes its own state at a relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/rand.h"
#include "coord/relay_feed.h"
#include "relay/derp_admit.h"

#define T0	1700000000
#define VALID_S	3600

/* --- a relay's side ----------------------------------------------------------------------------- */

struct seen {
	struct node_key key;
	bool is_retired;
};

static struct world {
	char dir[64], path[128];
	struct admit_signer signer;
	struct derp_admit *a;
	struct map admitted;		/* struct seen: by the calls alone */
	unsigned n_expelled;
	char config[256];
} w;

static struct node_key
key_of(unsigned n)
{
	struct node_key k = { { 0 } };

	k.b[0] = (uint8_t)n;
	k.b[1] = (uint8_t)(n >> 8);
	k.b[31] = 1;
	return k;
}

static void
on_admit(void *arg, const struct node_key *key)
{
	struct seen *s = map_find(&w.admitted, key);

	(void)arg;
	if (s == NULL) {
		s = obj_alloc(sizeof(*s));
		s->key = *key;
		map_put(&w.admitted, s);
	}
	s->is_retired = false;
}

static void
on_expel(void *arg, const struct node_key *key)
{
	(void)arg;
	free(map_remove(&w.admitted, key));
	w.n_expelled++;
}

static void
on_retire(void *arg, const struct node_key *key)
{
	struct seen *s = map_find(&w.admitted, key);

	(void)arg;
	assert_non_null(s);
	s->is_retired = true;
}

static void
on_config(void *arg, const char *json, size_t n)
{
	(void)arg;
	assert_int_equal(strlen(json), n);
	snprintf(w.config, sizeof(w.config), "%s", json);
}

static void
forget(void)
{
	struct seen *s;

	for (size_t at = 0; (s = map_next(&w.admitted, &at)) != NULL;)
		free(s);
	map_fini(&w.admitted);
	MAP_INIT(&w.admitted, struct seen, key);
	w.n_expelled = 0;
	w.config[0] = '\0';
}

/* A relay that starts, with whatever is in the file. */
static void
start(int64_t now)
{
	static const struct derp_admit_ops ops = { NULL, on_admit, on_expel, on_retire, on_config };
	struct err_text why;

	derp_admit_free(w.a);
	forget();
	w.a = derp_admit_new(w.path, &ops);
	assert_int_equal(derp_admit_load(w.a, now, &why), ERR_OK);
}

static int
setup(void **state)
{
	struct private_key noise = { { 7 } };

	(void)state;
	memset(&w, 0, sizeof(w));
	MAP_INIT(&w.admitted, struct seen, key);
	snprintf(w.dir, sizeof(w.dir), "/tmp/test_admit.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	snprintf(w.path, sizeof(w.path), "%s/state", w.dir);
	admit_signer_init(&w.signer, &noise);
	clock_test_set(1000, T0);
	start(T0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	derp_admit_free(w.a);
	forget();
	map_fini(&w.admitted);
	unlink(w.path);
	rmdir(w.dir);
	clock_test_stop();
	return 0;
}

static struct shbuf *
record(enum admit_kind kind, uint64_t epoch, uint64_t seq, int64_t issued, const void *p, size_t n)
{
	return admit_record_new(&w.signer, &(struct admit_record){
		.kind = kind, .valid_s = VALID_S, .epoch = epoch, .seq = seq, .issued_unix_s = issued,
		.payload = p, .n = n,
	});
}

static enum err
feed(enum admit_kind kind, uint64_t epoch, uint64_t seq, const void *p, size_t n)
{
	struct shbuf *b = record(kind, epoch, seq, T0, p, n);
	struct err_text why;
	enum err rc = derp_admit_feed(w.a, b->bytes, b->len, T0, &why);

	shbuf_drop(b);
	return rc;
}

static void
begin(unsigned n_keys)
{
	struct buf keys = { .len = 0 };
	struct err_text why;

	derp_admit_lost(w.a);
	assert_int_equal(derp_admit_pin(w.a, w.signer.public, &why), ERR_OK);
	for (unsigned i = 0; i < n_keys; i++)
		buf_append(&keys, key_of(i).b, KEY_BYTES);
	assert_int_equal(feed(ADMIT_CONFIG, 1, 5, "{\"a\":1}", 7), ERR_OK);
	assert_int_equal(feed(ADMIT_SNAPSHOT, 1, 5, keys.p, keys.len), ERR_OK);
	buf_fini(&keys);
}

static enum err
change(uint64_t seq, unsigned op, unsigned n)
{
	uint8_t b[ADMIT_CHANGE_BYTES] = { (uint8_t)op };

	memcpy(b + 1, key_of(n).b, KEY_BYTES);
	return feed(ADMIT_DELTA, 1, seq, b, sizeof(b));
}

/* The calls and the module agree on exactly these keys. */
static void
assert_keys(unsigned from, unsigned to)
{
	assert_int_equal(w.admitted.count, to - from);
	assert_int_equal(derp_admit_count(w.a), to - from);
	for (unsigned i = from; i < to; i++) {
		struct node_key k = key_of(i);
		const struct seen *s = map_find(&w.admitted, &k);

		assert_non_null(s);
		assert_false(s->is_retired);
		assert_true(derp_admit_has(w.a, &k));
	}
}

/* --- records ------------------------------------------------------------------------------------- */

static void
test_records(void **state)
{
	uint8_t p[2 * KEY_BYTES] = { 1 };
	struct shbuf *b = record(ADMIT_SNAPSHOT, 3, 4, T0, p, sizeof(p));
	struct admit_record r;
	uint8_t copy[512], other[ADMIT_PUBLIC_BYTES] = { 1 };
	size_t used;

	(void)state;
	assert_int_equal(admit_record_parse(b->bytes, b->len, w.signer.public, &r, &used), ERR_OK);
	assert_int_equal(used, b->len);
	assert_true(r.kind == ADMIT_SNAPSHOT && r.epoch == 3 && r.seq == 4 && r.issued_unix_s == T0 &&
	    r.valid_s == VALID_S && r.n == sizeof(p) && memcmp(r.payload, p, r.n) == 0);
	for (size_t n = 0; n < b->len; n++)
		assert_int_equal(admit_record_parse(b->bytes, n, w.signer.public, &r, &used), ERR_AGAIN);
	assert_int_equal(admit_record_parse(b->bytes, b->len, other, &r, &used), ERR_CRYPTO);
	/* No bit of it can be another one. */
	for (size_t bit = 32; bit < b->len * 8; bit++) {
		memcpy(copy, b->bytes, b->len);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(admit_record_parse(copy, b->len, w.signer.public, &r, &used), ERR_CRYPTO);
	}
	memcpy(copy, b->bytes, b->len);
	memset(copy, 0xff, 4);
	assert_int_equal(admit_record_parse(copy, b->len, w.signer.public, &r, &used), ERR_LIMIT);
	memset(copy, 0, 4);
	assert_int_equal(admit_record_parse(copy, b->len, w.signer.public, &r, &used), ERR_PROTO);
	shbuf_drop(b);
}

static void
test_bad_payloads(void **state)
{
	static const struct { enum admit_kind kind; int64_t issued; uint8_t p[34]; size_t n; } cases[] = {
		{ ADMIT_SNAPSHOT, T0, { 0 }, 33 }, { ADMIT_DELTA, T0, { 2 }, 33 },
		{ ADMIT_DELTA, T0, { 1 }, 34 },
		{ ADMIT_TICK, T0, { 0 }, 1 }, { ADMIT_CONFIG, T0, { 0 }, 0 }, { 0, T0, { 0 }, 0 },
		{ 5, T0, { 0 }, 0 }, { ADMIT_TICK, -1, { 0 }, 0 }, { ADMIT_TICK, INT64_MAX, { 0 }, 0 },
	};
	struct admit_record r;
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct shbuf *b = record(cases[i].kind, 1, 1, cases[i].issued, cases[i].p, cases[i].n);

		assert_int_equal(admit_record_parse(b->bytes, b->len, w.signer.public, &r, &used), ERR_PROTO);
		shbuf_drop(b);
	}
}

/* --- the state ----------------------------------------------------------------------------------- */

static void
test_state(void **state)
{
	uint8_t none[1] = { 0 };

	(void)state;
	begin(10);
	assert_string_equal(w.config, "{\"a\":1}");
	assert_true(derp_admit_is_current(w.a));
	assert_keys(0, 10);
	assert_int_equal(change(6, 1, 10), ERR_OK);
	assert_int_equal(change(7, 0, 0), ERR_OK);
	assert_int_equal(w.n_expelled, 1);
	assert_keys(1, 11);
	assert_int_equal(feed(ADMIT_TICK, 1, 7, none, 0), ERR_OK);
	/* What does not follow: a number left out, or come back, another epoch. */
	assert_int_equal(change(9, 1, 99), ERR_PROTO);
	assert_int_equal(change(7, 1, 99), ERR_PROTO);
	assert_int_equal(feed(ADMIT_TICK, 1, 6, none, 0), ERR_PROTO);
	assert_int_equal(feed(ADMIT_TICK, 2, 7, none, 0), ERR_PROTO);
	assert_keys(1, 11);
	/* Another stream, from another run: what is not in it is expelled. */
	begin(3);
	assert_keys(0, 3);
	assert_int_equal(w.n_expelled, 1 + 8);
}

static void
test_stream_begins_whole(void **state)
{
	struct err_text why;

	(void)state;
	begin(3);
	derp_admit_lost(w.a);
	assert_int_equal(derp_admit_pin(w.a, w.signer.public, &why), ERR_OK);
	assert_int_equal(change(6, 1, 3), ERR_PROTO);
	assert_keys(0, 3);
}

static void
test_bytes_one_by_one(void **state)
{
	struct node_key keys[2] = { key_of(0), key_of(1) };
	struct shbuf *b = record(ADMIT_SNAPSHOT, 1, 1, T0, keys, sizeof(keys));
	struct err_text why;

	(void)state;
	assert_int_equal(derp_admit_pin(w.a, w.signer.public, &why), ERR_OK);
	for (size_t i = 0; i < b->len; i++)
		assert_int_equal(derp_admit_feed(w.a, b->bytes + i, 1, T0, &why), ERR_OK);
	assert_keys(0, 2);
	shbuf_drop(b);
}

static void
test_other_coordinator(void **state)
{
	uint8_t other[ADMIT_PUBLIC_BYTES] = { 9 };
	struct err_text why;

	(void)state;
	begin(1);
	assert_int_equal(derp_admit_pin(w.a, other, &why), ERR_DENIED);
	assert_non_null(strstr(why.s, w.path));
	start(T0);
	assert_int_equal(derp_admit_pin(w.a, other, &why), ERR_DENIED);
	assert_keys(0, 1);
	derp_admit_end(w.a);
	assert_keys(0, 0);
	assert_int_equal(access(w.path, F_OK), -1);
}

static void
test_validity(void **state)
{
	struct node_key k = key_of(0);

	(void)state;
	begin(1);
	/* As long as the coordinator is there, its clock does not matter. */
	derp_admit_look(w.a, T0 + VALID_S + 1);
	assert_keys(0, 1);
	derp_admit_lost(w.a);
	derp_admit_look(w.a, T0 + VALID_S);
	assert_keys(0, 1);
	derp_admit_look(w.a, T0 + VALID_S + 1);
	assert_true(((struct seen *)map_find(&w.admitted, &k))->is_retired);
	assert_int_equal(w.n_expelled, 0);
	start(T0 + VALID_S + 1);
	assert_true(((struct seen *)map_find(&w.admitted, &k))->is_retired);
	begin(2);
	assert_keys(0, 2);
}

/* --- the file ------------------------------------------------------------------------------------ */

static void
test_file(void **state)
{
	struct stat st;

	(void)state;
	begin(10);
	assert_int_equal(change(6, 1, 10), ERR_OK);
	assert_int_equal(change(7, 0, 0), ERR_OK);
	assert_int_equal(stat(w.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	start(T0);
	assert_keys(1, 11);
	assert_string_equal(w.config, "{\"a\":1}");
	assert_false(derp_admit_is_current(w.a));
	assert_int_equal(derp_admit_valid_until(w.a), T0 + VALID_S);
}

/* Whatever its end, what is before that counts, and the relay starts. */
static void
test_file_cut_off(void **state)
{
	struct stat st;

	(void)state;
	begin(4);
	assert_int_equal(change(6, 1, 4), ERR_OK);
	assert_int_equal(stat(w.path, &st), 0);
	for (off_t n = st.st_size; n >= 0; n--) {
		assert_int_equal(truncate(w.path, n), 0);
		start(T0);
		assert_true(derp_admit_count(w.a) == 5 || derp_admit_count(w.a) == 4 ||
		    derp_admit_count(w.a) == 0);
		assert_int_equal(w.admitted.count, derp_admit_count(w.a));
		if (n == st.st_size)
			assert_int_equal(derp_admit_count(w.a), 5);
		if (n == st.st_size - 1)
			assert_int_equal(derp_admit_count(w.a), 4);
	}
}

/* --- both sides ---------------------------------------------------------------------------------- */

static void
on_wake(void *arg)
{
	++*(unsigned *)arg;
}

static void
pump(struct event_base *base, struct relay_feed *f)
{
	uint8_t block[1000];
	struct err_text why = { "" };
	ssize_t n;

	event_base_loop(base, EVLOOP_NONBLOCK);
	clock_test_set(clock_mono_ms() + RELAY_DELTA_MS, T0);	/* the next change goes at once again */
	while ((n = relay_feed_read(f, block, sizeof(block))) > 0)
		assert_int_equal(derp_admit_feed(w.a, block, (size_t)n, T0, &why), ERR_OK);
	assert_int_equal(n, 0);
}

/* The relay's keys are the coordinator's after any changes, and after the stream was lost and found. */
static void
test_both_sides(void **state)
{
	struct event_base *base = event_base_new();
	struct private_key noise = { { 7 } };
	struct relay_hub *hub = relay_hub_new(base, &noise, VALID_S);
	bool is_in[64] = { false };
	unsigned n_wakes = 0, n_in = 0;
	struct relay_feed *f = NULL;
	struct err_text why;

	(void)state;
	assert_memory_equal(relay_hub_public(hub), w.signer.public, ADMIT_PUBLIC_BYTES);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = (unsigned)rand_below(COUNT_OF(is_in));
		struct node_key k = key_of(n);

		if (f == NULL || rand_below(200) == 0) {
			if (f != NULL)
				relay_feed_gone(f);
			derp_admit_lost(w.a);
			assert_int_equal(derp_admit_pin(w.a, relay_hub_public(hub), &why), ERR_OK);
			f = relay_feed_new(hub, "{}", NULL, NULL);
			relay_feed_on_wake(f, on_wake, &n_wakes);
			clock_test_set(clock_mono_ms() + RELAY_DELTA_MS, T0);
		}
		n_in += is_in[n] ? -1u : 1u;
		is_in[n] = !is_in[n];
		relay_hub_note(hub, &k, is_in[n]);
		if (rand_below(4) != 0)
			continue;
		pump(base, f);
		assert_int_equal(derp_admit_count(w.a), n_in);
		assert_int_equal(w.admitted.count, n_in);
		for (unsigned m = 0; m < COUNT_OF(is_in); m++) {
			struct node_key key = key_of(m);

			assert_int_equal(map_find(&w.admitted, &key) != NULL, is_in[m]);
		}
	}
	assert_true(n_wakes > 100);
	assert_int_equal(relay_hub_count(hub), n_in);
	relay_feed_config(f, "{\"b\":2}");
	pump(base, f);
	assert_string_equal(w.config, "{\"b\":2}");
	relay_hub_free(hub);
	uint8_t byte;
	assert_int_equal(relay_feed_read(f, &byte, 1), -1);
	relay_feed_gone(f);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_payloads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_begins_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_coordinator, setup, teardown),
		cmocka_unit_test_setup_teardown(test_validity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_sides, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
