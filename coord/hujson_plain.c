/* One walk; where the last comma lies is remembered until something follows it. */
#include "coord/hujson_plain.h"

#include <string.h>

/* Bytes of the comment that begins here; 0: none does. */
static size_t
comment_length(const char *p, size_t n)
{
	const char *end;

	if (n < 2 || p[0] != '/')
		return 0;
	if (p[1] == '/') {
		end = memchr(p, '\n', n);
		return end != NULL ? (size_t)(end - p) : n;
	}
	if (p[1] != '*')
		return 0;
	end = memmem(p + 2, n - 2, "*/", 2);
	return end != NULL ? (size_t)(end - p) + 2 : n;
}

static size_t
string_length(const char *p, size_t n)
{
	size_t i = 1;

	while (i < n && p[i] != '"')
		i += p[i] == '\\' ? 2 : 1;
	return i < n ? i + 1 : n;
}

void
hujson_plain_put(struct buf *b, const char *text, size_t n)
{
	size_t at = b->len, comma = SIZE_MAX;
	char *out = (char *)buf_reserve(b, n);

	memcpy(out, text, n);
	for (size_t i = 0; i < n;) {
		size_t len = comment_length(text + i, n - i);

		for (size_t k = i; k < i + len; k++)
			out[k] = out[k] == '\n' ? '\n' : ' ';
		i += len;
		if (len > 0 || i == n)
			continue;
		if (text[i] == '"') {
			i += string_length(text + i, n - i);
			comma = SIZE_MAX;
			continue;
		}
		if ((text[i] == ']' || text[i] == '}') && comma != SIZE_MAX)
			out[comma] = ' ';
		if (text[i] == ',')
			comma = i;
		else if (strchr(" \t\r\n", text[i]) == NULL)
			comma = SIZE_MAX;
		i++;
	}
	b->len = at + n;
}
