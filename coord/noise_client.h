/*
 * Noise IK, initiator's side, as the clients' control protocol uses it (layouts: coord/noise.c).
 * Records are sealed and opened by coord/noise, which does not care for the direction. For looking at servers
 * from outside: `fairlead doctor` and load generators.
 */
#ifndef COORD_NOISE_CLIENT_H
#define COORD_NOISE_CLIENT_H

#include <stdint.h>

#include "base/key.h"
#include "coord/noise.h"

/* Between initiation and answer. */
struct noise_client {
	uint8_t h[NOISE_HASH_BYTES], ck[NOISE_HASH_BYTES];
	struct private_key ephemeral;
};

/* Before all others, once. Then any thread, each with structs of its own. */
void noise_client_init(void);

/* Writes the initiation to the server's key and keeps in *c what the answer needs. ERR_CRYPTO: that is no key
 * (a point of small order). */
enum err noise_client_hello(struct noise_client *c, const struct noise_identity *own,
	const struct machine_key *server, uint16_t version, uint8_t out[NOISE_HELLO_BYTES])
	MUST_USE;
/* Reads the answer. ERR_PROTO; ERR_CRYPTO: not from that server. */
enum err noise_client_finish(struct noise_client *c, const struct noise_identity *own,
	const uint8_t answer[NOISE_ANSWER_BYTES], struct noise_half *rx, struct noise_half *tx)
	MUST_USE;

#endif
