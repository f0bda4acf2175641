/*
 * From `fairlead relay` to its coordinator: a thread that comes there, again and again, and hears who
 * may use the relay and which others of its region it links with (relay/derp_admit). The relay goes
 * on without it.
 */
#ifndef SERVER_RELAY_LINK_H
#define SERVER_RELAY_LINK_H

#include <stdbool.h>

#include "base/err.h"
#include "relay/relay.h"

struct relay_link;

struct relay_link_params {
	const char *url;		/* of the coordinator, "https://…" */
	const char *pin;		/* "sha256-raw:…" of its certificate; "": the usual checks */
	const char *key;		/* "fl-relay-…" */
	const char *state_file;
	struct relay *relay;		/* borrowed */
	bool fails_open;		/* strangers are let in while the coordinator is away */
	/* Come by IPv4 if that goes: the address we come from is what clients are told, and all have IPv4. */
	bool prefers_v4;
};

/* Reads the state file: who was known may use the relay from now on. ERR_INVAL (url, pin, key) or
 * ERR_IO with *why. Main thread, before the workers start. */
enum err relay_link_new(const struct relay_link_params *p, struct relay_link **out, struct err_text *why)
	MUST_USE;
/* What the relay says of itself (coord/relay_hello.h), from now on; if it is another, it comes again.
 * Copied. Any thread. */
void relay_link_say(struct relay_link *l, const char *hello_json);
/* After relay_link_say. Should the coordinator refuse the key, the process gets a SIGTERM, and
 * relay_link_refusal says why. ERR_IO with *why. */
enum err relay_link_start(struct relay_link *l, struct err_text *why) MUST_USE;
/* Ends the thread. Before the relay ends; idempotent. */
void relay_link_stop(struct relay_link *l);
void relay_link_free(struct relay_link *l);	/* stops it; NULL is fine */

/* Why the coordinator does not want us; "": it does. Any thread, valid after relay_link_stop. */
const char *relay_link_refusal(const struct relay_link *l);

#endif
