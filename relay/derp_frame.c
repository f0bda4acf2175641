/* DERP frames: header, length rules, small frames of our own. Layout in derp_frame.h. */
#include "relay/derp_frame.h"

#include <string.h>

#include "base/wire.h"

#define SERVER_FRAME_MAX_BYTES (1u << 20)	/* clients hang up on longer ones */
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

enum err
derp_frame_check_mesh(const struct derp_frame_hdr *h)
{
	uint32_t least, most;

	switch (h->type) {
	case DERP_FRAME_FORWARD_PACKET:
		least = 2 * KEY_BYTES;
		most = 2 * KEY_BYTES + DERP_FRAME_PACKET_MAX_BYTES;
		break;
	case DERP_FRAME_WATCH_CONNS:
		least = most = 0;
		break;
	case DERP_FRAME_CLOSE_PEER:
		least = most = KEY_BYTES;
		break;
	default:
		return derp_frame_check_client(h);
	}
	return h->len_bytes >= least && h->len_bytes <= most ? ERR_OK : ERR_LIMIT;
}

enum err
derp_frame_check_server_key(const struct derp_frame_hdr *h)
{
	if (h->type != DERP_FRAME_SERVER_KEY)
		return ERR_PROTO;
	return h->len_bytes >= DERP_FRAME_KEY_MIN_BYTES && h->len_bytes <= DERP_FRAME_KEY_MAX_BYTES ?
	    ERR_OK : ERR_LIMIT;
}

enum err
derp_frame_check_server(const struct derp_frame_hdr *h)
{
	switch (h->type) {
	case DERP_FRAME_PEER_PRESENT:
	case DERP_FRAME_PEER_GONE:
		return h->len_bytes >= KEY_BYTES && h->len_bytes <= DERP_FRAME_PING_MAX_BYTES ?
		    ERR_OK : ERR_LIMIT;
	case DERP_FRAME_PING:
		return h->len_bytes >= DERP_FRAME_PING_BYTES && h->len_bytes <= DERP_FRAME_PING_MAX_BYTES ?
		    ERR_OK : ERR_LIMIT;
	default:
		return h->len_bytes <= SERVER_FRAME_MAX_BYTES ? ERR_UNSUPPORTED : ERR_LIMIT;
	}
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

size_t
derp_frame_put_present(uint8_t *p, const uint8_t key[KEY_BYTES], const struct net_addr *addr,
	uint8_t flags)
{
	size_t n = derp_frame_put_hdr(p, DERP_FRAME_PEER_PRESENT,
	    DERP_FRAME_PRESENT_BYTES - DERP_FRAME_HDR_BYTES);

	memcpy(p + n, key, KEY_BYTES);
	n += KEY_BYTES;
	memset(p + n, 0, 16);
	if (addr->ip.family == 6) {
		memcpy(p + n, addr->ip.b, 16);
	} else if (addr->ip.family == 4) {
		p[n + 10] = p[n + 11] = 0xff;
		memcpy(p + n + 12, addr->ip.b, 4);
	}
	wire_put_u16be(p + n + 16, addr->port);
	p[n + 18] = flags;
	return DERP_FRAME_PRESENT_BYTES;
}

size_t
derp_frame_put_forward(uint8_t *p, const uint8_t source[KEY_BYTES], const uint8_t *frame, size_t n)
{
	size_t at = derp_frame_put_hdr(p, DERP_FRAME_FORWARD_PACKET,
	    (uint32_t)(n - DERP_FRAME_HDR_BYTES + KEY_BYTES));

	memcpy(p + at, source, KEY_BYTES);
	memcpy(p + at + KEY_BYTES, frame + DERP_FRAME_HDR_BYTES, n - DERP_FRAME_HDR_BYTES);
	return n + KEY_BYTES;
}

uint8_t *
derp_frame_unforward(uint8_t *p, size_t n)
{
	uint8_t *to = p + KEY_BYTES;

	memcpy(to + DERP_FRAME_HDR_BYTES, p + DERP_FRAME_HDR_BYTES, KEY_BYTES);
	derp_frame_put_hdr(to, DERP_FRAME_RECV_PACKET,
	    (uint32_t)(n - DERP_FRAME_HDR_BYTES - KEY_BYTES));
	return to;
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
