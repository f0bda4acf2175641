/* What the parts of serve share: serve.c (order), serve_routes.c (paths), serve_cert.c
 * (certificate), serve_memory.c (giving back), serve_handover.c (graceful restart), serve_first.c
 * (first key, banner). `fairlead relay` (relay_main.c) is one without coord and http. */
#ifndef SERVER_SERVE_PRIVATE_H
#define SERVER_SERVE_PRIVATE_H

#include "base/key.h"
#include "coord/coord.h"
#include "relay/relay.h"
#include "server/acme.h"
#include "server/address.h"
#include "server/backup.h"
#include "server/coordinator.h"
#include "server/door.h"
#include "server/handover.h"
#include "server/serve.h"
#include "server/takeover.h"
#include "server/tls.h"
#include "web/http.h"

#define SERVE_MAGIC 0x5e47e001u

struct serve {
	uint32_t magic;
	const struct config *cfg;		/* borrowed */
	struct serve_options options;
	int lock_fd;				/* of the data directory, -1: not ours */
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
	struct acme *acme;			/* NULL: not by ACME */
	struct event *cert_timer, *memory_timer;
	int64_t conns_peak, conns_before;	/* since memory was given back; a second ago */
	struct coord *coord;
	struct http *http;
	struct backup *backup;
	struct metrics_port *metrics;		/* NULL: none */
	struct handover_hooks hooks;
	struct handover *handover;
	struct takeover *takeover;		/* NULL: we do not take over, or have done so */
	bool has_taken_over;
	bool has_left, has_failed;		/* another process serves; nobody can */
	void (*on_cert)(struct serve *s);	/* another certificate serves; NULL: nobody is told */
};

/* serve_routes.c: which path goes where. Before the workers start. */
void serve_routes(struct serve *s);

/* serve_memory.c: looks after it as long as the loop runs. */
void serve_memory_start(struct serve *s);
void serve_memory_close(struct serve *s);

/* serve_cert.c: the certificate that serves at the start. ERR_* with *why. */
enum err serve_cert_open(struct serve *s, struct err_text *why) MUST_USE;
/* Watches it, and has it renewed, as long as the loop runs. */
void serve_cert_start(struct serve *s);
/* After the workers stopped, before the coordinator's loop is freed. */
void serve_cert_close(struct serve *s);
/* What nodes are told of it: the pin of a self-signed one, else NULL; borrowed from the certificate. */
const char *serve_derp_pin(const struct serve *s);

/* serve_handover.c: takes lock and database, from the server before if there is one. ERR_* with *why. */
enum err serve_handover_database(struct serve *s, struct err_text *why) MUST_USE;
/* From here on another server may take over from this one. ERR_* with *why. */
enum err serve_handover_open(struct serve *s, struct err_text *why) MUST_USE;
/* Everything is loaded: the server before, if there is one, leaves. ERR_* with *why: it does not. */
enum err serve_handover_finish(struct serve *s, struct err_text *why) MUST_USE;

/* serve_first.c: makes the first user and auth key when there is no user yet (or a key when
 * asked), then prints where everything is and how to join. ERR_* with *why. */
enum err serve_first(struct serve *s, struct err_text *why) MUST_USE;

/* serve.c, for relay_main.c too: the loop, certificate, workers, relay and every socket, once data
 * directory, keys and host are there. ERR_* with *why; then only serve_free. */
enum err serve_open(struct serve *s, struct err_text *why) MUST_USE;
/* Metrics, if there are to be any. */
void serve_metrics(struct serve *s);
/* For as many connections as the machine allows. */
void serve_descriptors(void);

#endif
