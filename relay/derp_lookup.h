/* A host name looked up without waiting: on a short-lived thread, since the C library's resolver blocks. */
#ifndef RELAY_DERP_LOOKUP_H
#define RELAY_DERP_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/obj.h"

struct addrinfo;
struct derp_lookup;

/* Begins. NULL: no thread can be had. */
struct derp_lookup *derp_lookup_new(const char *host, uint16_t port) MUST_USE;
/* false: not yet. Else *found are the stream addresses, borrowed, or NULL with *why (static). */
bool derp_lookup_is_done(const struct derp_lookup *lk, const struct addrinfo **found, const char **why);
/* The result is not wanted any more; done or not. NULL is fine. */
void derp_lookup_drop(struct derp_lookup *lk);

#endif
