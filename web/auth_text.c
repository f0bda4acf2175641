/* Authorization, Cookie, and comma lists. */
#include "web/auth_text.h"

#include <string.h>
#include <strings.h>

static int
base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != 0 ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* Decodes up to the padding; the length, or cap when it does not fit or is none. */
static size_t
base64_decode(const char *p, char *out, size_t cap)
{
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;

	for (; *p != 0 && *p != '='; p++) {
		int v = base64_value(*p);
		if (v < 0)
			return cap;
		bits = (bits << 6 | (unsigned)v) & 0xffffff;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		if (n + 1 >= cap)
			return cap;
		out[n++] = (char)(bits >> n_bits & 0xff);
	}
	return strspn(p, "=") == strlen(p) && strlen(p) <= 2 ? n : cap;
}

static enum err
copy(const char *p, size_t n, char out[AUTH_TEXT_MAX])
{
	if (n >= AUTH_TEXT_MAX || memchr(p, 0, n) != NULL)
		return ERR_INVAL;
	memcpy(out, p, n);
	out[n] = 0;
	return ERR_OK;
}

static enum err
basic_parse(const char *p, struct auth_text *out)
{
	char plain[2 * AUTH_TEXT_MAX];
	size_t n = base64_decode(p, plain, sizeof(plain));
	const char *colon = n < sizeof(plain) ? memchr(plain, ':', n) : NULL;
	enum err rc = ERR_INVAL;

	if (colon != NULL)
		rc = copy(plain, (size_t)(colon - plain), out->user);
	if (rc == ERR_OK)
		rc = copy(colon + 1, n - (size_t)(colon + 1 - plain), out->password);
	explicit_bzero(plain, sizeof(plain));
	return rc;
}

enum err
auth_text_parse(const char *value, struct auth_text *out)
{
	size_t scheme = strcspn(value, " ");
	const char *p = value + scheme;

	memset(out, 0, sizeof(*out));
	p += strspn(p, " ");
	out->is_bearer = scheme == 6 && strncasecmp(value, "Bearer", 6) == 0;
	if (out->is_bearer)
		return copy(p, strcspn(p, " "), out->user);
	return scheme == 5 && strncasecmp(value, "Basic", 5) == 0 ? basic_parse(p, out) : ERR_INVAL;
}

const char *
auth_text_cookie(const char *field, const char *name, size_t *n)
{
	size_t n_name = strlen(name);

	while (*field != 0) {
		field += strspn(field, " \t;");
		size_t len = strcspn(field, ";");
		if (len > n_name && memcmp(field, name, n_name) == 0 && field[n_name] == '=') {
			const char *p = field + n_name + 1;
			len -= n_name + 1;
			while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
				len--;
			if (len >= 2 && p[0] == '"' && p[len - 1] == '"') {
				p++;
				len -= 2;
			}
			*n = len;
			return p;
		}
		field += len;
	}
	return NULL;
}

bool
auth_text_last(const char *list, size_t *end, const char **p, size_t *n)
{
	if (*end == 0)
		return false;
	const char *comma = memrchr(list, ',', *end);
	const char *item = comma != NULL ? comma + 1 : list;
	size_t len = *end - (size_t)(item - list);

	*end = comma != NULL ? (size_t)(comma - list) : 0;
	for (; len > 0 && (*item == ' ' || *item == '\t'); len--)
		item++;
	while (len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t'))
		len--;
	*p = item;
	*n = len;
	return true;
}
