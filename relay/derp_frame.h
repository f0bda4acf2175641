/*
 * DERP frames <-> structs. Pure: bytes in, facts and bytes out.
 *
 * offset size  (big-endian; Tailscale derp/derp.go)
 *      0    1  type
 *      1    4  length of the payload, header not counted
 *      5       payload, by type:
 *
 * type                      payload                          length from a client
 * 0x01 ServerKey     S>C    magic 8, key 32
 * 0x02 ClientInfo    C>S    key 32, nonce 24, box            56 .. DERP_FRAME_INFO_MAX_BYTES
 * 0x03 ServerInfo    S>C    nonce 24, box
 * 0x04 SendPacket    C>S    destination key 32, packet       32 .. 32 + 65536
 * 0x05 RecvPacket    S>C    source key 32, packet
 * 0x06 KeepAlive     S>C    -
 * 0x07 NotePreferred C>S    1 = this is my home, 0 = no more 1
 * 0x08 PeerGone      S>C    key 32, reason 1
 * 0x09 PeerPresent   S>mesh key 32, address 16, port 2, flags 1
 * 0x0a ForwardPacket mesh>S source key 32, destination key 32, packet   64 .. 64 + 65536
 * 0x10 WatchConns    mesh>S -
 * 0x11 ClosePeer     mesh>S key 32
 * 0x12 Ping          both   8 bytes                          8 .. 1000, the first 8 count
 * 0x13 Pong          both   the same 8 bytes
 *
 * A sent and a received packet frame have the same length: only type and key change. The address of
 * PeerPresent is IPv6, or IPv4 mapped into it.
 */
#ifndef RELAY_DERP_FRAME_H
#define RELAY_DERP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/key.h"
#include "base/net.h"

#define DERP_FRAME_HDR_BYTES		5u
#define DERP_FRAME_PACKET_MAX_BYTES	(64u << 10)	/* what the reference relay accepts */
#define DERP_FRAME_INFO_MIN_BYTES	56u
/* The reference takes 256 KiB; a client's is below 300 bytes, and strangers send it. */
#define DERP_FRAME_INFO_MAX_BYTES	(16u << 10)
#define DERP_FRAME_PING_BYTES		8u
#define DERP_FRAME_PING_MAX_BYTES	1000u
/* Longest frame that is buffered: all others are skipped as they come, or end the connection. */
#define DERP_FRAME_MAX_BYTES \
	(DERP_FRAME_HDR_BYTES + 2 * KEY_BYTES + DERP_FRAME_PACKET_MAX_BYTES)
#define DERP_FRAME_KEY_MIN_BYTES	40u	/* ServerKey: a client accepts more behind it */
#define DERP_FRAME_KEY_MAX_BYTES	1024u

#define DERP_FRAME_KEEPALIVE_BYTES	DERP_FRAME_HDR_BYTES
#define DERP_FRAME_PONG_BYTES		(DERP_FRAME_HDR_BYTES + DERP_FRAME_PING_BYTES)
#define DERP_FRAME_GONE_BYTES		(DERP_FRAME_HDR_BYTES + KEY_BYTES + 1)
#define DERP_FRAME_PRESENT_BYTES	(DERP_FRAME_HDR_BYTES + KEY_BYTES + 16 + 2 + 1)

enum derp_frame_type {
	DERP_FRAME_SERVER_KEY = 0x01,
	DERP_FRAME_CLIENT_INFO = 0x02,
	DERP_FRAME_SERVER_INFO = 0x03,
	DERP_FRAME_SEND_PACKET = 0x04,
	DERP_FRAME_RECV_PACKET = 0x05,
	DERP_FRAME_KEEP_ALIVE = 0x06,
	DERP_FRAME_NOTE_PREFERRED = 0x07,
	DERP_FRAME_PEER_GONE = 0x08,
	DERP_FRAME_PEER_PRESENT = 0x09,
	DERP_FRAME_FORWARD_PACKET = 0x0a,
	DERP_FRAME_WATCH_CONNS = 0x10,
	DERP_FRAME_CLOSE_PEER = 0x11,
	DERP_FRAME_PING = 0x12,
	DERP_FRAME_PONG = 0x13,
};

enum derp_frame_gone {
	DERP_FRAME_GONE_DISCONNECTED = 0,
	DERP_FRAME_GONE_NOT_HERE = 1,
};

/* What a watcher hears of a connection; regular is said alone. */
enum derp_frame_present {
	DERP_FRAME_PRESENT_REGULAR = 1,
	DERP_FRAME_PRESENT_MESH = 2,
	DERP_FRAME_PRESENT_PROBER = 4,
	DERP_FRAME_PRESENT_NOT_IDEAL = 8,
};

struct derp_frame_hdr {
	uint8_t type;
	uint32_t len_bytes;	/* of the payload; any value: derp_frame_check_* judge it */
};

/* Header of the frame at p. ERR_AGAIN: not all 5 bytes yet. */
enum err derp_frame_parse(const uint8_t *p, size_t n, struct derp_frame_hdr *out) MUST_USE;

/* A stranger's first frame, which must be ClientInfo. ERR_PROTO: another one; ERR_LIMIT: its
 * length. */
enum err derp_frame_check_hello(const struct derp_frame_hdr *h) MUST_USE;
/* A client's frame after the greeting. ERR_UNSUPPORTED: a type we do nothing with, skip its
 * payload (whatever its length); ERR_LIMIT: too short or too long, close; ERR_DENIED: of a mesh
 * peer only, close. */
enum err derp_frame_check_client(const struct derp_frame_hdr *h) MUST_USE;
/* The same of a mesh peer. */
enum err derp_frame_check_mesh(const struct derp_frame_hdr *h) MUST_USE;
/* The same of a relay that we are a client of: its first frame (ServerKey, or ERR_PROTO), and the
 * others. */
enum err derp_frame_check_server_key(const struct derp_frame_hdr *h) MUST_USE;
enum err derp_frame_check_server(const struct derp_frame_hdr *h) MUST_USE;

/* The writers need room for the frame at p and return its length. */
size_t derp_frame_put_hdr(uint8_t *p, enum derp_frame_type type, uint32_t len_bytes);
size_t derp_frame_put_keepalive(uint8_t *p);
size_t derp_frame_put_pong(uint8_t *p, const uint8_t data[DERP_FRAME_PING_BYTES]);
size_t derp_frame_put_gone(uint8_t *p, const uint8_t key[KEY_BYTES], enum derp_frame_gone reason);
size_t derp_frame_put_present(uint8_t *p, const uint8_t key[KEY_BYTES], const struct net_addr *addr,
	uint8_t flags);
/* Makes a ForwardPacket frame of the SendPacket frame of n bytes at frame; p has room for KEY_BYTES
 * more. */
size_t derp_frame_put_forward(uint8_t *p, const uint8_t source[KEY_BYTES], const uint8_t *frame,
	size_t n);
/* Turns the ForwardPacket frame of n bytes at p into RecvPacket from its source, in place; returns
 * where that begins: it is KEY_BYTES shorter and ends where the other did. */
uint8_t *derp_frame_unforward(uint8_t *p, size_t n);
/* Turns the SendPacket frame at p into RecvPacket from source, in place. */
void derp_frame_readdress(uint8_t *p, const uint8_t source[KEY_BYTES]);

/* Looks the packet of n bytes like a disco message (Tailscale disco/disco.go: magic, key,
 * nonce)? */
bool derp_frame_is_disco(const uint8_t *packet, size_t n);

#endif
