/* links: coord/noise */
/* Handshake and records against the vectors of tests/data/noise.json (from Tailscale 1.103.0), and
 * every way to spoil them. */
#include "coord/noise.h"

#include <openssl/sha.h>
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/unit/vectors.h"

static struct noise_engine *engine;

static int
setup(void **state)
{
	(void)state;
	engine = noise_engine_new();
	return doc_open("tests/data/noise.json");
}

static int
teardown(void **state)
{
	noise_engine_free(engine);
	noise_engine_free(NULL);
	return doc_close(state);
}

struct input {
	struct noise_identity id;
	struct private_key ephemeral;
	uint8_t hello[NOISE_HELLO_BYTES];
};

static void
input_load(const json_t *v, struct input *in)
{
	hex(v, "server_static_private", in->id.priv.b, KEY_BYTES);
	hex(v, "server_static_public", in->id.pub.b, KEY_BYTES);
	hex(v, "server_ephemeral_private", in->ephemeral.b, KEY_BYTES);
	assert_int_equal(hex(v, "initiation", in->hello, sizeof in->hello), NOISE_HELLO_BYTES);
}

static enum err
run(const struct input *in, struct noise_accepted *out)
{
	return noise_accept(engine, &in->id, &in->ephemeral, in->hello, out);
}

static void
assert_hex(const json_t *v, const char *name, const uint8_t *got, size_t n)
{
	uint8_t want[256];

	assert_int_equal(hex(v, name, want, sizeof want), n);
	assert_memory_equal(got, want, n);
}

static void
handshakes(void **state)
{
	json_t *v;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(doc, "vectors"), i, v) {
		struct noise_accepted a;
		struct input in;

		input_load(v, &in);
		assert_int_equal(run(&in, &a), ERR_OK);
		assert_int_equal(a.version, json_integer_value(json_object_get(v, "version")));
		assert_hex(v, "client_machine_public", a.machine.b, KEY_BYTES);
		assert_hex(v, "response", a.answer, sizeof a.answer);
		assert_hex(v, "handshake_hash", a.hash, sizeof a.hash);
		assert_hex(v, "k_client_to_server", a.rx.key, KEY_BYTES);
		assert_hex(v, "k_server_to_client", a.tx.key, KEY_BYTES);
		assert_int_equal(a.rx.counter, 0);
		assert_int_equal(a.tx.counter, 0);
	}
	assert_true(i >= 2);
}

/* Each byte of the initiation matters, and nothing is written on failure. */
static void
spoiled_handshakes(void **state)
{
	struct noise_accepted a, before;
	struct input good, in;

	(void)state;
	input_load(json_array_get(json_object_get(doc, "vectors"), 0), &good);
	memset(&a, 0x5a, sizeof a);
	before = a;
	for (size_t i = 0; i < NOISE_HELLO_BYTES; i++) {
		in = good;
		in.hello[i] ^= 1;
		assert_int_equal(run(&in, &a), i >= 2 && i < 5 ? ERR_PROTO : ERR_CRYPTO);
		assert_memory_equal(&a, &before, sizeof a);
	}
	in = good;
	in.id.priv.b[5] ^= 1;
	assert_int_equal(run(&in, &a), ERR_CRYPTO);
	/* keys of small order give a zero secret */
	in = good;
	memset(in.hello + 5, 0, KEY_BYTES);
	assert_int_equal(run(&in, &a), ERR_CRYPTO);
	in.hello[5] = 1;
	assert_int_equal(run(&in, &a), ERR_CRYPTO);
}

static void
hello_heads(void **state)
{
	static const struct { size_t n; uint8_t head[5]; enum err rc; } cases[] = {
		{ 101, { 0, 145, 1, 0, 96 }, ERR_OK },
		{ 101, { 0xff, 0xff, 1, 0, 96 }, ERR_OK },
		{ 101, { 0, 145, 2, 0, 96 }, ERR_PROTO },
		{ 101, { 0, 145, 1, 0, 95 }, ERR_PROTO },
		{ 101, { 0, 145, 1, 1, 96 }, ERR_PROTO },
		{ 100, { 0, 145, 1, 0, 96 }, ERR_PROTO },
		{ 102, { 0, 145, 1, 0, 96 }, ERR_PROTO },
		{ 0, { 0 }, ERR_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint8_t p[128] = { 0 };
		uint16_t version = 7;

		memcpy(p, cases[i].head, 5);
		assert_int_equal(noise_hello_check(p, cases[i].n, &version), cases[i].rc);
		assert_int_equal(version, cases[i].rc == ERR_OK ? wire_u16be(p) : 7);
	}
}

/* The plaintext of a record vector. */
static size_t
plaintext(const json_t *r, uint8_t out[NOISE_PLAIN_MAX])
{
	if (json_object_get(r, "plaintext") != NULL)
		return hex(r, "plaintext", out, NOISE_PLAIN_MAX);
	for (size_t i = 0; i < NOISE_PLAIN_MAX; i++)
		out[i] = (uint8_t)(i % 251);
	return NOISE_PLAIN_MAX;
}

/* noise_seal makes no record of nothing, but a reader must take one. */
static void
check_record(const json_t *v, const json_t *r)
{
	const char *direction = json_string_value(json_object_get(r, "direction"));
	struct noise_half tx, rx;
	uint8_t plain[NOISE_PLAIN_MAX], wire[NOISE_RECORD_MAX], digest[32];
	size_t n_plain = plaintext(r, plain), n_wire, n, got;

	hex(v, strcmp(direction, "client->server") == 0 ? "k_client_to_server" :
	    "k_server_to_client", tx.key, KEY_BYTES);
	tx.counter = (uint64_t)json_integer_value(json_object_get(r, "counter"));
	rx = tx;
	n_wire = (size_t)json_integer_value(json_object_get(r, "wire_len"));
	if (n_plain == 0) {
		assert_int_equal(hex(r, "wire", wire, sizeof wire), n_wire);
	} else {
		assert_int_equal(noise_sealed_bytes(n_plain), n_wire);
		assert_int_equal(noise_seal(engine, &tx, plain, n_plain, wire), ERR_OK);
		assert_int_equal(tx.counter, rx.counter + 1);
	}
	if (json_object_get(r, "wire") != NULL) {
		assert_hex(r, "wire", wire, n_wire);
	} else {
		SHA256(wire, n_wire, digest);
		assert_hex(r, "wire_sha256", digest, sizeof digest);
	}
	assert_int_equal(noise_record_bytes(wire, n_wire, &n), ERR_OK);
	assert_int_equal(n, n_wire);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_OK);
	assert_int_equal(got, n_plain);
	assert_memory_equal(wire + NOISE_HEAD_BYTES, plain, n_plain);
}

static void
records(void **state)
{
	json_t *v, *r;
	size_t i, k, n = 0;

	(void)state;
	json_array_foreach(json_object_get(doc, "vectors"), i, v)
		json_array_foreach(json_object_get(v, "records"), k, r) {
			check_record(v, r);
			n++;
		}
	assert_true(n >= 16);
}

/* Lengths round the limits: full records and one for the rest, in order. */
static void
many_records(void **state)
{
	static const size_t cases[] = { 1, 4076, 4077, 4078, 8154, 8155, 65232, 65233 };
	static uint8_t plain[70000], wire[75000];

	(void)state;
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * 7);
	for (size_t c = 0; c < COUNT_OF(cases); c++) {
		struct noise_half tx = { .counter = 3 }, rx = { .counter = 3 };
		size_t at = 0, off = 0, total = noise_sealed_bytes(cases[c]);

		assert_int_equal(noise_seal(engine, &tx, plain, cases[c], wire), ERR_OK);
		while (off < total) {
			size_t n, got;

			assert_int_equal(noise_record_bytes(wire + off, total - off, &n), ERR_OK);
			assert_int_equal(noise_open(engine, &rx, wire + off, n, &got), ERR_OK);
			assert_true(got == NOISE_PLAIN_MAX || off + n == total);
			assert_memory_equal(wire + off + NOISE_HEAD_BYTES, plain + at, got);
			at += got;
			off += n;
		}
		assert_int_equal(at, cases[c]);
		assert_int_equal(rx.counter, tx.counter);
	}
}

static void
record_heads(void **state)
{
	static const struct { uint8_t p[4]; size_t n; enum err rc; } cases[] = {
		{ { 4 }, 0, ERR_AGAIN },
		{ { 4 }, 1, ERR_AGAIN },
		{ { 4, 0 }, 2, ERR_AGAIN },
		{ { 4, 0, 16 }, 3, ERR_AGAIN },
		{ { 4, 0x0f, 0xfd }, 3, ERR_AGAIN },
		{ { 4, 0, 16, 0 }, 4, ERR_AGAIN },
		{ { 4, 0, 15 }, 3, ERR_PROTO },
		{ { 4, 0x0f, 0xfe }, 3, ERR_PROTO },
		{ { 4, 0xff, 0xff }, 3, ERR_PROTO },
		{ { 1 }, 1, ERR_PROTO },
		{ { 3, 0, 5 }, 3, ERR_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t n = 99;

		assert_int_equal(noise_record_bytes(cases[i].p, cases[i].n, &n), cases[i].rc);
		assert_int_equal(n, 99);
	}
}

static void
spoiled_records(void **state)
{
	struct noise_half tx = { .key = { 1 }, .counter = 9 }, rx = tx;
	uint8_t good[64], wire[64];
	size_t n = noise_sealed_bytes(5), got = 77;

	(void)state;
	assert_int_equal(noise_seal(engine, &tx, (const uint8_t *)"hello", 5, good), ERR_OK);
	for (size_t i = NOISE_HEAD_BYTES; i < n; i++) {
		memcpy(wire, good, n);
		wire[i] ^= 0x80;
		assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_CRYPTO);
		assert_int_equal(rx.counter, 9);
	}
	/* out of order, and twice */
	rx.counter = 10;
	memcpy(wire, good, n);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_CRYPTO);
	rx.counter = 9;
	memcpy(wire, good, n);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_OK);
	memcpy(wire, good, n);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_CRYPTO);
}

static void
counter_ends(void **state)
{
	struct noise_half tx = { .counter = UINT64_MAX - 1 }, rx = tx;
	static uint8_t plain[5000], wire[6000];
	size_t n, got;

	(void)state;
	assert_int_equal(noise_seal(engine, &tx, plain, 1, wire), ERR_OK);
	assert_int_equal(noise_record_bytes(wire, sizeof wire, &n), ERR_OK);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_OK);
	assert_int_equal(noise_seal(engine, &tx, plain, 1, wire), ERR_LIMIT);
	assert_int_equal(noise_open(engine, &rx, wire, n, &got), ERR_CRYPTO);
	/* in the middle of two records */
	tx.counter = UINT64_MAX - 1;
	assert_int_equal(noise_seal(engine, &tx, plain, sizeof plain, wire), ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes),
		cmocka_unit_test(spoiled_handshakes),
		cmocka_unit_test(hello_heads),
		cmocka_unit_test(records),
		cmocka_unit_test(many_records),
		cmocka_unit_test(record_heads),
		cmocka_unit_test(spoiled_records),
		cmocka_unit_test(counter_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
