/* links: */
/* TLS 1.3 records of a peer that follows no rules: what is inside is authentic, and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/tls_record.h"
#include "tests/unit/tls_forge.h"

static struct tls_record_engine *engine;

static struct tls_record *
forged_peer(struct tls_forge *f, bool is_client)
{
	struct tls_record *r = tls_record_new(engine, is_client);

	*f = (struct tls_forge){ .secret = "it is no secret at all, you see" };
	tls_record_secret_put(r, TLS_RECORD_IN, f->secret, sizeof f->secret);
	tls_record_secret_put(r, TLS_RECORD_OUT, f->secret, sizeof f->secret);
	assert_int_equal(tls_record_start(r, 0x1301), ERR_OK);
	return r;
}

/* One record with this inside. */
static enum err
open_forged(struct tls_record *r, struct tls_forge *f, const void *inner, size_t n,
	struct tls_record_bytes *data)
{
	static uint8_t record[TLS_RECORD_MAX_BYTES + 1], room[TLS_RECORD_MAX_BYTES];
	size_t n_record = tls_forge_put(f, inner, n, record), n_parsed;

	assert_int_equal(tls_record_parse(record, n_record, &n_parsed), ERR_OK);
	assert_int_equal(n_parsed, n_record);
	return tls_record_open(r, &(struct tls_record_bytes){ record, n_record },
	    &(struct tls_record_bytes){ room, sizeof room }, data);
}

#define INNER(text) text, sizeof(text) - 1

static void
test_what_peers_must_not_say(void **state)
{
	static const struct {
		const char *inner;
		size_t n;
		bool is_client;
		enum err want;
		int fault;
	} cases[] = {
		{ INNER("data\x17"), false, ERR_OK, -1 },
		{ INNER("data\x17\0\0\0\0"), false, ERR_OK, -1 },
		{ INNER("\x17"), false, ERR_OK, -1 },			/* empty data */
		{ INNER("\x17\0\0"), false, ERR_OK, -1 },
		{ INNER(""), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },	/* no type */
		{ INNER("\0"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\0\0\0\0"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\x01\x14"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },	/* ChangeCipherSpec */
		{ INNER("x\x18"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("x\xff"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\x01\0\x15"), false, ERR_CLOSED, -1 },
		{ INNER("\x02\0\x15"), false, ERR_CLOSED, -1 },		/* the level says nothing */
		{ INNER("\x01\x5a\x15"), false, ERR_OK, -1 },		/* user_canceled */
		{ INNER("\x02\x28\x15"), false, ERR_IO, -1 },
		{ INNER("\x01\x28\x15"), false, ERR_IO, -1 },
		{ INNER("\x15"), false, ERR_PROTO, TLS_RECORD_DECODE },
		{ INNER("\x01\x15"), false, ERR_PROTO, TLS_RECORD_DECODE },
		{ INNER("\x01\0\x01\0\x15"), false, ERR_PROTO, TLS_RECORD_DECODE },
		{ INNER("\x18\0\0\1\0\x16"), false, ERR_OK, -1 },	/* KeyUpdate */
		{ INNER("\x18\0\0\1\1\x16\0"), false, ERR_OK, -1 },
		{ INNER("\x18\0\0\1\2\x16"), false, ERR_PROTO, TLS_RECORD_ILLEGAL },
		{ INNER("\x18\0\0\0\x16"), false, ERR_PROTO, TLS_RECORD_DECODE },
		{ INNER("\x18\0\0\2\1\1\x16"), false, ERR_PROTO, TLS_RECORD_DECODE },
		{ INNER("\x18\0\0\1\0\x18\0\0\1\0\x16"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\x16"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },	/* empty handshake */
		{ INNER("\x16\0"), true, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\x01\0\0\0\x16"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },	/* ClientHello */
		{ INNER("\x0d\0\0\0\x16"), true, ERR_PROTO, TLS_RECORD_UNEXPECTED },	/* CertificateReq. */
		{ INNER("\x04\0\0\3abc\x16"), false, ERR_PROTO, TLS_RECORD_UNEXPECTED },
		{ INNER("\x04\0\0\3abc\x16"), true, ERR_OK, -1 },
		{ INNER("\x04\0\0\3abc\x04\0\0\0\x16"), true, ERR_OK, -1 },
		{ INNER("\x04\0\0\3abc\x18\0\0\1\0\x16"), true, ERR_OK, -1 },
		{ INNER("\x04\x01\0\x01z\x16"), true, ERR_PROTO, TLS_RECORD_DECODE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_forge f;
		struct tls_record *r = forged_peer(&f, cases[i].is_client);
		struct tls_record_bytes data;

		assert_int_equal(open_forged(r, &f, cases[i].inner, cases[i].n, &data), cases[i].want);
		assert_int_equal(tls_record_fault(r), cases[i].fault);
		assert_int_equal(data.n, cases[i].n > 4 && cases[i].inner[0] == 'd' ? 4 : 0);
		if (cases[i].want != ERR_OK)	/* for good */
			assert_int_equal(open_forged(r, &f, INNER("data\x17"), &data), cases[i].want);
		tls_record_free(r);
	}
}

/* Messages in pieces, and what comes between them. */
static void
test_messages_in_pieces(void **state)
{
	static const struct {
		const char *between;
		size_t n;
		enum err want;
	} cases[] = {
		{ INNER("\1\x16"), ERR_OK },
		{ INNER("data\x17"), ERR_PROTO },
		{ INNER("\x17"), ERR_PROTO },
		{ INNER("\x01\0\x15"), ERR_PROTO },
		{ INNER("\x16"), ERR_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_forge f;
		struct tls_record *r = forged_peer(&f, false);
		struct tls_record_bytes data;

		assert_int_equal(open_forged(r, &f, INNER("\x18\0\x16"), &data), ERR_OK);
		assert_int_equal(open_forged(r, &f, INNER("\0\1\x16"), &data), ERR_OK);
		assert_int_equal(open_forged(r, &f, cases[i].between, cases[i].n, &data), cases[i].want);
		tls_forge_update(&f);
		assert_int_equal(open_forged(r, &f, INNER("data\x17"), &data), cases[i].want);
		tls_record_free(r);
	}
}

/* Of a ticket in two pieces, too. */
static void
test_ticket_in_pieces(void **state)
{
	struct tls_forge f;
	struct tls_record *r = forged_peer(&f, true);
	struct tls_record_bytes data;

	(void)state;
	assert_int_equal(open_forged(r, &f, INNER("\x04\0\0\6abc\x16"), &data), ERR_OK);
	assert_int_equal(open_forged(r, &f, INNER("def\x16"), &data), ERR_OK);
	assert_int_equal(open_forged(r, &f, INNER("data\x17"), &data), ERR_OK);
	assert_int_equal(data.n, 4);
	assert_int_equal(open_forged(r, &f, INNER("\x04\0\0\6abc\x16"), &data), ERR_OK);
	assert_int_equal(open_forged(r, &f, INNER("data\x17"), &data), ERR_PROTO);
	tls_record_free(r);
}

static void
test_lengths(void **state)
{
	static uint8_t inner[TLS_RECORD_PLAIN_MAX + 240];
	struct tls_record_bytes data;
	struct tls_record *r;
	struct tls_forge f;
	uint8_t stub[TLS_RECORD_MAX_BYTES] = "\x17\x03\x03";
	size_t n;

	(void)state;
	/* As long as can be, with and without padding; one byte more. */
	for (size_t i = 0; i < 3; i++) {
		r = forged_peer(&f, false);
		memset(inner, 'x', sizeof inner);
		inner[i == 0 ? 100 : TLS_RECORD_PLAIN_MAX] = 0x17;
		if (i == 0)
			memset(inner + 101, 0, sizeof inner - 101);
		inner[TLS_RECORD_PLAIN_MAX + 1] = 0;
		assert_int_equal(open_forged(r, &f, inner, TLS_RECORD_PLAIN_MAX + 1 + (i == 2), &data),
		    i == 2 ? ERR_PROTO : ERR_OK);
		assert_int_equal(data.n, i == 0 ? 100 : i == 1 ? TLS_RECORD_PLAIN_MAX : 0);
		assert_int_equal(tls_record_fault(r), i == 2 ? TLS_RECORD_OVERFLOW : -1);
		tls_record_free(r);
	}
	/* By the head alone. */
	assert_int_equal(tls_record_parse(stub, 4, &n), ERR_AGAIN);
	assert_int_equal(n, 5);
	memcpy(stub + 3, "\x41\x00", 2);
	assert_int_equal(tls_record_parse(stub, 5, &n), ERR_AGAIN);
	assert_int_equal(n, TLS_RECORD_MAX_BYTES);
	assert_int_equal(tls_record_parse(stub, sizeof stub, &n), ERR_OK);
	stub[4] = 1;
	assert_int_equal(tls_record_parse(stub, sizeof stub, &n), ERR_LIMIT);
	/* Shorter than a tag. */
	for (size_t i = 0; i < 17; i++) {
		r = forged_peer(&f, false);
		memcpy(stub + 3, (uint8_t[]){ 0, (uint8_t)i }, 2);
		assert_int_equal(tls_record_parse(stub, sizeof stub, &n), ERR_OK);
		assert_int_equal(tls_record_open(r, &(struct tls_record_bytes){ stub, n },
		    &(struct tls_record_bytes){ NULL, 0 }, &data), ERR_CRYPTO);
		tls_record_free(r);
	}
}

/* Records that hold nothing, for ever: with data among them as many as one likes. */
static void
test_useless_records(void **state)
{
	static const struct { const char *inner; size_t n; bool is_update; } kinds[] = {
		{ INNER("\x17"), false }, { INNER("\x01\x5a\x15"), false }, { INNER("\x18\0\0\1\1\x16"), true },
	};
	struct tls_record_bytes data;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct tls_forge f;
		struct tls_record *r = forged_peer(&f, false);

		for (unsigned k = 0; k < 10 * TLS_RECORD_USELESS_MAX; k++) {
			if (k % TLS_RECORD_USELESS_MAX == 0)
				assert_int_equal(open_forged(r, &f, INNER("data\x17"), &data), ERR_OK);
			assert_int_equal(open_forged(r, &f, kinds[i].inner, kinds[i].n, &data), ERR_OK);
			if (kinds[i].is_update)
				tls_forge_update(&f);
		}
		assert_int_equal(open_forged(r, &f, kinds[i].inner, kinds[i].n, &data), ERR_PROTO);
		assert_int_equal(tls_record_fault(r), TLS_RECORD_UNEXPECTED);
		tls_record_free(r);
	}
}

static int
setup(void **state)
{
	(void)state;
	engine = tls_record_engine_new();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tls_record_engine_free(engine);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_peers_must_not_say),
		cmocka_unit_test(test_messages_in_pieces),
		cmocka_unit_test(test_ticket_in_pieces),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_useless_records),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
