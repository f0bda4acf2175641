/* TLS 1.3 records: keys from secrets, ciphers, sealing, opening, what a peer may say besides data. */
#include "base/tls_record.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#include "base/wire.h"

#define TLS_RECORD_MAGIC	0x715ec04du
#define KEY_MAX_BYTES		32u
#define IV_BYTES		12u
#define TAG_BYTES		16u
#define MESSAGE_HEAD_BYTES	4u
#define UPDATE_BYTES		5u
/* A power of two: keys are numbered, and neighbours do not meet. More than what a relay of some ten pairs
 * uses all the time; where there are more, packets come in longer runs for each. */
#define SLOTS			64u
/* Longest message that we listen to the end of: a ticket. */
#define MESSAGE_MAX_BYTES	(64u << 10)

enum content { CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };
enum message { MESSAGE_TICKET = 4, MESSAGE_KEY_UPDATE = 24 };

struct suite {
	uint16_t id;
	uint8_t n_key, n_secret;
	const char *name;
	const EVP_MD *(*md)(void);
	EVP_CIPHER *cipher;		/* fetched once; NULL: OpenSSL has it not */
};

/* A cipher that is ready to seal or open with a key. */
struct slot {
	EVP_CIPHER_CTX *ctx;		/* owned; NULL: never used */
	const struct suite *suite;	/* what ctx was made for */
	uint64_t id;			/* of the key; 0: none */
};

struct tls_record_engine {
	uint64_t last_id;
	struct slot slots[SLOTS];
};

struct half {
	uint64_t id;			/* of the key, in its engine; 0: none */
	uint64_t seq;			/* of the next record */
	uint8_t key[KEY_MAX_BYTES];
	uint8_t iv[IV_BYTES];
	uint8_t n_secret;		/* 0: none was given */
	uint8_t secret[TLS_RECORD_SECRET_MAX];
};

struct tls_record {
	uint32_t magic;
	enum err over;			/* ERR_OK: nothing has ended it */
	struct tls_record_engine *engine;	/* borrowed */
	const struct suite *suite;	/* NULL before the start */
	struct half half[2];		/* by enum tls_record_way */
	uint64_t key_max;
	uint32_t message_left;		/* of a ticket, still to come */
	uint8_t message[UPDATE_BYTES];	/* a message's begin */
	uint8_t n_message;
	uint8_t n_useless;
	int16_t fault;
	bool is_client : 1;
	bool is_asked : 1;		/* the peer wants our KeyUpdate */
	bool has_asked : 1;		/* we want the peer's */
};

/* --- keys ------------------------------------------------------------------------------------- */

static struct suite suites[] = {
	{ 0x1301, 16, 32, "AES-128-GCM", EVP_sha256, NULL },
	{ 0x1302, 32, 48, "AES-256-GCM", EVP_sha384, NULL },
	{ 0x1303, 32, 32, "ChaCha20-Poly1305", EVP_sha256, NULL },
};
static pthread_once_t suites_once = PTHREAD_ONCE_INIT;

static void
suites_fetch(void)
{
	for (size_t i = 0; i < COUNT_OF(suites); i++)
		suites[i].cipher = EVP_CIPHER_fetch(NULL, suites[i].name, NULL);
	ERR_clear_error();
}

struct tls_record_engine *
tls_record_engine_new(void)
{
	return obj_alloc(sizeof(struct tls_record_engine));
}

void
tls_record_engine_free(struct tls_record_engine *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		EVP_CIPHER_CTX_free(e->slots[i].ctx);
	free(e);
}

/* The cipher with the key of the half, for one record. */
static EVP_CIPHER_CTX *
ready(struct tls_record *r, enum tls_record_way way, const uint8_t nonce[IV_BYTES], const OSSL_PARAM *params)
{
	const struct half *h = &r->half[way];
	struct slot *s = &r->engine->slots[h->id % SLOTS];
	bool is_there = s->id == h->id;

	if (s->ctx == NULL)
		s->ctx = EVP_CIPHER_CTX_new();
	ASSERT(s->ctx != NULL);
	ASSERT(EVP_CipherInit_ex2(s->ctx, s->suite == r->suite ? NULL : r->suite->cipher,
	    is_there ? NULL : h->key, nonce, way == TLS_RECORD_OUT, params) == 1);
	s->suite = r->suite;
	s->id = h->id;
	return s->ctx;
}

/* Wipes what a cipher made of the key. */
static void
forget(struct tls_record *r, enum tls_record_way way)
{
	struct half *h = &r->half[way];
	struct slot *s = &r->engine->slots[h->id % SLOTS];

	if (h->id == 0 || s->id != h->id)
		return;
	EVP_CIPHER_CTX_free(s->ctx);
	*s = (struct slot){ .ctx = NULL };
}

/* HKDF-Expand-Label with an empty context; never more than one block of the hash. */
static void
expand(const struct tls_record *r, const struct half *h, const char *label, uint8_t *out, size_t n)
{
	uint8_t info[32], block[EVP_MAX_MD_SIZE];
	size_t n_label = strlen(label);

	ASSERT(n <= h->n_secret && n_label <= sizeof info - 11);
	wire_put_u16be(info, (uint16_t)n);
	info[2] = (uint8_t)(6 + n_label);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, n_label);
	info[9 + n_label] = 0;
	info[10 + n_label] = 1;
	ASSERT(HMAC(r->suite->md(), h->secret, h->n_secret, info, 11 + n_label, block, NULL) != NULL);
	memcpy(out, block, n);
	OPENSSL_cleanse(block, sizeof block);
}

/* Key and nonces of the secret that the half has now. */
static void
rekey(struct tls_record *r, enum tls_record_way way)
{
	struct half *h = &r->half[way];

	forget(r, way);
	expand(r, h, "key", h->key, r->suite->n_key);
	expand(r, h, "iv", h->iv, IV_BYTES);
	h->seq = 0;
	h->id = ++r->engine->last_id;
}

static void
next_secret(struct tls_record *r, enum tls_record_way way)
{
	struct half *h = &r->half[way];
	uint8_t next[TLS_RECORD_SECRET_MAX];

	expand(r, h, "traffic upd", next, h->n_secret);
	memcpy(h->secret, next, h->n_secret);
	OPENSSL_cleanse(next, sizeof next);
	rekey(r, way);
}

/* --- birth and death -------------------------------------------------------------------------- */

struct tls_record *
tls_record_new(struct tls_record_engine *engine, bool is_client)
{
	struct tls_record *r = obj_alloc(sizeof *r);

	r->magic = TLS_RECORD_MAGIC;
	r->engine = engine;
	r->is_client = is_client;
	r->key_max = TLS_RECORD_KEY_MAX;
	r->fault = -1;
	return r;
}

void
tls_record_free(struct tls_record *r)
{
	if (r == NULL)
		return;
	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	forget(r, TLS_RECORD_IN);
	forget(r, TLS_RECORD_OUT);
	OPENSSL_cleanse(r, sizeof *r);
	free(r);
}

void
tls_record_secret_put(struct tls_record *r, enum tls_record_way way, const uint8_t *secret, size_t n)
{
	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	ASSERT(r->suite == NULL && n > 0 && n <= TLS_RECORD_SECRET_MAX);
	memcpy(r->half[way].secret, secret, n);
	r->half[way].n_secret = (uint8_t)n;
}

enum err
tls_record_start(struct tls_record *r, uint16_t suite)
{
	const struct suite *s = NULL;

	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	ASSERT(r->suite == NULL);
	ASSERT(pthread_once(&suites_once, suites_fetch) == 0);
	for (size_t i = 0; i < COUNT_OF(suites); i++)
		if (suites[i].id == suite)
			s = &suites[i];
	if (s == NULL || s->cipher == NULL || r->half[0].n_secret != s->n_secret ||
	    r->half[1].n_secret != s->n_secret)
		return ERR_UNSUPPORTED;
	r->suite = s;
	rekey(r, TLS_RECORD_IN);
	rekey(r, TLS_RECORD_OUT);
	return ERR_OK;
}

void
tls_record_key_max_set(struct tls_record *r, uint64_t n_records)
{
	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	r->key_max = n_records;
}

static void
next_nonce(struct half *h, uint8_t nonce[IV_BYTES])
{
	uint8_t seq[8];

	wire_put_u64be(seq, h->seq++);
	memcpy(nonce, h->iv, IV_BYTES);
	for (size_t i = 0; i < sizeof seq; i++)
		nonce[IV_BYTES - sizeof seq + i] ^= seq[i];
}

/* --- sealing ---------------------------------------------------------------------------------- */

static size_t
put(struct tls_record *r, uint8_t type, const uint8_t *p, size_t n, uint8_t *out)
{
	uint8_t nonce[IV_BYTES], *body = out + TLS_RECORD_HEAD_BYTES;
	EVP_CIPHER_CTX *ctx;
	OSSL_PARAM tag[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, body + n + 1, TAG_BYTES), OSSL_PARAM_END,
	};
	int got;

	out[0] = CONTENT_DATA;
	wire_put_u16be(out + 1, 0x0303);
	wire_put_u16be(out + 3, (uint16_t)(n + 1 + TAG_BYTES));
	next_nonce(&r->half[TLS_RECORD_OUT], nonce);
	ctx = ready(r, TLS_RECORD_OUT, nonce, NULL);
	bool is_done = EVP_EncryptUpdate(ctx, NULL, &got, out, (int)TLS_RECORD_HEAD_BYTES) == 1 &&
	    EVP_EncryptUpdate(ctx, body, &got, p, (int)n) == 1 &&
	    EVP_EncryptUpdate(ctx, body + n, &got, &type, 1) == 1 &&
	    EVP_EncryptFinal_ex(ctx, body + n + 1, &got) == 1 &&
	    EVP_CIPHER_CTX_get_params(ctx, tag) == 1;
	ASSERT(is_done);
	return n + TLS_RECORD_EXTRA_BYTES;
}

/* A KeyUpdate and the keys behind it. */
static size_t
update_put(struct tls_record *r, uint8_t *out)
{
	bool is_asking = r->half[TLS_RECORD_IN].seq >= r->key_max && !r->has_asked;
	uint8_t message[UPDATE_BYTES] = { MESSAGE_KEY_UPDATE, 0, 0, 1, is_asking };
	size_t n = put(r, CONTENT_HANDSHAKE, message, sizeof message, out);

	next_secret(r, TLS_RECORD_OUT);
	r->is_asked = false;
	if (is_asking)
		r->has_asked = true;
	return n;
}

size_t
tls_record_seal(struct tls_record *r, const uint8_t *p, size_t n, uint8_t *out)
{
	size_t n_update = 0;

	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	ASSERT(r->suite != NULL && n > 0 && n <= TLS_RECORD_PLAIN_MAX);
	if (r->is_asked || r->half[TLS_RECORD_OUT].seq >= r->key_max ||
	    (r->half[TLS_RECORD_IN].seq >= r->key_max && !r->has_asked))
		n_update = update_put(r, out);
	return n_update + put(r, CONTENT_DATA, p, n, out + n_update);
}

void
tls_record_alert_seal(struct tls_record *r, enum tls_record_alert alert, uint8_t out[TLS_RECORD_ALERT_BYTES])
{
	uint8_t bytes[2] = { alert == TLS_RECORD_CLOSE_NOTIFY ? 1 : 2, (uint8_t)alert };

	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	ASSERT(r->suite != NULL);
	(void)put(r, CONTENT_ALERT, bytes, sizeof bytes, out);
}

/* --- what a peer says besides data ------------------------------------------------------------ */

static enum err
fault(struct tls_record *r, enum tls_record_alert alert)
{
	r->fault = (int16_t)alert;
	r->over = alert == TLS_RECORD_BAD_MAC ? ERR_CRYPTO : ERR_PROTO;
	return r->over;
}

static enum err
on_alert(struct tls_record *r, const uint8_t *p, size_t n)
{
	if (n != 2)
		return fault(r, TLS_RECORD_DECODE);
	if (p[1] == TLS_RECORD_USER_CANCELED)	/* close_notify follows */
		return ERR_OK;
	r->over = p[1] == TLS_RECORD_CLOSE_NOTIFY ? ERR_CLOSED : ERR_IO;
	return r->over;
}

/* A whole KeyUpdate; is_last: nothing is behind it in its record, as there must not be. */
static enum err
on_update(struct tls_record *r, bool is_last)
{
	uint8_t is_asking = r->message[MESSAGE_HEAD_BYTES];

	if (!is_last)
		return fault(r, TLS_RECORD_UNEXPECTED);
	if (is_asking > 1)
		return fault(r, TLS_RECORD_ILLEGAL);
	r->n_message = 0;
	next_secret(r, TLS_RECORD_IN);
	r->has_asked = false;
	if (is_asking)
		r->is_asked = true;
	return ERR_OK;
}

/* The head of a message is there: what follows? */
static enum err
on_message_head(struct tls_record *r)
{
	size_t n = ((size_t)r->message[1] << 16) | wire_u16be(r->message + 2);

	if (r->message[0] == MESSAGE_KEY_UPDATE)
		return n == 1 ? ERR_OK : fault(r, TLS_RECORD_DECODE);
	if (r->message[0] != MESSAGE_TICKET || !r->is_client)
		return fault(r, TLS_RECORD_UNEXPECTED);
	if (n > MESSAGE_MAX_BYTES)
		return fault(r, TLS_RECORD_DECODE);
	r->message_left = (uint32_t)n;
	r->n_message = 0;
	return ERR_OK;
}

/* Messages may be cut anywhere by records, and several may be in one. */
static enum err
on_handshake(struct tls_record *r, const uint8_t *p, size_t n)
{
	enum err rc = ERR_OK;

	if (n == 0)
		return fault(r, TLS_RECORD_UNEXPECTED);
	while (n > 0 && rc == ERR_OK) {
		if (r->message_left > 0) {
			size_t k = n < r->message_left ? n : r->message_left;

			r->message_left -= (uint32_t)k;
			p += k;
			n -= k;
			continue;
		}
		r->message[r->n_message++] = *p++;
		n--;
		if (r->n_message == MESSAGE_HEAD_BYTES)
			rc = on_message_head(r);
		else if (r->n_message == UPDATE_BYTES)
			rc = on_update(r, n == 0);
	}
	return rc;
}

/* --- opening ---------------------------------------------------------------------------------- */

enum err
tls_record_parse(const uint8_t *p, size_t n, size_t *n_record)
{
	*n_record = TLS_RECORD_HEAD_BYTES;
	if (n < TLS_RECORD_HEAD_BYTES)
		return ERR_AGAIN;
	*n_record += wire_u16be(p + 3);
	if (*n_record > TLS_RECORD_MAX_BYTES)
		return ERR_LIMIT;
	return n < *n_record ? ERR_AGAIN : ERR_OK;
}

static bool
decrypt(struct tls_record *r, const uint8_t *head, uint8_t *body, size_t n, uint8_t *out)
{
	uint8_t nonce[IV_BYTES];
	OSSL_PARAM tag[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, body + n, TAG_BYTES), OSSL_PARAM_END,
	};
	EVP_CIPHER_CTX *ctx;
	int got;

	next_nonce(&r->half[TLS_RECORD_IN], nonce);
	ctx = ready(r, TLS_RECORD_IN, nonce, tag);
	return EVP_DecryptUpdate(ctx, NULL, &got, head, (int)TLS_RECORD_HEAD_BYTES) == 1 &&
	    (n == 0 || EVP_DecryptUpdate(ctx, out, &got, body, (int)n) == 1) &&
	    EVP_DecryptFinal_ex(ctx, out + n, &got) == 1;
}

/* What was opened is authentic: content, type, zeros. */
static enum err
on_content(struct tls_record *r, struct tls_record_bytes *data, uint8_t *p, size_t n)
{
	enum err rc;

	if (n > TLS_RECORD_PLAIN_MAX + 1)
		return fault(r, TLS_RECORD_OVERFLOW);
	while (n > 0 && p[n - 1] == 0)
		n--;
	if (n == 0)
		return fault(r, TLS_RECORD_UNEXPECTED);
	n--;
	if (p[n] == CONTENT_DATA && n > 0 && r->n_message == 0 && r->message_left == 0) {
		r->n_useless = 0;
		*data = (struct tls_record_bytes){ p, n };
		return ERR_OK;
	}
	if (++r->n_useless > TLS_RECORD_USELESS_MAX)
		return fault(r, TLS_RECORD_UNEXPECTED);
	if (p[n] == CONTENT_HANDSHAKE)
		return on_handshake(r, p, n);
	if (r->n_message > 0 || r->message_left > 0)	/* nothing may come between its parts */
		return fault(r, TLS_RECORD_UNEXPECTED);
	if (p[n] == CONTENT_ALERT)
		rc = on_alert(r, p, n);
	else
		rc = p[n] == CONTENT_DATA ? ERR_OK : fault(r, TLS_RECORD_UNEXPECTED);
	return rc;
}

enum err
tls_record_open(struct tls_record *r, const struct tls_record_bytes *record,
	const struct tls_record_bytes *room, struct tls_record_bytes *data)
{
	uint8_t *body = record->p + TLS_RECORD_HEAD_BYTES, *out = room->n >= record->n ? room->p : body;
	size_t n;

	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	ASSERT(r->suite != NULL && record->n >= TLS_RECORD_HEAD_BYTES && record->n <= TLS_RECORD_MAX_BYTES);
	*data = (struct tls_record_bytes){ .n = 0 };
	if (r->over != ERR_OK)
		return r->over;
	if (record->p[0] != CONTENT_DATA)
		return fault(r, TLS_RECORD_UNEXPECTED);
	n = record->n - TLS_RECORD_HEAD_BYTES;
	if (n < TAG_BYTES)
		return fault(r, TLS_RECORD_BAD_MAC);
	n -= TAG_BYTES;
	if (!decrypt(r, record->p, body, n, out)) {
		ERR_clear_error();
		OPENSSL_cleanse(out, n);
		return fault(r, TLS_RECORD_BAD_MAC);
	}
	return on_content(r, data, out, n);
}

int
tls_record_fault(const struct tls_record *r)
{
	OBJ_CHECK(r, TLS_RECORD_MAGIC);
	return r->fault;
}
