/* Addresses and prefixes. Texts are read by inet_pton from a bounded copy. */
#include "base/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_head[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct net_ip
net_ip_from_v4(const void *b)
{
	struct net_ip ip = { .family = 4 };

	memcpy(ip.b, b, 4);
	return ip;
}

struct net_ip
net_ip_from_v6(const void *b)
{
	struct net_ip ip = { .family = 6 };

	if (memcmp(b, mapped_head, sizeof(mapped_head)) == 0)
		return net_ip_from_v4((const uint8_t *)b + sizeof(mapped_head));
	memcpy(ip.b, b, 16);
	return ip;
}

/* *width: bits of the address as it was written, 32 or 128. */
static enum err
ip_parse(const char *text, size_t n, struct net_ip *out, unsigned *width)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t b[16];

	if (n == 0 || n >= sizeof(copy) || memchr(text, '\0', n) != NULL)
		return ERR_INVAL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (inet_pton(AF_INET, copy, b) == 1) {
		*out = net_ip_from_v4(b);
		*width = 32;
		return ERR_OK;
	}
	if (inet_pton(AF_INET6, copy, b) == 1) {
		*out = net_ip_from_v6(b);
		*width = 128;
		return ERR_OK;
	}
	return ERR_INVAL;
}

enum err
net_ip_parse(const char *text, size_t n, struct net_ip *out)
{
	unsigned width;

	return ip_parse(text, n, out, &width);
}

/* Decimal digits, no sign, no leading zero, at most max. */
static enum err
number_parse(const char *text, size_t n, unsigned max, unsigned *out)
{
	unsigned v = 0;

	if (n == 0 || n > 5 || (n > 1 && text[0] == '0'))
		return ERR_INVAL;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return ERR_INVAL;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	if (v > max)
		return ERR_INVAL;
	*out = v;
	return ERR_OK;
}

enum err
net_port_parse(const char *text, size_t n, uint16_t *out)
{
	unsigned port;

	if (number_parse(text, n, UINT16_MAX, &port) != ERR_OK)
		return ERR_INVAL;
	*out = (uint16_t)port;
	return ERR_OK;
}

enum err
net_addr_parse(const char *text, size_t n, struct net_addr *out)
{
	const char *colon = n > 0 ? memrchr(text, ':', n) : NULL;
	struct net_ip ip;
	unsigned width;
	uint16_t port;

	if (colon == NULL)
		return ERR_INVAL;
	size_t n_host = (size_t)(colon - text);
	if (net_port_parse(colon + 1, n - n_host - 1, &port) != ERR_OK)
		return ERR_INVAL;
	bool has_brackets = n_host >= 2 && text[0] == '[' && text[n_host - 1] == ']';
	if (has_brackets) {
		text++;
		n_host -= 2;
	}
	if (ip_parse(text, n_host, &ip, &width) != ERR_OK || has_brackets != (width == 128))
		return ERR_INVAL;
	*out = (struct net_addr){ .ip = ip, .port = port };
	return ERR_OK;
}

static unsigned
ip_width(const struct net_ip *ip)
{
	return ip->family == 4 ? 32 : ip->family == 6 ? 128 : 0;
}

/* The first bits of both are alike. */
static bool
bits_eq(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

static bool
has_host_bits(const struct net_ip *ip, unsigned bits)
{
	unsigned n_bytes = ip_width(ip) / 8;

	for (unsigned i = bits / 8; i < n_bytes; i++) {
		unsigned host = i == bits / 8 ? 0xffu >> (bits % 8) : 0xffu;

		if ((ip->b[i] & host) != 0)
			return true;
	}
	return false;
}

enum err
net_prefix_parse(const char *text, size_t n, struct net_prefix *out)
{
	const char *slash = n > 0 ? memchr(text, '/', n) : NULL;
	size_t n_ip = slash == NULL ? n : (size_t)(slash - text);
	struct net_ip ip;
	unsigned width, bits;

	if (ip_parse(text, n_ip, &ip, &width) != ERR_OK)
		return ERR_INVAL;
	bits = width;
	if (slash != NULL && number_parse(slash + 1, n - n_ip - 1, width, &bits) != ERR_OK)
		return ERR_INVAL;
	unsigned shift = width - ip_width(&ip);		/* 96 where a mapped address became IPv4 */
	if (bits < shift || has_host_bits(&ip, bits - shift))
		return ERR_INVAL;
	*out = (struct net_prefix){ .ip = ip, .bits = (uint8_t)(bits - shift) };
	return ERR_OK;
}

char *
net_ip_put(const struct net_ip *ip, char out[NET_TEXT_MAX])
{
	if (ip->family != 4 && ip->family != 6)
		return strcpy(out, "-");
	ASSERT(inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, out, NET_TEXT_MAX) != NULL);
	return out;
}

char *
net_addr_put(const struct net_addr *a, char out[NET_TEXT_MAX])
{
	char ip[NET_TEXT_MAX];

	net_ip_put(&a->ip, ip);
	if (ip_width(&a->ip) == 0)
		return strcpy(out, ip);
	snprintf(out, NET_TEXT_MAX, a->ip.family == 6 ? "[%.46s]:%u" : "%.46s:%u", ip, a->port);
	return out;
}

char *
net_prefix_put(const struct net_prefix *p, char out[NET_TEXT_MAX])
{
	char ip[NET_TEXT_MAX];

	net_ip_put(&p->ip, ip);
	if (ip_width(&p->ip) == 0)
		return strcpy(out, ip);
	snprintf(out, NET_TEXT_MAX, "%.46s/%u", ip, p->bits);
	return out;
}

bool
net_ip_eq(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family && bits_eq(a->b, b->b, ip_width(a));
}

bool
net_prefix_has(const struct net_prefix *p, const struct net_ip *ip)
{
	return ip->family != 0 && p->ip.family == ip->family && p->bits <= ip_width(ip) &&
	    bits_eq(p->ip.b, ip->b, p->bits);
}

static const struct net_prefix loopback[] = {
	{ { 4, { 127 } }, 8 },
	{ { 6, { [15] = 1 } }, 128 },
};

static const struct net_prefix private[] = {
	{ { 4, { 10 } }, 8 },			/* RFC 1918 */
	{ { 4, { 172, 16 } }, 12 },
	{ { 4, { 192, 168 } }, 16 },
	{ { 4, { 169, 254 } }, 16 },		/* link-local */
	{ { 4, { 100, 64 } }, 10 },		/* carriers' NAT, and our nodes */
	{ { 6, { 0xfe, 0x80 } }, 10 },		/* link-local */
	{ { 6, { 0xfc } }, 7 },			/* unique local */
};

static bool
is_in(const struct net_prefix *list, size_t n, const struct net_ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (net_prefix_has(&list[i], ip))
			return true;
	}
	return false;
}

enum err
net_prefixes_parse(const char *name, char *const *texts, size_t n, struct net_prefixes *out,
	struct err_text *why)
{
	out->n = 0;
	if (n > NET_PREFIXES_MAX)
		return err_say(why, ERR_LIMIT, "%s: more than %d prefixes", name, NET_PREFIXES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (net_prefix_parse(texts[i], strlen(texts[i]), &out->v[i]) != ERR_OK)
			return err_say(why, ERR_INVAL, "%s: \"%s\" is not an address or a prefix like "
			    "10.0.0.0/8", name, texts[i]);
	}
	out->n = (unsigned)n;
	return ERR_OK;
}

bool
net_prefixes_have(const struct net_prefixes *p, const struct net_ip *ip)
{
	return is_in(p->v, p->n, ip);
}

bool
net_ip_is_loopback(const struct net_ip *ip)
{
	return is_in(loopback, COUNT_OF(loopback), ip);
}

bool
net_ip_is_private(const struct net_ip *ip)
{
	return net_ip_is_loopback(ip) || is_in(private, COUNT_OF(private), ip);
}

struct net_ip
net_ip_source(const struct net_ip *ip)
{
	struct net_ip source = *ip;

	if (source.family == 6)
		memset(source.b + 8, 0, 8);
	return source;
}

void
net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out)
{
	*out = (struct net_addr){ 0 };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		*out = (struct net_addr){ net_ip_from_v4(&in.sin_addr), ntohs(in.sin_port) };
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		*out = (struct net_addr){ net_ip_from_v6(&in6.sin6_addr), ntohs(in6.sin6_port) };
	}
}

socklen_t
net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->ip.family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->ip.b, 4);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->ip.family == 6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

		memcpy(&in6.sin6_addr, a->ip.b, 16);
		memcpy(out, &in6, sizeof(in6));
		return sizeof(in6);
	}
	out->ss_family = AF_UNSPEC;
	return sizeof(out->ss_family);
}
