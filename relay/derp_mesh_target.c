/* Names of relays, and the HTTP exchange in front of DERP as the client has it. */
#include "relay/derp_mesh_target.h"

#include <stdio.h>
#include <string.h>

#include "base/key.h"
#include "base/net.h"

#define ANSWER_MAX_BYTES 4096

static bool
skip(const char **text, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*text, prefix, n) != 0)
		return false;
	*text += n;
	return true;
}

static bool
is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '.' || c == '_';
}

static enum err
host_parse(const char *text, size_t n, struct derp_mesh_target *t)
{
	struct net_ip ip;
	bool is_v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';

	if (is_v6) {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof t->host)
		return ERR_INVAL;
	t->is_ip = net_ip_parse(text, n, &ip) == ERR_OK;
	if (is_v6 != (t->is_ip && ip.family == 6))
		return ERR_INVAL;
	for (size_t i = 0; i < n && !t->is_ip; i++) {
		if (!is_host_char(text[i]))
			return ERR_INVAL;
	}
	memcpy(t->host, text, n);
	t->host[n] = '\0';
	return ERR_OK;
}

/* ":443", or nothing. */
static enum err
port_parse(const char *text, uint16_t *port)
{
	unsigned v = 0;

	if (*text == '\0')
		return ERR_OK;
	if (*text++ != ':' || *text == '\0')
		return ERR_INVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || (v = v * 10 + (unsigned)(*text - '0')) > UINT16_MAX)
			return ERR_INVAL;
	}
	*port = (uint16_t)v;
	return v > 0 ? ERR_OK : ERR_INVAL;
}

enum err
derp_mesh_target_parse(const char *text, struct derp_mesh_target *out)
{
	struct derp_mesh_target t = { .port = 443, .is_tls = true };
	size_t n_host;

	if (skip(&text, "http://")) {
		t.is_tls = false;
		t.port = 80;
	} else {
		(void)skip(&text, "https://");
	}
	if (skip(&text, "sha256-raw:")) {
		t.has_pin = true;
		if (!t.is_tls || strlen(text) < 65 || text[64] != '@' ||
		    key_hex_parse(text, 64, t.pin) != ERR_OK)
			return ERR_INVAL;
		text += 65;
	}
	n_host = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":");
	if (n_host > strlen(text) || host_parse(text, n_host, &t) != ERR_OK ||
	    port_parse(text + n_host, &t.port) != ERR_OK)
		return ERR_INVAL;
	*out = t;
	return ERR_OK;
}

size_t
derp_mesh_target_request(const struct derp_mesh_target *t, char out[DERP_MESH_REQUEST_BYTES])
{
	bool is_v6 = strchr(t->host, ':') != NULL, has_port = t->port != (t->is_tls ? 443 : 80);
	char port[8] = "";

	if (has_port)
		snprintf(port, sizeof port, ":%u", (unsigned)t->port);
	return (size_t)snprintf(out, DERP_MESH_REQUEST_BYTES, "GET /derp HTTP/1.1\r\nHost: %s%s%s%s\r\n"
	    "User-Agent: fairlead\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n",
	    is_v6 ? "[" : "", t->host, is_v6 ? "]" : "", port);
}

enum err
derp_mesh_target_answer(const char *p, size_t n, size_t *head_bytes)
{
	static const char begin[] = "HTTP/1.1 ";
	size_t n_begin = n < sizeof begin - 1 ? n : sizeof begin - 1;
	const char *end = memmem(p, n, "\r\n\r\n", 4);

	if (memcmp(p, begin, n_begin) != 0)
		return ERR_PROTO;
	if (end == NULL)
		return n < ANSWER_MAX_BYTES ? ERR_AGAIN : ERR_LIMIT;
	if (memcmp(p + sizeof begin - 1, "101", 3) != 0 || (p[12] != ' ' && p[12] != '\r'))
		return ERR_DENIED;
	*head_bytes = (size_t)(end - p) + 4;
	return ERR_OK;
}
