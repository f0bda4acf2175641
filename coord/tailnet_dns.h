/*
 * DNS of a tailnet: what is configured, what is in the file of records, and what was changed while the
 * server runs (kept in the database) become the settings in effect, tailnet.dns. They are made anew when
 * any of these changes, when the target of a CNAME record does, and all nodes are told.
 * Coordinator thread.
 */
#ifndef COORD_TAILNET_DNS_H
#define COORD_TAILNET_DNS_H

#include <jansson.h>

#include "coord/dns_resolve.h"
#include "coord/tailnet.h"

struct mutation;

/* Called by tailnet_new, tailnet_start and tailnet_free. */
void tailnet_dns_init(struct tailnet *t);
void tailnet_dns_start(struct tailnet *t);
void tailnet_dns_fini(struct tailnet *t);
/* MUTATION_DNS. A stored text that cannot be used is left out, which is logged. */
void tailnet_dns_apply(struct tailnet *t, struct mutation *m);
/* Names or addresses of nodes are different: records that lead to nodes may be too. */
void tailnet_dns_nodes_changed(struct tailnet *t);

/* What was changed while the server runs, as coord/dns_spec.h has it, with changes under way; borrowed, never
 * NULL. The next change starts from it. */
const json_t *tailnet_dns_spec(const struct tailnet *t);
/* Makes it that (taken). ERR_INVAL with *why in the result: an entry is not valid, or overrideLocalDNS is true
 * and there is no nameserver. */
void tailnet_dns_set(struct tailnet *t, const struct actor *by, json_t *spec_taken, tailnet_done_fn *done,
	void *arg);

/* All further names, by origin: configuration, file, API; those of the API in the order of spec.
 * Borrowed, until the next change. */
const struct dns_wanted *tailnet_dns_records(const struct tailnet *t, unsigned *n);
/* What is wrong with the file of records; NULL: nothing. */
const char *tailnet_dns_file_problem(const struct tailnet *t);

#endif
