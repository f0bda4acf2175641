/* What of a destination may be reached: ports, protocols, "dst:ports", entries of "ip" and "app". */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "coord/policy_parse.h"

#define PORTS_MAX	1000		/* entries of one list */
#define LAST_PORT	65535

static const struct { const char *name; int number; } protos[] = {
	{ "icmp", 1 }, { "igmp", 2 }, { "ipv4", 4 }, { "ip-in-ip", 4 }, { "tcp", 6 }, { "egp", 8 },
	{ "igp", 9 }, { "udp", 17 }, { "gre", 47 }, { "esp", 50 }, { "ah", 51 }, { "ipv6-icmp", 58 },
	{ "sctp", 132 }, { "fc", 133 },
};

/* Digits alone, as a port. */
static enum err
parse_port(const char *text, size_t n, uint16_t *out, struct err_text *why)
{
	unsigned v = 0;

	if (n == 0)
		return err_say(why, ERR_INVAL, "invalid first integer");
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)text[i]))
			return err_say(why, ERR_INVAL, "invalid first integer");
		if (v <= LAST_PORT)
			v = 10 * v + (unsigned)(text[i] - '0');
	}
	if (v > LAST_PORT)
		return err_say(why, ERR_INVAL, "port number out of range");
	*out = (uint16_t)v;
	return ERR_OK;
}

static enum err
parse_range(const char *text, size_t n, struct policy_ports *out, struct err_text *why)
{
	const char *dash = memchr(text, '-', n);
	size_t n_first = dash == NULL ? n : (size_t)(dash - text);
	enum err rc;

	if ((rc = parse_port(text, n_first, &out->first, why)) != ERR_OK)
		return rc;
	out->last = out->first;
	if (dash == NULL)
		return out->first > 0 ? ERR_OK :
		    err_say(why, ERR_INVAL, "first port must be >0, or use '*' for wildcard");
	if ((rc = parse_port(dash + 1, n - n_first - 1, &out->last, why)) != ERR_OK)
		return rc;
	if (out->first > out->last)
		return err_say(why, ERR_INVAL, "the first port is greater than the last");
	return ERR_OK;
}

/* "*", "80", "1-9,443". ERR_INVAL with *why. */
static enum err
parse_ports(struct policy_parser *s, const char *text, struct policy_ports **out,
    unsigned *n_out, struct err_text *why)
{
	struct err_text what;
	unsigned n = 1, i = 0;

	for (const char *p = text; *p != '\0'; p++)
		n += *p == ',';
	if (n > PORTS_MAX)
		return err_say(why, ERR_INVAL, "more than %u ports in a list", PORTS_MAX);
	*out = arena_alloc(s->arena, n * sizeof(**out));
	*n_out = n;
	if (strcmp(text, "*") == 0) {
		(*out)[0] = (struct policy_ports){ 0, LAST_PORT };
		return ERR_OK;
	}
	for (const char *p = text; i < n; p = strchrnul(p, ',') + 1) {
		size_t n_bytes = (size_t)(strchrnul(p, ',') - p);

		if (parse_range(p, n_bytes, &(*out)[i++], &what) != ERR_OK)
			return err_say(why, ERR_INVAL, "port range \"%.100s\": %s", text, what.s);
	}
	return ERR_OK;
}

enum err
policy_parse_proto(const char *text, int *out, struct err_text *why)
{
	size_t n = strlen(text);
	int v = 0;

	*out = -1;
	if (n == 0)
		return ERR_OK;
	for (size_t i = 0; i < COUNT_OF(protos); i++) {
		if (strcasecmp(text, protos[i].name) == 0) {
			*out = protos[i].number;
			return ERR_OK;
		}
	}
	if (strspn(text, "0123456789") != n)
		return err_say(why, ERR_INVAL, "protocol \"%.100s\" not known: a name (tcp, udp, icmp, "
		    "...) or a number from 1 to 255", text);
	if (text[0] == '0')
		return err_say(why, ERR_INVAL, "protocol \"%.100s\": no 0 in front, nor alone", text);
	for (size_t i = 0; i < n && v <= 255; i++)
		v = 10 * v + (text[i] - '0');
	if (v > 255)
		return err_say(why, ERR_INVAL, "protocol \"%.100s\" out of range: 1 to 255", text);
	*out = v;
	return ERR_OK;
}

enum err
policy_parse_suits(int proto, const struct policy_ports *ports, unsigned n, struct err_text *why)
{
	if (proto == -1 || proto == 6 || proto == 17 || proto == 132)
		return ERR_OK;
	for (unsigned i = 0; i < n; i++) {
		if (ports[i].first != 0 || ports[i].last != LAST_PORT)
			return err_say(why, ERR_INVAL, "protocol %d does not support specific ports, "
			    "only \"*\" is allowed", proto);
	}
	return ERR_OK;
}

/* Takes the brackets of "[fd7a::1]:80" and "[fd7a::]/64:80" away. */
static enum err
unbracket(char *text, struct err_text *why)
{
	char *end = strchr(text, ']');
	struct net_ip ip;

	if (text[0] != '[')
		return ERR_OK;
	if (end == NULL || net_ip_parse(text + 1, (size_t)(end - text) - 1, &ip) != ERR_OK ||
	    memchr(text, ':', (size_t)(end - text)) == NULL || (end[1] != ':' && end[1] != '/'))
		return err_say(why, ERR_INVAL,
		    "dst=\"%.100s\": square brackets are only valid around IPv6 addresses", text);
	memmove(end, end + 1, strlen(end));
	memmove(text, text + 1, strlen(text));
	return ERR_OK;
}

enum err
policy_parse_dst(struct policy_parser *s, enum policy_place place, const struct hujson *v,
    struct policy_dst *out, struct err_text *why)
{
	char *text, *colon;
	struct err_text what;
	enum err rc;

	if (v->type != HUJSON_STRING)
		return err_say(why, ERR_INVAL, "a destination is a string, not %s",
		    hujson_type_word(v));
	out->text = arena_strndup(s->arena, v->text, strlen(v->text));
	text = arena_strndup(s->arena, v->text, strlen(v->text));
	if ((rc = unbracket(text, why)) != ERR_OK)
		return rc;
	colon = strrchr(text, ':');
	if (colon == NULL || colon == text || colon[1] == '\0')
		return err_say(why, ERR_INVAL, "dst=\"%.100s\": a destination is \"host:ports\", such as "
		    "\"tag:web:443\" or \"10.0.0.0/8:*\"", v->text);
	*colon = '\0';
	if (parse_ports(s, colon + 1, &out->ports, &out->n_ports, &what) != ERR_OK)
		return err_say(why, ERR_INVAL, "dst=\"%.100s\": %s", v->text, what.s);
	out->sel = policy_parse_sel(s, place, policy_parse_trim(s, text), v, why);
	return out->sel == POLICY_NONE ? ERR_INVAL : ERR_OK;
}

enum err
policy_parse_cap(struct policy_parser *s, const char *text, struct policy_cap *out,
    struct err_text *why)
{
	char *proto = policy_parse_trim(s, text), *colon = strchr(proto, ':');
	const char *ports = colon == NULL ? proto : colon + 1;
	enum err rc;

	out->text = policy_parse_trim(s, text);
	out->proto = -1;
	if (colon != NULL) {
		if (strchr(ports, ':') != NULL)
			return err_say(why, ERR_INVAL, "expected only one colon in Internet protocol "
			    "and port type, got \"%.100s\"", out->text);
		*colon = '\0';
		if (*proto == '\0')
			return err_say(why, ERR_INVAL, "\"%.100s\" lacks a protocol", out->text);
		if ((rc = policy_parse_proto(proto, &out->proto, why)) != ERR_OK)
			return rc;
	}
	if ((rc = parse_ports(s, ports, &out->ports, &out->n_ports, why)) != ERR_OK)
		return rc;
	return policy_parse_suits(out->proto, out->ports, out->n_ports, why);
}

/* Below tailscale.com only what clients and well-known programs ask for may be granted. */
static enum err
check_app_name(const char *name, bool is_grant, struct err_text *why)
{
	static const char *const known[] = { "drive", "relay", "webui", "kubernetes", "tsidp",
	    "secrets", "golink", "tailsql" };
	static const char domain[] = "tailscale.com/", cap[] = "tailscale.com/cap/";
	const char *slash = strchr(name, '/');

	if (slash == NULL || slash == name || slash[1] == '\0' || strstr(name, "://") != NULL)
		return err_say(why, ERR_INVAL, "capability name must have the form {domain}/{path}: "
		    "\"%.100s\"", name);
	if (!is_grant || strncasecmp(name, domain, strlen(domain)) != 0)
		return ERR_OK;
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (strncmp(name, cap, strlen(cap)) == 0 && strcmp(name + strlen(cap), known[i]) == 0)
			return ERR_OK;
	}
	return err_say(why, ERR_INVAL, "capability name must not be in the tailscale.com domain: "
	    "\"%.100s\"", name);
}

struct policy_app *
policy_parse_app(struct policy_parser *s, const struct hujson *v, bool is_grant, unsigned *n_out)
{
	struct policy_app *apps;
	struct buf b = { 0 };
	unsigned n = 0;

	*n_out = 0;
	if (v == NULL || !policy_parse_is_object(s, v, "app"))
		return NULL;
	apps = arena_alloc(s->arena, v->n * sizeof(*apps));
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		struct err_text why;

		if (check_app_name(m->name, is_grant, &why) != ERR_OK) {
			policy_errors_add(s->errors, m->name_line, m->name_column, "%s", why.s);
			continue;
		}
		if (m->type != HUJSON_NULL && !policy_parse_is_list(s, m, "a capability"))
			continue;
		buf_clear(&b);
		if (m->type == HUJSON_NULL)
			buf_str(&b, "[]");
		else
			hujson_put(&b, m);
		apps[n].name = arena_strndup(s->arena, m->name, strlen(m->name));
		apps[n++].values = arena_strndup(s->arena, (const char *)b.p, b.len);
	}
	buf_fini(&b);
	*n_out = n;
	return apps;
}
