/* WebSocket frames: headers, masks, the reader. Layout in ws.h. */
#include "base/ws.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/obj.h"
#include "base/wire.h"

#define FIN		0x80u
#define RSV		0x70u
#define OPCODE		0x0fu
#define MASKED		0x80u
#define LEN_16		126u
#define LEN_64		127u
#define SHA1_BYTES	20

/* --- headers ---------------------------------------------------------------------------------- */

static bool
is_control(uint8_t opcode)
{
	return (opcode & 8) != 0;
}

/* The length behind the second byte. ERR_PROTO: it would fit a shorter form, or is negative. */
static enum err
len_parse(const uint8_t *p, uint8_t form, uint64_t *out)
{
	*out = form == LEN_16 ? wire_u16be(p) : wire_u64be(p);
	if (*out < LEN_16 || (form == LEN_64 && (*out <= UINT16_MAX || *out > INT64_MAX)))
		return ERR_PROTO;
	return ERR_OK;
}

enum err
ws_hdr_parse(const uint8_t *p, size_t n, struct ws_hdr *out)
{
	struct ws_hdr h = { .hdr_bytes = 2 };
	uint8_t form;

	if (n < 2)
		return ERR_AGAIN;
	h.is_last = (p[0] & FIN) != 0;
	h.opcode = p[0] & OPCODE;
	form = p[1] & 0x7f;
	if ((p[0] & RSV) != 0 || (p[1] & MASKED) == 0)
		return ERR_PROTO;
	if ((h.opcode > WS_BINARY && h.opcode < WS_CLOSE) || h.opcode > WS_PONG)
		return ERR_PROTO;
	if (is_control(h.opcode) && (!h.is_last || form > WS_CONTROL_MAX_BYTES))
		return ERR_PROTO;
	h.hdr_bytes = (uint8_t)(6 + (form == LEN_16 ? 2 : form == LEN_64 ? 8 : 0));
	if (n < h.hdr_bytes)
		return ERR_AGAIN;
	h.len_bytes = form;
	if (form >= LEN_16 && len_parse(p + 2, form, &h.len_bytes) != ERR_OK)
		return ERR_PROTO;
	memcpy(h.mask, p + h.hdr_bytes - sizeof h.mask, sizeof h.mask);
	*out = h;
	return ERR_OK;
}

size_t
ws_hdr_put(uint8_t p[WS_OUT_HDR_MAX_BYTES], enum ws_opcode opcode, size_t len_bytes)
{
	p[0] = (uint8_t)(FIN | opcode);
	if (len_bytes < LEN_16) {
		p[1] = (uint8_t)len_bytes;
		return 2;
	}
	if (len_bytes <= UINT16_MAX) {
		p[1] = LEN_16;
		wire_put_u16be(p + 2, (uint16_t)len_bytes);
		return 4;
	}
	p[1] = LEN_64;
	wire_put_u64be(p + 2, len_bytes);
	return 10;
}

/* --- the reader ------------------------------------------------------------------------------- */

/* Unmasks n bytes from p to the place before or at it. */
static void
unmask(struct ws_reader *r, uint8_t *to, const uint8_t *p, size_t n)
{
	uint64_t mask8;
	uint8_t turned[8];
	size_t i = 0;

	for (unsigned k = 0; k < sizeof turned; k++)
		turned[k] = r->mask[(r->phase + k) % 4];
	memcpy(&mask8, turned, sizeof mask8);
	for (; n - i >= sizeof mask8; i += sizeof mask8) {
		uint64_t v;

		memcpy(&v, p + i, sizeof v);
		v ^= mask8;
		memcpy(to + i, &v, sizeof v);
	}
	for (size_t k = 0; i < n; i++, k++)
		to[i] = p[i] ^ turned[k];
	r->phase = (uint8_t)((r->phase + n) % 4);
}

/* A header is whole: may this frame come here? */
static enum err
frame_begin(struct ws_reader *r, const struct ws_hdr *h)
{
	if (h->opcode == WS_TEXT)
		return ERR_PROTO;
	if (!is_control(h->opcode)) {
		if ((h->opcode == WS_CONTINUATION) != r->is_in_message)
			return ERR_PROTO;
		r->is_in_message = !h->is_last;
	}
	r->opcode = h->opcode;
	r->left_bytes = h->len_bytes;
	memcpy(r->mask, h->mask, sizeof r->mask);
	r->phase = 0;
	r->n_control = 0;
	r->is_in_frame = true;
	return ERR_OK;
}

/* The frame's payload has been read whole. */
static enum err
frame_end(struct ws_reader *r)
{
	r->is_in_frame = false;
	if (r->opcode == WS_CLOSE)
		return r->n_control == 1 ? ERR_PROTO : ERR_CLOSED;
	if (r->opcode == WS_PING) {
		r->has_ping = true;
		r->n_ping = r->n_control;
		memcpy(r->ping, r->control, r->n_control);
	}
	return ERR_OK;
}

/* Takes header bytes from p; *used: how many. */
static enum err
take_header(struct ws_reader *r, const uint8_t *p, size_t n, size_t *used)
{
	struct ws_hdr h;
	enum err rc = ERR_AGAIN;

	for (*used = 0; *used < n && rc == ERR_AGAIN;) {
		ASSERT(r->n_hdr < sizeof r->hdr);
		r->hdr[r->n_hdr++] = p[(*used)++];
		rc = ws_hdr_parse(r->hdr, r->n_hdr, &h);
	}
	if (rc == ERR_AGAIN)
		return ERR_OK;
	if (rc != ERR_OK)
		return rc;
	r->n_hdr = 0;
	return frame_begin(r, &h);
}

/* Takes payload bytes from p; those of a message go to `to`. */
static size_t
take_payload(struct ws_reader *r, uint8_t *to, const uint8_t *p, size_t n, size_t *n_data)
{
	if (n > r->left_bytes)
		n = (size_t)r->left_bytes;
	r->left_bytes -= n;
	if (is_control(r->opcode)) {
		unmask(r, r->control + r->n_control, p, n);
		r->n_control = (uint8_t)(r->n_control + n);
	} else {
		unmask(r, to, p, n);
		*n_data += n;
	}
	return n;
}

enum err
ws_read(struct ws_reader *r, uint8_t *p, size_t n, size_t *n_data)
{
	size_t at = 0, used;
	enum err rc = ERR_OK;

	*n_data = 0;
	while (rc == ERR_OK && at < n) {
		if (!r->is_in_frame) {
			rc = take_header(r, p + at, n - at, &used);
			at += used;
		}
		if (rc == ERR_OK && r->is_in_frame) {
			at += take_payload(r, p + *n_data, p + at, n - at, n_data);
			if (r->left_bytes == 0)
				rc = frame_end(r);
		}
	}
	return rc;
}

/* --- the handshake ---------------------------------------------------------------------------- */

static bool
is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
	    c == '/';
}

enum err
ws_accept_put(const char *key, size_t n, char out[WS_ACCEPT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";	/* RFC 6455 1.3 */
	char text[WS_KEY_CHARS + sizeof guid];
	uint8_t digest[SHA1_BYTES];

	if (n != WS_KEY_CHARS || key[n - 1] != '=' || key[n - 2] != '=')
		return ERR_INVAL;
	for (size_t i = 0; i < n - 2; i++) {
		if (!is_base64(key[i]))
			return ERR_INVAL;
	}
	memcpy(text, key, n);
	memcpy(text + n, guid, sizeof guid - 1);
	ASSERT(EVP_Digest(text, n + sizeof guid - 1, digest, NULL, EVP_sha1(), NULL) == 1);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
	return ERR_OK;
}
