/*
 * Relays on other machines: `fairlead relay`. Each has a credential, made with it and shown once. It
 * comes with that (POST /api/fairlead/v1/relay), says how clients reach it, and from then on is told
 * who may use it and which relays of its region it is to link with, as signed records (base/admit)
 * on a stream that lasts.
 *
 * Clients hear of a relay when a probe has reached it as they would. It stays in the DERP map when it
 * goes, since it goes on relaying while this server cannot see it, unless config.derp.relay_gone_hours
 * says for how long at most. Coordinator thread.
 */
#ifndef COORD_TAILNET_RELAY_H
#define COORD_TAILNET_RELAY_H

#include "coord/relay_feed.h"
#include "coord/relay_hello.h"
#include "coord/tailnet_region.h"

#define RELAY_PROBE_AGAIN_S	15	/* while it is not reached */
#define RELAY_PROBE_EVERY_S	300	/* while it is */

/* Before tailnet_start, so that whom that admits is known; noise: the server's key. And the end, before
 * tailnet_free: no stream is left. */
void tailnet_relay_start(struct tailnet *t, const struct private_key *noise);
void tailnet_relay_stop(struct tailnet *t);
/* Looks at probes, and at what the record of each relay should say. The timer does; tests. */
void tailnet_relay_look(struct tailnet *t);
/* Our own relay may serve the key, or may not any more: the others too. */
void tailnet_relay_note(struct tailnet *t, const struct node_key *key, bool is_admitted);

/* Hard changes. A new relay of that region: secret in the result. ERR_INVAL, ERR_EXISTS, ERR_NOTFOUND
 * (region), ERR_DENIED (of the configuration, whose relays have no key here), ERR_FULL. */
void tailnet_relay_create(struct tailnet *t, const struct actor *by, const char *name, unsigned region_id,
	tailnet_done_fn *done, void *arg);
/* Gone from the map, and its stream ends: it stops serving. ERR_NOTFOUND. */
void tailnet_relay_remove(struct tailnet *t, const struct actor *by, const char *name, tailnet_done_fn *done,
	void *arg);

/* The relay whose credential the text of n bytes is; NULL with *why. */
struct tailnet_relay *tailnet_relay_check(struct tailnet *t, const char *text, size_t n, struct err_text *why);
/* The key that records are signed with, of ADMIT_PUBLIC_BYTES; borrowed. */
const uint8_t *tailnet_relay_public(const struct tailnet *t);

/* It has come: *out is its stream. An older stream of the same program ends. ERR_EXISTS with *why:
 * another program has this credential and is here. */
enum err tailnet_relay_attach(struct tailnet *t, struct tailnet_relay *r, const struct relay_hello *h,
	const struct net_ip *from, struct relay_feed **out, struct err_text *why) MUST_USE;

#endif
