/* `fairlead relay`: relay, STUN, TLS, health and metrics in one process, without a database; who may
 * use it a coordinator says. */
#ifndef SERVER_RELAY_MAIN_H
#define SERVER_RELAY_MAIN_H

#include <stdbool.h>

#include "base/config.h"
#include "base/err.h"

struct relay_main;

struct relay_main_options {
	const char *coordinator;	/* its URL */
	const char *coordinator_pin;	/* "": the usual checks of its certificate */
	const char *key;		/* "fl-relay-…" */
	bool fails_open;
};

/* Binds every socket, reads who was known before, gives up root. cfg and options are borrowed; of cfg
 * derp.region_* and what concerns nodes do not count. ERR_* with *why. */
enum err relay_main_new(const struct config *cfg, const struct relay_main_options *options,
	struct relay_main **out, struct err_text *why) MUST_USE;
/* Serves until a signal. ERR_DENIED with *why: the coordinator does not know this relay (any more). */
enum err relay_main_run(struct relay_main *m, struct err_text *why) MUST_USE;
void relay_main_free(struct relay_main *m);	/* NULL is fine */

#endif
