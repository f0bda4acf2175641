/* Explanations: what is asked, as people write it; what is answered, for people and programs. */
#include "coord/policy_explain.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

#define EXCERPT_BYTES_MAX 300

static const char *const words[POLICY_FINDING_COUNT] = {
#define X(id, word) [POLICY_FINDING_##id] = word,
	POLICY_FINDING_TABLE(X)
#undef X
};

static const struct { const char *word; int number; } protos[] = {
	{ "tcp", 6 }, { "udp", 17 }, { "icmp", 1 }, { "icmpv6", 58 }, { "ipv6-icmp", 58 },
	{ "sctp", 132 }, { "gre", 47 }, { "esp", 50 }, { "ah", 51 }, { "igmp", 2 },
};

static bool
proto_parse(const char *word, int *out)
{
	char *end;

	for (size_t i = 0; i < COUNT_OF(protos); i++) {
		if (strcasecmp(word, protos[i].word) == 0) {
			*out = protos[i].number;
			return true;
		}
	}
	unsigned long n = strtoul(word, &end, 10);

	if (*word < '1' || *word > '9' || *end != '\0' || n > 255)
		return false;
	*out = (int)n;
	return true;
}

/* Does text end in a port after its last colon? A bare IPv6 address is no such thing. */
static const char *
find_port(const char *text, size_t n)
{
	const char *colon = memrchr(text, ':', n);

	if (colon == NULL || text[0] == '[')
		return colon != NULL && colon > text && colon[-1] == ']' ? colon : NULL;
	return memchr(text, ':', (size_t)(colon - text)) == NULL ? colon : NULL;
}

enum err
policy_explain_parse(const char *text, char host[256], struct policy_explain_ask *ask,
    struct err_text *why)
{
	const char *slash = strrchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	const char *colon = find_port(text, n);
	size_t n_host = colon != NULL ? (size_t)(colon - text) : n;
	bool is_bracketed = n_host >= 2 && text[0] == '[' && text[n_host - 1] == ']';
	int proto = 6;

	if (slash != NULL && !proto_parse(slash + 1, &proto))
		return err_say(why, ERR_INVAL,
		    "\"%.60s\" is no protocol: tcp, udp, icmp, … or a number", slash + 1);
	bool has_ports = proto == 6 || proto == 17 || proto == 132;
	uint16_t port = 0;

	if (has_ports != (colon != NULL))
		return err_say(why, ERR_INVAL, has_ports
		    ? "\"%.100s\" names no port: web-1:22, 10.0.0.5:53/udp"
		    : "\"%.100s\" names a port, but the protocol has none", text);
	if (colon != NULL &&
	    (net_port_parse(colon + 1, n - n_host - 1, &port) != ERR_OK || port == 0))
		return err_say(why, ERR_INVAL, "\"%.*s\" is no port", (int)(n - n_host - 1),
		    colon + 1);
	if (is_bracketed) {
		text++;
		n_host -= 2;
	}
	if (n_host == 0 || n_host > 255)
		return err_say(why, ERR_INVAL, "no destination is named");
	memcpy(host, text, n_host);
	host[n_host] = '\0';
	ask->proto = proto;
	ask->port = port;
	return ERR_OK;
}

/* Where line and column (of characters, from 1) are in the text. */
static size_t
offset_of(const struct policy *p, unsigned line, unsigned column)
{
	size_t at = 0;

	for (; line > 1 && at < p->text_bytes; at++)
		line -= p->text[at] == '\n';
	for (; column > 1 && at < p->text_bytes; at++) {
		bool is_last = at + 1 == p->text_bytes ||
		    ((unsigned char)p->text[at + 1] & 0xc0) != 0x80;

		column -= is_last;
	}
	return at;
}

/* Copies a string with its quotes; at is on the first. Returns where it ends. */
static size_t
copy_string(struct buf *b, const struct policy *p, size_t at)
{
	do {
		if (p->text[at] == '\\' && at + 1 < p->text_bytes)
			buf_byte(b, (uint8_t)p->text[at++]);
		buf_byte(b, (uint8_t)p->text[at++]);
	} while (at < p->text_bytes && p->text[at] != '"');
	buf_byte(b, '"');
	return at + 1;
}

/* Behind the comment that begins at at, or at if none does. */
static size_t
skip_comment(const struct policy *p, size_t at)
{
	const char *end;

	if (p->text_bytes - at < 2 || p->text[at] != '/' ||
	    (p->text[at + 1] != '/' && p->text[at + 1] != '*'))
		return at;
	if (p->text[at + 1] == '/') {
		end = memchr(p->text + at, '\n', p->text_bytes - at);
		return end != NULL ? (size_t)(end - p->text) : p->text_bytes;
	}
	end = memmem(p->text + at + 2, p->text_bytes - at - 2, "*/", 2);
	return end != NULL ? (size_t)(end - p->text) + 2 : p->text_bytes;
}

char *
policy_explain_excerpt(const struct policy *p, unsigned line, unsigned column)
{
	struct buf b = { 0 };
	int depth = 0;
	char *out;

	size_t at = offset_of(p, line, column);

	while (at < p->text_bytes && b.len < EXCERPT_BYTES_MAX) {
		size_t next = skip_comment(p, at);
		char c = p->text[at];

		if (next != at) {
			at = next;
		} else if (c == '"') {
			at = copy_string(&b, p, at);
		} else {
			bool is_blank = strchr(" \t\r\n", c) != NULL;

			if (!is_blank || (b.len > 0 && b.p[b.len - 1] != ' '))
				buf_byte(&b, is_blank ? ' ' : (uint8_t)c);
			depth += (c == '{' || c == '[') - (c == '}' || c == ']');
			at++;
			if (depth <= 0)
				break;
		}
	}
	if (depth > 0) {
		size_t n = b.len < EXCERPT_BYTES_MAX ? b.len : EXCERPT_BYTES_MAX;

		while (n > 0 && (b.p[n - 1] & 0x80) != 0)
			n--;
		b.len = n;
		buf_str(&b, " ...");
	}
	out = obj_strdup(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

void
policy_explain_put_text(struct buf *b, const struct policy_explain *e)
{
	buf_printf(b, "%s: %s -> %s, %s\n", e->is_allowed ? "allowed" : "denied", e->src, e->dst,
	    e->what);
	for (unsigned i = 0; i < e->n; i++) {
		const struct policy_finding *f = &e->v[i];

		buf_printf(b, "  %-12s ", words[f->kind]);
		if (f->line > 0)
			buf_printf(b, "line %u, column %u: ", f->line, f->column);
		buf_printf(b, "%s\n", f->text);
		if (f->rule != NULL)
			buf_printf(b, "  %-12s %s\n", "", f->rule);
	}
}

void
policy_explain_put_json(struct buf *b, const struct policy_explain *e)
{
	struct json_writer w;
	char text[NET_TEXT_MAX];

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "allowed", e->is_allowed);
	json_w_str(&w, "src", e->src);
	json_w_str(&w, "dst", e->dst);
	json_w_str(&w, "what", e->what);
	if (e->owner_id != 0) {
		buf_printf(b, ",\"routeOwner\":{\"nodeId\":\"%lld\"", (long long)e->owner_id);
		if (e->route.ip.family != 0)
			buf_printf(b, ",\"route\":\"%s\"", net_prefix_put(&e->route, text));
		buf_byte(b, '}');
	}
	json_w_arr_open(&w, "findings");
	for (unsigned i = 0; i < e->n; i++) {
		const struct policy_finding *f = &e->v[i];

		json_w_obj_open(&w, NULL);
		json_w_str(&w, "kind", words[f->kind]);
		if (f->line > 0) {
			json_w_int(&w, "line", f->line);
			json_w_int(&w, "column", f->column);
		}
		if (f->kind == POLICY_FINDING_FILTER)
			json_w_raw(&w, "entry", f->text, strlen(f->text));
		else
			json_w_str(&w, "text", f->text);
		if (f->rule != NULL)
			json_w_str(&w, "rule", f->rule);
		json_w_obj_close(&w);
	}
	json_w_arr_close(&w);
	json_w_obj_close(&w);
}
