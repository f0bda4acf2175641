/*
 * Names of outside that CNAME records lead to, looked up by the system's resolver again and again, one
 * after the other and never on this thread. What was found stays when a later try fails.
 * Coordinator thread.
 */
#ifndef COORD_DNS_LOOKUP_H
#define COORD_DNS_LOOKUP_H

#include "coord/dns_resolve.h"

#define DNS_LOOKUP_NAMES_MAX	256
#define DNS_LOOKUP_AGAIN_MS	300000
#define DNS_LOOKUP_RETRY_MS	30000	/* after a failure */

struct event_base;
struct dns_lookup;

/* changed(arg) runs on the loop when a name has other addresses, or another problem. */
struct dns_lookup *dns_lookup_new(struct event_base *base, void (*changed)(void *arg), void *arg) MUST_USE;
void dns_lookup_free(struct dns_lookup *l);		/* NULL is fine */

/* Between begin and end every name that is wanted is asked for; others are forgotten. find is the
 * function that struct dns_finder has, with l as arg. */
void dns_lookup_begin(struct dns_lookup *l);
bool dns_lookup_find(void *l, const char *name, struct dns_ips *out, char problem[DNS_PROBLEM_MAX]);
void dns_lookup_end(struct dns_lookup *l);

#endif
