/* What the parts of serve share: serve.c (order), serve_routes.c (paths), serve_first.c (first
 * key, banner). */
#ifndef SERVER_SERVE_PRIVATE_H
#define SERVER_SERVE_PRIVATE_H

#include "base/key.h"
#include "coord/coord.h"
#include "relay/relay.h"
#include "server/address.h"
#include "server/coordinator.h"
#include "server/door.h"
#include "server/serve.h"
#include "server/tls.h"
#include "web/http.h"

#define SERVE_MAGIC 0x5e47e001u

struct serve {
	uint32_t magic;
	const struct config *cfg;		/* borrowed */
	struct serve_options options;
	int lock_fd;				/* of the data directory, -1: none */
	struct private_key noise_key, derp_key;
	char url[300];				/* what clients use as login server */
	struct address_url url_parts;
	char host[256];				/* of url, or config.derp.hostname */
	char key_json[256];			/* answer to GET /key */
	char bootstrap_json[512];		/* answer to GET /bootstrap-dns */
	/* owned, in the order in which they are made */
	struct tls *tls;
	struct worker_group *workers;
	struct relay *relay;
	struct door *door;
	struct coordinator *coordinator;
	struct coord *coord;
	struct http *http;
	struct metrics_port *metrics;		/* NULL: none */
};

/* serve_routes.c: which path goes where. Before the workers start. */
void serve_routes(struct serve *s);

/* serve_first.c: makes the first user and auth key when there is no user yet (or a key when
 * asked), then prints where everything is and how to join. ERR_* with *why. */
enum err serve_first(struct serve *s, struct err_text *why) MUST_USE;

#endif
