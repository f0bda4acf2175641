/* Form bytes to names and values. */
#include "web/form.h"

#include <stdlib.h>
#include <string.h>

#include "base/percent.h"

/* [p, end) decoded to *to, which moves behind the NUL. */
static enum err
piece_decode(const char *p, const char *end, char **to)
{
	char *out = *to;

	while (p < end) {
		uint8_t c = ' ';

		if (*p == '+')
			p++;
		else if (percent_take(&p, end, &c) != ERR_OK)
			return ERR_INVAL;
		if (c == 0)
			return ERR_INVAL;
		*out++ = (char)c;
	}
	*out++ = 0;
	*to = out;
	return ERR_OK;
}

static enum err
pair_take(struct form *f, const char *p, const char *end, char **to)
{
	const char *equals = memchr(p, '=', (size_t)(end - p));
	enum err rc;

	if (f->n == FORM_PAIRS_MAX)
		return ERR_LIMIT;
	f->pairs[f->n].name = *to;
	if ((rc = piece_decode(p, equals != NULL ? equals : end, to)) != ERR_OK)
		return rc;
	f->pairs[f->n].value = *to;
	rc = piece_decode(equals != NULL ? equals + 1 : end, end, to);
	f->n++;
	return rc;
}

enum err
form_parse(const char *p, size_t n, struct form *out)
{
	struct form f = { .n = 0 };
	const char *end = p + n;
	enum err rc = ERR_OK;

	/* A pair needs two NULs at most, and has one byte at least. */
	f._text = obj_alloc(2 * n + 2);
	char *to = f._text;
	while (n > 0 && p < end && rc == ERR_OK) {
		const char *amp = memchr(p, '&', (size_t)(end - p));
		const char *stop = amp != NULL ? amp : end;
		if (stop > p)
			rc = pair_take(&f, p, stop, &to);
		p = stop + 1;
	}
	if (rc != ERR_OK) {
		form_fini(&f);
		f.n = 0;
	}
	*out = f;
	return rc;
}

void
form_fini(struct form *f)
{
	free(f->_text);
	f->_text = NULL;
	f->n = 0;
}

const char *
form_get(const struct form *f, const char *name)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->pairs[i].name, name) == 0)
			return f->pairs[i].value;
	return NULL;
}
