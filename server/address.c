/* The server URL and this machine's own addresses. */
#include "server/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

void
address_own(uint8_t family, struct net_ip *out)
{
	/* Documentation addresses: connect on UDP only looks the route up. */
	const char *far = family == 4 ? "192.0.2.1:9" : "[2001:db8::1]:9";
	struct net_addr to, own;
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	memset(out, 0, sizeof(*out));
	if (net_addr_parse(far, strlen(far), &to) != ERR_OK)
		return;
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t len = net_addr_to_sockaddr(&to, &ss);
	if (connect(fd, (struct sockaddr *)&ss, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&ss, &n) == 0) {
		net_addr_from_sockaddr((struct sockaddr *)&ss, &own);
		*out = own.ip;
	}
	close(fd);
}

enum err
address_url_parse(const char *url, struct address_url *out, struct err_text *why)
{
	struct address_url u = { .is_https = false };
	const char *p = url;

	if (strncasecmp(p, "https://", 8) == 0) {
		u.is_https = true;
		p += 8;
	} else if (strncasecmp(p, "http://", 7) == 0) {
		p += 7;
	} else {
		return err_say(why, ERR_INVAL, "server_url \"%s\" must begin with https:// or http://",
		    url);
	}
	u.port = u.is_https ? 443 : 80;
	size_t n = *p == '[' ? strcspn(p, "]") : strcspn(p, ":/");
	const char *host = p, *rest = p + n;
	if (*p == '[') {
		host++;
		n--;
		if (*rest == ']')
			rest++;
	}
	if (n == 0 || n >= sizeof(u.host))
		return err_say(why, ERR_INVAL, "server_url \"%s\" names no host", url);
	memcpy(u.host, host, n);
	if (*rest == ':') {
		char *end;
		unsigned long port = strtoul(rest + 1, &end, 10);
		if (end == rest + 1 || port == 0 || port > 65535)
			return err_say(why, ERR_INVAL, "server_url \"%s\" has no valid port", url);
		u.port = (uint16_t)port;
		rest = end;
	}
	if (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)
		return err_say(why, ERR_INVAL, "server_url \"%s\" must end behind the host and port:"
		    " clients ask for paths of their own", url);
	*out = u;
	return ERR_OK;
}

char *
address_url_put(const struct address_url *u, char *out, size_t n)
{
	bool is_v6 = strchr(u->host, ':') != NULL;
	int k = snprintf(out, n, "%s://%s%s%s", u->is_https ? "https" : "http", is_v6 ? "[" : "",
	    u->host, is_v6 ? "]" : "");

	if (u->port != (u->is_https ? 443 : 80) && k > 0 && (size_t)k < n)
		snprintf(out + k, n - (size_t)k, ":%u", u->port);
	return out;
}
