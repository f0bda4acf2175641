/*
 * STUN: tells a client the address and port we see it at. One request, one answer, no state.
 *
 * Request (big-endian; Tailscale net/stun/stun.go):
 *  0  2  00 01
 *  2  2  length of the attributes
 *  4  4  cookie 21 12 a4 42
 *  8 12  transaction id
 * 20     attributes of type 2, length 2, value padded to 4: a SOFTWARE (0x8022) "tailnode", and last
 *        a FINGERPRINT (0x8028): CRC32 of what is before it, XOR 0x5354554e
 * Anything else is dropped without an answer, so that the port reflects nothing for others.
 *
 * Answer: 01 01, length, cookie, id, then XOR-MAPPED-ADDRESS (0x0020): 0, family 1 or 2, port and
 * address, XORed with the cookie (IPv6: cookie and id).
 */
#ifndef RELAY_STUN_H
#define RELAY_STUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "base/net.h"
#include "base/worker.h"

#define STUN_ID_BYTES		12
#define STUN_ANSWER_MAX_BYTES	44

/* Pure. The transaction id of a request of n bytes that deserves an answer. ERR_PROTO: drop it. */
enum err stun_parse(const uint8_t *p, size_t n, uint8_t id[STUN_ID_BYTES]) MUST_USE;
/* Pure. Writes the answer for a client at addr; returns its length: 32 or 44. */
size_t stun_answer(uint8_t out[STUN_ANSWER_MAX_BYTES], const uint8_t id[STUN_ID_BYTES],
	const struct net_addr *addr);

#define STUN_REQUEST_BYTES	40
/* The other side. Writes a request as clients send it. */
void stun_request_put(uint8_t out[STUN_REQUEST_BYTES], const uint8_t id[STUN_ID_BYTES]);
/* What a server answered to that request: the address that it saw. ERR_PROTO: it is no answer to it. */
enum err stun_answer_parse(const uint8_t *p, size_t n, const uint8_t id[STUN_ID_BYTES],
	struct net_addr *out) MUST_USE;

struct stun;

/* Binds every "addr:port" of list ("[::]:port" serves IPv4 too, unless the list has an IPv4
 * address with that port), polled by w. ERR_IO, ERR_INVAL with *why. Main thread, before the
 * workers start. */
enum err stun_listen(const struct config_list *list, struct worker *w, struct stun **out,
	struct err_text *why) MUST_USE;
uint16_t stun_port(const struct stun *s);	/* of the first socket; 0: none, or s is NULL */
/* Its sockets, at most max of them; borrowed. Returns how many. */
unsigned stun_sockets(const struct stun *s, int *out, unsigned max);	/* s: NULL is fine */
/* Main thread, before the workers are freed and not while they run; NULL is fine. */
void stun_close(struct stun *s);

#endif
