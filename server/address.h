/* By which addresses clients reach us: the server URL, and this machine's own addresses. */
#ifndef SERVER_ADDRESS_H
#define SERVER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"

/* The source address that this machine would use towards the internet (no packet is sent). *out
 * is none (family 0) when there is no route of that family. family: 4 or 6. */
void address_own(uint8_t family, struct net_ip *out);

struct address_url {
	bool is_https;
	char host[256];		/* without brackets */
	uint16_t port;		/* the scheme's default when not given */
};
/* "https://name[:port][/]" -> parts. ERR_INVAL with *why. */
enum err address_url_parse(const char *url, struct address_url *out, struct err_text *why) MUST_USE;
/* Text without a slash at the end, port left out when it is the default; out of n bytes.
 * Returns out. */
char *address_url_put(const struct address_url *u, char *out, size_t n);

#endif
