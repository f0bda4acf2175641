/* A host name looked up without waiting: on a short-lived thread, since the C library's resolver blocks. */
#ifndef BASE_LOOKUP_H
#define BASE_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/obj.h"

struct addrinfo;
struct lookup;

/* Begins. NULL: no thread can be had. */
struct lookup *lookup_new(const char *host, uint16_t port) MUST_USE;
/* false: not yet. Else *found are the stream addresses, borrowed, or NULL with *why (static). */
bool lookup_is_done(const struct lookup *lk, const struct addrinfo **found, const char **why);
/* The result is not wanted any more; done or not. NULL is fine. */
void lookup_drop(struct lookup *lk);

#endif
