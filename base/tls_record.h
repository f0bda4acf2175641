/*
 * TLS 1.3 records of one connection whose handshake OpenSSL has done (RFC 8446, sections 4.6.3, 5, 6,
 * 7.2 and 7.3): sealed and opened without a copy. Pure: no socket, no clock. Not a handshake, not TLS
 * 1.2, no early data, no authentication behind the handshake.
 *
 * A connection owns its keys, some 300 bytes. What a cipher makes of a key (a kilobyte) is kept for the
 * keys that a thread used last, and made again for others, which costs as much as 300 bytes of data.
 *
 * On the wire, numbers big-endian:
 *
 *   offset  bytes
 *   0       1      23, whatever is inside
 *   1       2      0x0303; authenticated, of no meaning
 *   3       2      length of the rest: 17 to 16,640
 *   5       n      sealed: at most 16,384 of content, 1 its type, zeros
 *   5 + n   16     tag
 *
 * Keys change by KeyUpdate, each direction by itself: a peer's is followed, and answered ahead of the
 * next data; our own is sent long before the limits of the ciphers (section 5.5).
 */
#ifndef BASE_TLS_RECORD_H
#define BASE_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TLS_RECORD_HEAD_BYTES	5u
#define TLS_RECORD_PLAIN_MAX	16384u
#define TLS_RECORD_MAX_BYTES	(TLS_RECORD_HEAD_BYTES + TLS_RECORD_PLAIN_MAX + 256u)
#define TLS_RECORD_EXTRA_BYTES	22u	/* head, type, tag */
/* What tls_record_seal adds at most: a KeyUpdate goes ahead. */
#define TLS_RECORD_SEAL_EXTRA_BYTES (2 * TLS_RECORD_EXTRA_BYTES + 5)
#define TLS_RECORD_ALERT_BYTES	(2 + TLS_RECORD_EXTRA_BYTES)
#define TLS_RECORD_SECRET_MAX	48u
/* Records in a row without a byte of data (updates of keys, empty ones): no client needs so many. */
#define TLS_RECORD_USELESS_MAX	32u
/* Records under one key: a fifth of what AES-GCM bears of full length. */
#define TLS_RECORD_KEY_MAX	(UINT64_C(1) << 22)

enum tls_record_way { TLS_RECORD_IN, TLS_RECORD_OUT };
enum tls_record_alert {
	TLS_RECORD_CLOSE_NOTIFY = 0, TLS_RECORD_UNEXPECTED = 10, TLS_RECORD_BAD_MAC = 20,
	TLS_RECORD_OVERFLOW = 22, TLS_RECORD_ILLEGAL = 47, TLS_RECORD_DECODE = 50,
	TLS_RECORD_USER_CANCELED = 90,
};

struct tls_record;
struct tls_record_bytes {
	uint8_t *p;
	size_t n;
};

/* The ciphers of one thread. Never NULL. */
struct tls_record_engine *tls_record_engine_new(void) MUST_USE;
void tls_record_engine_free(struct tls_record_engine *e);	/* behind its connections; NULL is fine */

/* No keys yet. is_client: tickets may come, and are not kept. The engine is borrowed. Never NULL. */
struct tls_record *tls_record_new(struct tls_record_engine *engine, bool is_client) MUST_USE;
/* Wipes keys and secrets. NULL is fine. */
void tls_record_free(struct tls_record *r);

/* The application traffic secret of one direction (copied), before the start; n is at most
 * TLS_RECORD_SECRET_MAX. */
void tls_record_secret_put(struct tls_record *r, enum tls_record_way way, const uint8_t *secret, size_t n);
/* From here on records, none of which was sealed or opened yet; suite as in the handshake (0x1301 …).
 * ERR_UNSUPPORTED: not this suite, or not with these secrets. */
enum err tls_record_start(struct tls_record *r, uint16_t suite) MUST_USE;
/* KeyUpdates of our own after so many records under a key; TLS_RECORD_KEY_MAX at first. */
void tls_record_key_max_set(struct tls_record *r, uint64_t n_records);

/* *n_record: length, head included, of the record that begins with these n bytes. ERR_AGAIN: not all of
 * it is there, *n_record is what is known to be wanted; ERR_LIMIT: too long to be one. */
enum err tls_record_parse(const uint8_t *p, size_t n, size_t *n_record) MUST_USE;
/* Opens one whole record, whose bytes are lost. *data is its content: in room if that has record->n bytes,
 * else in the record; room is overwritten either way, and apart from the record. No bytes: nothing for the
 * caller. ERR_CLOSED: the peer ended its direction; ERR_IO: it gave up. ERR_CRYPTO, ERR_PROTO: it did what it
 * must not, tls_record_fault names the alert. After an error always the same one. */
enum err tls_record_open(struct tls_record *r, const struct tls_record_bytes *record,
	const struct tls_record_bytes *room, struct tls_record_bytes *data) MUST_USE;
/* The alert that the peer has to be told; -1: none. */
int tls_record_fault(const struct tls_record *r);

/* Seals n bytes (1 to TLS_RECORD_PLAIN_MAX), with a KeyUpdate ahead if one is due. out has room for
 * TLS_RECORD_SEAL_EXTRA_BYTES more, apart from p. Returns how many bytes out has then. */
size_t tls_record_seal(struct tls_record *r, const uint8_t *p, size_t n, uint8_t *out);
/* Seals an alert into TLS_RECORD_ALERT_BYTES. */
void tls_record_alert_seal(struct tls_record *r, enum tls_record_alert alert,
	uint8_t out[TLS_RECORD_ALERT_BYTES]);

#endif
