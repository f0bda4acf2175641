/* links: */
/* Address parsers on any text: what is accepted has a text that parses to the same. */
#include <string.h>

#include "base/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ip(const char *text, size_t n)
{
	char put[NET_TEXT_MAX];
	struct net_ip ip, again;

	if (net_ip_parse(text, n, &ip) != ERR_OK)
		return;
	net_ip_put(&ip, put);
	ASSERT(net_ip_parse(put, strlen(put), &again) == ERR_OK && net_ip_eq(&ip, &again));
	ASSERT(!net_ip_is_loopback(&ip) || net_ip_is_private(&ip));
}

static void
check_addr(const char *text, size_t n)
{
	char put[NET_TEXT_MAX];
	struct sockaddr_storage ss;
	struct net_addr a, again;

	if (net_addr_parse(text, n, &a) != ERR_OK)
		return;
	net_addr_put(&a, put);
	ASSERT(net_addr_parse(put, strlen(put), &again) == ERR_OK);
	ASSERT(net_ip_eq(&a.ip, &again.ip) && a.port == again.port);
	net_addr_to_sockaddr(&a, &ss);
	net_addr_from_sockaddr((const struct sockaddr *)&ss, &again);
	ASSERT(net_ip_eq(&a.ip, &again.ip) && a.port == again.port);
}

static void
check_prefix(const char *text, size_t n)
{
	char put[NET_TEXT_MAX];
	struct net_prefix p, again;

	if (net_prefix_parse(text, n, &p) != ERR_OK)
		return;
	net_prefix_put(&p, put);
	ASSERT(net_prefix_parse(put, strlen(put), &again) == ERR_OK);
	ASSERT(net_ip_eq(&p.ip, &again.ip) && p.bits == again.bits);
	ASSERT(net_prefix_has(&p, &p.ip));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_ip((const char *)data, size);
	check_addr((const char *)data, size);
	check_prefix((const char *)data, size);
	return 0;
}
