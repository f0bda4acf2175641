/* DERP frames: header, length rules, small frames of our own. Layout in derp_frame.h. */
#include "relay/derp_frame.h"

#include <string.h>

#include "base/wire.h"

#define DISCO_MIN_BYTES (6 + 32 + 24)	/* magic, sender's key, nonce */

static const uint8_t disco_magic[6] = { 'T', 'S', 0xf0, 0x9f, 0x92, 0xac };

enum err
derp_frame_parse(const uint8_t *p, size_t n, struct derp_frame_hdr *out)
{
	if (n < DERP_FRAME_HDR_BYTES)
		return ERR_AGAIN;
	*out = (struct derp_frame_hdr){ .type = p[0], .len_bytes = wire_u32be(p + 1) };
	return ERR_OK;
}

enum err
derp_frame_check_hello(const struct derp_frame_hdr *h)
{
	if (h->type != DERP_FRAME_CLIENT_INFO)
		return ERR_PROTO;
	if (h->len_bytes < DERP_FRAME_INFO_MIN_BYTES || h->len_bytes > DERP_FRAME_INFO_MAX_BYTES)
		return ERR_LIMIT;
	return ERR_OK;
}

enum err
derp_frame_check_client(const struct derp_frame_hdr *h)
{
	uint32_t least, most;

	switch (h->type) {
	case DERP_FRAME_SEND_PACKET:
		least = KEY_BYTES;
		most = KEY_BYTES + DERP_FRAME_PACKET_MAX_BYTES;
		break;
	case DERP_FRAME_NOTE_PREFERRED:
		least = most = 1;
		break;
	case DERP_FRAME_PING:
		least = DERP_FRAME_PING_BYTES;
		most = DERP_FRAME_PING_MAX_BYTES;
		break;
	case DERP_FRAME_FORWARD_PACKET:
	case DERP_FRAME_WATCH_CONNS:
	case DERP_FRAME_CLOSE_PEER:
		return ERR_DENIED;
	default:
		return ERR_UNSUPPORTED;
	}
	return h->len_bytes >= least && h->len_bytes <= most ? ERR_OK : ERR_LIMIT;
}

size_t
derp_frame_put_hdr(uint8_t *p, enum derp_frame_type type, uint32_t len_bytes)
{
	p[0] = (uint8_t)type;
	wire_put_u32be(p + 1, len_bytes);
	return DERP_FRAME_HDR_BYTES;
}

size_t
derp_frame_put_keepalive(uint8_t *p)
{
	return derp_frame_put_hdr(p, DERP_FRAME_KEEP_ALIVE, 0);
}

size_t
derp_frame_put_pong(uint8_t *p, const uint8_t data[DERP_FRAME_PING_BYTES])
{
	size_t n = derp_frame_put_hdr(p, DERP_FRAME_PONG, DERP_FRAME_PING_BYTES);

	memcpy(p + n, data, DERP_FRAME_PING_BYTES);
	return n + DERP_FRAME_PING_BYTES;
}

size_t
derp_frame_put_gone(uint8_t *p, const uint8_t key[KEY_BYTES], enum derp_frame_gone reason)
{
	size_t n = derp_frame_put_hdr(p, DERP_FRAME_PEER_GONE, KEY_BYTES + 1);

	memcpy(p + n, key, KEY_BYTES);
	p[n + KEY_BYTES] = (uint8_t)reason;
	return n + KEY_BYTES + 1;
}

void
derp_frame_readdress(uint8_t *p, const uint8_t source[KEY_BYTES])
{
	p[0] = DERP_FRAME_RECV_PACKET;
	memcpy(p + DERP_FRAME_HDR_BYTES, source, KEY_BYTES);
}

bool
derp_frame_is_disco(const uint8_t *packet, size_t n)
{
	return n >= DISCO_MIN_BYTES && memcmp(packet, disco_magic, sizeof disco_magic) == 0;
}
