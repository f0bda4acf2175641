/*
 * DNS labels out of host names, as the reference service makes them (Tailscale util/dnsname
 * SanitizeHostname): ".local", ".localdomain", ".lan" at the end go, once each and in that order; of the
 * first 63 bytes of the rest both ends are cut to a letter or digit; letters become lower case,
 * separators ('.', ' ', '_', '@') become '-', anything else but [a-z0-9-] goes. Pure.
 */
#ifndef COORD_DNS_LABEL_H
#define COORD_DNS_LABEL_H

#include <stdbool.h>

#define DNS_LABEL_MAX 64	/* 63 and NUL */

/* Any bytes -> a valid label, zero-padded; "node" when nothing is left. */
void dns_label_from_host(const char *hostname, char out[DNS_LABEL_MAX]);
/* 1-63 characters of [a-z0-9-], no '-' at either end. */
bool dns_label_is_valid(const char *label);
/* base, or for n > 0 base-n, base shortened where needed; zero-padded. base is valid. */
void dns_label_number(const char *base, unsigned n, char out[DNS_LABEL_MAX]);
/* Is label base itself or base-n (n >= 1) as dns_label_number makes it? */
bool dns_label_is_of(const char *label, const char *base);

#endif
