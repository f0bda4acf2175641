/*
 * The greeting of a DERP connection: ServerKey, ClientInfo, ServerInfo and their NaCl boxes.
 * Pure but for the nonce, which is drawn from base/rand.
 *
 * S>C ServerKey: 01 00000028, magic "DERP" f0 9f 94 91, server's public key 32 2. C>S
 * ClientInfo: 02 length, client's node key 32, nonce 24, box of JSON 3. S>C ServerInfo: 03
 * length, nonce 24, box of {"version":2} box = crypto_box (X25519, XSalsa20-Poly1305) with tag
 * in front: tag 16, ciphertext. Source: Tailscale derp/derp.go, derp/derpserver/derpserver.go,
 * types/key/node.go (SealTo, OpenFrom).
 */
#ifndef RELAY_DERP_HELLO_H
#define RELAY_DERP_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/key.h"

#define DERP_HELLO_VERSION	2
#define DERP_HELLO_KEY_BYTES	45u	/* the ServerKey frame */
#define DERP_HELLO_INFO_BYTES	58u	/* the ServerInfo frame */

struct derp_hello_info {
	struct node_key key;		/* proven: the box opens with it only */
	int64_t version;		/* not enforced */
	bool can_ack_pings;
	bool is_prober;
	bool has_mesh_key;
	uint8_t mesh_key[KEY_BYTES];
};

/* Writes the ServerKey frame. */
void derp_hello_key_put(const uint8_t server_public[KEY_BYTES], uint8_t out[DERP_HELLO_KEY_BYTES]);

/* Opens the payload of a ClientInfo frame. ERR_LIMIT: its length; ERR_CRYPTO: the box does not
 * open with this key; ERR_PROTO: what is in it is no client info. */
enum err derp_hello_open(const uint8_t *payload, size_t n, const struct private_key *server,
	struct derp_hello_info *out) MUST_USE;
/* The JSON inside: names in any case, unknown members ignored; key is left alone. ERR_PROTO. */
enum err derp_hello_parse(const uint8_t *json, size_t n, struct derp_hello_info *out) MUST_USE;

/* Writes the ServerInfo frame for this client. ERR_CRYPTO: no key to seal for (a point of low
 * order). */
enum err derp_hello_info_put(const struct node_key *client, const struct private_key *server,
	uint8_t out[DERP_HELLO_INFO_BYTES]) MUST_USE;

/* --- the other side: we are the client of another relay --- */

/* The other relay's key, from the payload of its ServerKey frame. ERR_PROTO: it is none. */
enum err derp_hello_key_parse(const uint8_t *payload, size_t n, uint8_t out[KEY_BYTES]) MUST_USE;

#define DERP_HELLO_CLIENT_MAX_BYTES 256u
/* Writes our ClientInfo frame with the mesh key (NULL: without one, as any client); *n: its length.
 * ERR_CRYPTO: no key to seal for. */
enum err derp_hello_client_put(const uint8_t server_public[KEY_BYTES], const struct private_key *own,
	const uint8_t mesh_key[KEY_BYTES], uint8_t out[DERP_HELLO_CLIENT_MAX_BYTES], size_t *n) MUST_USE;

#endif
