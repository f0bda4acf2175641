/*
 * Can a relay be reached at all? Asked before clients are told of it: GET /derp/probe over TLS, with
 * the certificate checked as clients check it. Each on a short-lived thread, since names are looked
 * up; coordinator thread.
 */
#ifndef COORD_RELAY_PROBE_H
#define COORD_RELAY_PROBE_H

#include "coord/region.h"

#define RELAY_PROBE_MS	8000	/* from the name to the answer */

struct relay_probe;

/* Begins. NULL: no thread can be had. */
struct relay_probe *relay_probe_new(const struct region_node *n) MUST_USE;
/* false: not yet. Else *why is "", or says what is wrong; valid until the drop. */
bool relay_probe_is_done(const struct relay_probe *p, const char **why);
/* The result is not wanted any more; done or not. NULL is fine. */
void relay_probe_drop(struct relay_probe *p);

#endif
