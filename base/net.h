/* Addresses and prefixes, IPv4 and IPv6. IPv4-mapped IPv6 is always stored as IPv4. */
#ifndef BASE_NET_H
#define BASE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct net_ip {
	uint8_t family;		/* 0 none, 4, 6 */
	uint8_t b[16];		/* network order; an IPv4 address uses the first 4, rest zero */
};

struct net_addr {
	struct net_ip ip;
	uint16_t port;		/* host order */
};

struct net_prefix {
	struct net_ip ip;	/* host bits are zero */
	uint8_t bits;
};

#define NET_TEXT_MAX 64

/* "1.2.3.4", "fd7a::1" (n bytes, no NUL needed). ERR_INVAL. */
enum err net_ip_parse(const char *text, size_t n, struct net_ip *out) MUST_USE;
/* "5": 0 to 65535 in digits alone, without leading zeros. ERR_INVAL. */
enum err net_port_parse(const char *text, size_t n, uint16_t *out) MUST_USE;
/* "1.2.3.4:5", "[::1]:5". ERR_INVAL. */
enum err net_addr_parse(const char *text, size_t n, struct net_addr *out) MUST_USE;
/* "10.0.0.0/8", or an address alone (full length). ERR_INVAL: not one, or host bits are set. */
enum err net_prefix_parse(const char *text, size_t n, struct net_prefix *out) MUST_USE;
/* Texts with NUL; return out. The none address is "-". */
char *net_ip_put(const struct net_ip *ip, char out[NET_TEXT_MAX]);
char *net_addr_put(const struct net_addr *a, char out[NET_TEXT_MAX]);
char *net_prefix_put(const struct net_prefix *p, char out[NET_TEXT_MAX]);

#define NET_PREFIXES_MAX 64
/* Prefixes from a configuration. */
struct net_prefixes {
	struct net_prefix v[NET_PREFIXES_MAX];
	unsigned n;
};
/* ERR_INVAL: a text is none; ERR_LIMIT: more than NET_PREFIXES_MAX; *why begins with name. */
enum err net_prefixes_parse(const char *name, char *const *texts, size_t n,
	struct net_prefixes *out, struct err_text *why) MUST_USE;
bool net_prefixes_have(const struct net_prefixes *p, const struct net_ip *ip);

/* Families differ: never equal, never inside. */
bool net_ip_eq(const struct net_ip *a, const struct net_ip *b);
bool net_prefix_has(const struct net_prefix *p, const struct net_ip *ip);
bool net_ip_is_loopback(const struct net_ip *ip);
/* Loopback, RFC 1918, link-local, unique local, or 100.64.0.0/10. */
bool net_ip_is_private(const struct net_ip *ip);

/* What counts as one source for limits: an IPv4 address; of IPv6 its network of 64 bits, which has
 * 2^64 addresses for each of its hosts to come from. */
struct net_ip net_ip_source(const struct net_ip *ip);

/* Of 4 and 16 bytes in network order; IPv4-mapped addresses become IPv4. */
struct net_ip net_ip_from_v4(const void *b);
struct net_ip net_ip_from_v6(const void *b);
/* A family other than IPv4 and IPv6 (a Unix socket) gives the none address. */
void net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out);
/* Returns the length used; the none address gives AF_UNSPEC. */
socklen_t net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out);

#endif
