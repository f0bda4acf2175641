/* Half-open connections per source address (IPv6: per /64), of all workers. Any thread. */
#ifndef SERVER_DOOR_SOURCE_H
#define SERVER_DOOR_SOURCE_H

#include <stdbool.h>

#include "base/net.h"

struct door_source;

struct door_source *door_source_new(void) MUST_USE;
void door_source_free(struct door_source *s);		/* NULL is fine */

/* One more from ip, unless it has limit of them already: then false. */
bool door_source_add(struct door_source *s, const struct net_ip *ip, unsigned limit) MUST_USE;
/* One less; it was added before. */
void door_source_drop(struct door_source *s, const struct net_ip *ip);

#endif
