/* links: */
/*
 * TLS 1.3 records. The first byte says which side opens them, and where: bit 0 as a client, bit 1 in place.
 * Then records follow: two bytes of length, of which bit 15 says that these are the bytes on the wire, else
 * they are what is inside of an authentic record.
 */
#include <stdint.h>
#include <string.h>

#include "base/tls_record.h"
#include "base/wire.h"
#include "tests/unit/tls_forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the wire: all whole records of them. */
static enum err
open_all(struct tls_record *r, uint8_t *p, size_t n, size_t room_bytes)
{
	struct tls_record_bytes room = { .n = room_bytes }, record = { .p = p }, data;
	enum err rc = ERR_OK;

	room.p = room_bytes > 0 ? obj_alloc(room_bytes) : NULL;
	while (rc == ERR_OK && (rc = tls_record_parse(record.p, n, &record.n)) == ERR_OK) {
		rc = tls_record_open(r, &record, &room, &data);
		ASSERT(rc == ERR_OK || data.n == 0);
		ASSERT(data.n == 0 || (data.p == room.p && data.n < room.n) ||
		    data.p == record.p + TLS_RECORD_HEAD_BYTES);
		ASSERT(data.n == 0 || data.n + TLS_RECORD_EXTRA_BYTES <= record.n);
		ASSERT(data.n <= TLS_RECORD_PLAIN_MAX);
		ASSERT((tls_record_fault(r) >= 0) == (rc == ERR_PROTO || rc == ERR_CRYPTO));
		record.p += record.n;
		n -= record.n;
	}
	free(room.p);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_forge forge = { .secret = "it is no secret at all, you see" };
	enum err rc = ERR_OK;

	if (size < 1 || size > 200000)
		return 0;
	struct tls_record_engine *engine = tls_record_engine_new();
	struct tls_record *r = tls_record_new(engine, (data[0] & 1) != 0);
	tls_record_secret_put(r, TLS_RECORD_IN, forge.secret, sizeof forge.secret);
	tls_record_secret_put(r, TLS_RECORD_OUT, forge.secret, sizeof forge.secret);
	ASSERT(tls_record_start(r, 0x1301) == ERR_OK);
	size_t room = (data[0] & 2) != 0 ? 0 : TLS_RECORD_MAX_BYTES;
	for (size_t at = 1; at + 2 <= size && (rc == ERR_OK || rc == ERR_AGAIN);) {
		uint16_t head = wire_u16be(data + at);
		size_t n = head & 0x7fff, left = size - at - 2;
		uint8_t *wire, sealed[64];

		n = n < left ? n : left;
		wire = obj_alloc(n + TLS_FORGE_EXTRA_BYTES);
		if ((head & 0x8000) != 0) {
			memcpy(wire, data + at + 2, n);
			rc = open_all(r, wire, n, room);
		} else {
			rc = open_all(r, wire, tls_forge_put(&forge, data + at + 2, n, wire), room);
			/* A KeyUpdate that was taken: go on with its keys. */
			if (n >= 6 && memcmp(data + at + 2, "\x18\0\0\1", 4) == 0 && data[at + 7] == 0x16)
				tls_forge_update(&forge);
		}
		free(wire);
		ASSERT(tls_record_seal(r, data, 1, sealed) <= 1 + TLS_RECORD_SEAL_EXTRA_BYTES);
		at += 2 + n;
	}
	tls_record_free(r);
	tls_record_engine_free(engine);
	return 0;
}
