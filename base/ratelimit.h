/* Token buckets by key (a source address, an auth key id): bounded memory, oldest forgotten. */
#ifndef BASE_RATELIMIT_H
#define BASE_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net.h"

struct ratelimit;

/* per_s tokens a second, up to burst; at most n_max keys are remembered (then the least recently
 * used is forgotten). One thread at a time. */
struct ratelimit *ratelimit_new(double per_s, double burst, size_t n_max);
void ratelimit_free(struct ratelimit *r);		/* NULL is fine */

/* Takes one token of the key's bucket; false: there is none. key of n bytes is hashed. */
bool ratelimit_take(struct ratelimit *r, const void *key, size_t n, int64_t now_ms);
/* The same by net_ip_source of the address. */
bool ratelimit_take_ip(struct ratelimit *r, const struct net_ip *ip, int64_t now_ms);

#endif
