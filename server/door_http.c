/*
 * The first request head on a connection, and the PROXY header that may come before it. Not a
 * general HTTP reader: bodies are never read here.
 *
 * Head (RFC 9112 sections 2.2, 3, 5, 6):
 *	method SP target SP "HTTP/1." digit CRLF  *( name ":" OWS value OWS CRLF )  CRLF
 * One empty line before it is skipped. Refused although the RFC would let us repair it: bare LF or
 * CR, folded lines, space before the colon, Content-Length together with Transfer-Encoding, any
 * coding but chunked.
 *
 * PROXY protocol (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2):
 *	v1	"PROXY " ("TCP4"|"TCP6") SP src SP dst SP sport SP dport CRLF, at most 107 bytes;
 *		"PROXY UNKNOWN" anything CRLF
 *	v2	0  12 signature   12 1 version 2 << 4 | command (0 LOCAL, 1 PROXY)
 *		13 1 family << 4 | transport   14 2 length of what follows (big-endian)
 *		16 addresses: source, destination, source port, destination port; then TLVs
 */
#include "server/door_http.h"

#include <string.h>
#include <strings.h>

#include "base/wire.h"

#define PROXY_V1_MAX_BYTES	107
#define PROXY_V2_HDR_BYTES	16
#define CONTENT_LENGTH_DIGITS	18	/* fits in 63 bits */

static const uint8_t proxy_v2_signature[12] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a
};

static bool
is_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool
is_token(struct door_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

struct door_str
door_str_trim(struct door_str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool
door_str_is(struct door_str s, const char *text)
{
	return s.p != NULL && s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

bool
door_str_is_nocase(struct door_str s, const char *text)
{
	return s.p != NULL && s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

bool
door_str_lists(struct door_str s, const char *token)
{
	while (s.n > 0) {
		const char *comma = memchr(s.p, ',', s.n);
		struct door_str item = { s.p, comma != NULL ? (size_t)(comma - s.p) : s.n };

		if (door_str_is_nocase(door_str_trim(item), token))
			return true;
		if (comma == NULL)
			break;
		s.n -= item.n + 1;
		s.p += item.n + 1;
	}
	return false;
}

struct door_str
door_http_field(const struct door_head *h, const char *name)
{
	for (unsigned i = 0; i < h->n_fields; i++)
		if (door_str_is_nocase(h->fields[i].name, name))
			return h->fields[i].value;
	return (struct door_str){ NULL, 0 };
}

bool
door_http_lists(const struct door_head *h, const char *name, const char *token)
{
	for (unsigned i = 0; i < h->n_fields; i++)
		if (door_str_is_nocase(h->fields[i].name, name) &&
		    door_str_lists(h->fields[i].value, token))
			return true;
	return false;
}

/* Splits the target into path and query; absolute form ("http://host/path") loses its front. */
static void
split_target(struct door_head *h)
{
	struct door_str s = h->target;
	const char *scheme_end = memmem(s.p, s.n, "://", 3);

	if (s.p[0] != '/' && scheme_end != NULL) {
		size_t skip = (size_t)(scheme_end - s.p) + 3;
		const char *slash = memchr(s.p + skip, '/', s.n - skip);

		skip = slash != NULL ? (size_t)(slash - s.p) : s.n;
		s.p += skip;
		s.n -= skip;
	}
	const char *mark = s.n > 0 ? memchr(s.p, '?', s.n) : NULL;
	h->path = s;
	h->query = (struct door_str){ NULL, 0 };
	if (mark != NULL) {
		h->path.n = (size_t)(mark - s.p);
		h->query.p = mark + 1;
		h->query.n = s.n - h->path.n - 1;
	}
	if (h->path.n == 0)
		h->path = (struct door_str){ "/", 1 };
}

static enum err
parse_request_line(struct door_str line, struct door_head *h)
{
	const char *sp1 = memchr(line.p, ' ', line.n);
	const char *sp2 = memrchr(line.p, ' ', line.n);

	if (sp1 == NULL || sp1 == sp2)
		return ERR_PROTO;
	h->method = (struct door_str){ line.p, (size_t)(sp1 - line.p) };
	h->target = (struct door_str){ sp1 + 1, (size_t)(sp2 - sp1) - 1 };
	struct door_str version = { sp2 + 1, line.n - (size_t)(sp2 - line.p) - 1 };

	if (!is_token(h->method) || h->target.n == 0)
		return ERR_PROTO;
	for (size_t i = 0; i < h->target.n; i++) {
		unsigned char c = (unsigned char)h->target.p[i];

		if (c <= ' ' || c == 0x7f)
			return ERR_PROTO;
	}
	if (version.n != 8 || memcmp(version.p, "HTTP/1.", 7) != 0 || version.p[7] < '0' ||
	    version.p[7] > '9')
		return ERR_PROTO;
	h->minor = (unsigned)(version.p[7] - '0');
	split_target(h);
	return ERR_OK;
}

static enum err
parse_content_length(struct door_str v, struct door_head *h)
{
	int64_t n = 0;

	if (v.n == 0 || v.n > CONTENT_LENGTH_DIGITS)
		return ERR_PROTO;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return ERR_PROTO;
		n = n * 10 + (v.p[i] - '0');
	}
	if (h->content_length >= 0 && h->content_length != n)
		return ERR_PROTO;
	h->content_length = n;
	return ERR_OK;
}

static enum err
parse_field(struct door_str line, struct door_head *h)
{
	const char *colon = memchr(line.p, ':', line.n);

	if (colon == NULL)
		return ERR_PROTO;
	struct door_str name = { line.p, (size_t)(colon - line.p) };
	struct door_str value = door_str_trim((struct door_str){ colon + 1, line.n - name.n - 1 });

	if (!is_token(name))
		return ERR_PROTO;	/* a folded line or space before the colon, too */
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return ERR_PROTO;
	}
	if (h->n_fields == DOOR_HEAD_FIELDS_MAX)
		return ERR_LIMIT;
	h->fields[h->n_fields].name = name;
	h->fields[h->n_fields].value = value;
	h->n_fields++;
	if (door_str_is_nocase(name, "content-length"))
		return parse_content_length(value, h);
	if (door_str_is_nocase(name, "transfer-encoding")) {
		if (h->is_chunked || !door_str_is_nocase(value, "chunked"))
			return ERR_PROTO;
		h->is_chunked = true;
	}
	return ERR_OK;
}

/* A head without its end: is what is there of the request line still possible? */
static enum err
check_beginning(const char *p, size_t n)
{
	struct door_head h;

	if (n == 0)
		return ERR_AGAIN;
	const char *lf = memchr(p, '\n', n);
	if (lf != NULL) {
		size_t line_bytes = (size_t)(lf - p);

		if (line_bytes == 0 || p[line_bytes - 1] != '\r')
			return ERR_PROTO;
		enum err rc = parse_request_line((struct door_str){ p, line_bytes - 1 }, &h);

		return rc == ERR_OK ? ERR_AGAIN : rc;
	}
	for (size_t i = 0; i < n; i++) {
		if (p[i] == ' ' && i > 0)
			break;
		if (!is_token_char((unsigned char)p[i]) && !(i == 0 && p[i] == '\r' && n == 1))
			return ERR_PROTO;
	}
	return ERR_AGAIN;
}

enum err
door_http_parse(const char *p, size_t n, struct door_head *out)
{
	size_t at = n >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
	const char *end = n > at ? memmem(p + at, n - at, "\r\n\r\n", 4) : NULL;
	bool is_first = true;

	if (end == NULL)
		return check_beginning(p + at, n - at);
	out->n_fields = 0;
	out->content_length = -1;
	out->is_chunked = false;
	out->head_bytes = (size_t)(end - p) + 4;
	while (at < out->head_bytes - 2) {
		const char *cr = memchr(p + at, '\r', out->head_bytes - at);
		struct door_str line = { p + at, (size_t)(cr - (p + at)) };
		enum err rc;

		if (cr[1] != '\n')
			return ERR_PROTO;
		rc = is_first ? parse_request_line(line, out) : parse_field(line, out);
		if (rc != ERR_OK)
			return rc;
		is_first = false;
		at += line.n + 2;
	}
	if (out->is_chunked && (out->content_length >= 0 || out->minor == 0))
		return ERR_PROTO;
	out->keeps_alive = out->minor >= 1 ? !door_http_lists(out, "connection", "close")
					   : door_http_lists(out, "connection", "keep-alive");
	return ERR_OK;
}

enum err
door_proxy_sniff(const uint8_t *p, size_t n)
{
	size_t n1 = n < 6 ? n : 6;
	size_t n2 = n < sizeof(proxy_v2_signature) ? n : sizeof(proxy_v2_signature);

	if (n == 0)
		return ERR_AGAIN;
	if (memcmp(p, "PROXY ", n1) == 0)
		return n1 == 6 ? ERR_OK : ERR_AGAIN;
	if (memcmp(p, proxy_v2_signature, n2) == 0)
		return n2 == sizeof(proxy_v2_signature) ? ERR_OK : ERR_AGAIN;
	return ERR_NOTFOUND;
}

/* Takes the next word of the line; false: there is none. */
static bool
next_word(struct door_str *line, struct door_str *word)
{
	const char *sp = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;

	word->p = line->p;
	word->n = sp != NULL ? (size_t)(sp - line->p) : line->n;
	line->p += word->n + (sp != NULL);
	line->n -= word->n + (sp != NULL);
	return word->n > 0;
}

static enum err
parse_proxy_v1(const uint8_t *bytes, size_t n, struct net_addr *peer, size_t *used)
{
	const char *p = (const char *)bytes;
	const char *cr = memchr(p, '\r', n < PROXY_V1_MAX_BYTES ? n : PROXY_V1_MAX_BYTES);
	struct door_str line, family, src, dst, sport, dport;
	struct net_addr from, to;

	if (cr == NULL)
		return n < PROXY_V1_MAX_BYTES ? ERR_AGAIN : ERR_PROTO;
	if ((size_t)(cr - p) + 1 == n)
		return ERR_AGAIN;
	if (cr[1] != '\n')
		return ERR_PROTO;
	line = (struct door_str){ p + 6, (size_t)(cr - p) - 6 };
	if (!next_word(&line, &family))
		return ERR_PROTO;
	if (door_str_is(family, "UNKNOWN")) {
		*used = (size_t)(cr - p) + 2;
		return ERR_OK;
	}
	if (!next_word(&line, &src) || !next_word(&line, &dst) || !next_word(&line, &sport) ||
	    !next_word(&line, &dport) || line.n != 0)
		return ERR_PROTO;
	bool is_v6 = door_str_is(family, "TCP6");
	if (!is_v6 && !door_str_is(family, "TCP4"))
		return ERR_PROTO;
	if ((memchr(src.p, ':', src.n) != NULL) != is_v6 ||
	    (memchr(dst.p, ':', dst.n) != NULL) != is_v6)
		return ERR_PROTO;
	if (net_ip_parse(src.p, src.n, &from.ip) != ERR_OK ||
	    net_ip_parse(dst.p, dst.n, &to.ip) != ERR_OK ||
	    net_port_parse(sport.p, sport.n, &from.port) != ERR_OK ||
	    net_port_parse(dport.p, dport.n, &to.port) != ERR_OK)
		return ERR_PROTO;
	*peer = from;
	*used = (size_t)(cr - p) + 2;
	return ERR_OK;
}

static enum err
parse_proxy_v2(const uint8_t *p, size_t n, struct net_addr *peer, size_t *used)
{
	if (n < PROXY_V2_HDR_BYTES)
		return ERR_AGAIN;
	size_t body_bytes = wire_u16be(p + 14);
	const uint8_t *body = p + PROXY_V2_HDR_BYTES;

	if (p[12] >> 4 != 2 || (p[12] & 15) > 1 ||
	    PROXY_V2_HDR_BYTES + body_bytes > DOOR_PROXY_MAX_BYTES)
		return ERR_PROTO;
	if (n < PROXY_V2_HDR_BYTES + body_bytes)
		return ERR_AGAIN;
	bool is_local = (p[12] & 15) == 0;
	if (!is_local && p[13] == 0x11) {		/* IPv4, stream */
		if (body_bytes < 12)
			return ERR_PROTO;
		*peer = (struct net_addr){ net_ip_from_v4(body), wire_u16be(body + 8) };
	} else if (!is_local && p[13] == 0x21) {	/* IPv6, stream */
		if (body_bytes < 36)
			return ERR_PROTO;
		*peer = (struct net_addr){ net_ip_from_v6(body), wire_u16be(body + 32) };
	} else if (!is_local && p[13] != 0x00 && p[13] != 0x31) {
		return ERR_PROTO;			/* not unspecified, not a Unix stream */
	}
	*used = PROXY_V2_HDR_BYTES + body_bytes;
	return ERR_OK;
}

enum err
door_proxy_parse(const uint8_t *p, size_t n, struct net_addr *peer, size_t *used)
{
	enum err rc = door_proxy_sniff(p, n);

	if (rc != ERR_OK)
		return rc == ERR_AGAIN ? ERR_AGAIN : ERR_PROTO;
	return p[0] == 'P' ? parse_proxy_v1(p, n, peer, used) : parse_proxy_v2(p, n, peer, used);
}
