/* Policies: their life, and lists of faults. The parser is coord/policy_parse. */
#include "coord/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"

#define ERROR_TEXT_MAX 400	/* bytes of one fault: a text of somebody is in it */

void
policy_errors_fini(struct policy_errors *e)
{
	for (unsigned i = 0; i < e->n; i++)
		free(e->v[i].text);
	free(e->v);
	*e = (struct policy_errors){ 0 };
}

/* Cuts at n - 1 bytes, not inside a character. */
static void
cut_utf8(char *s, size_t n)
{
	size_t len = strlen(s);

	if (len < n - 1)
		return;
	len = n - 4;
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	memcpy(s + len, "...", 4);
}

void
policy_errors_add(struct policy_errors *e, unsigned line, unsigned column, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	if (e->n == POLICY_ERRORS_MAX) {
		e->n_left_off++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cut_utf8(text, sizeof(text));
	e->v = obj_realloc(e->v, (e->n + 1) * sizeof(*e->v));
	e->v[e->n++] = (struct policy_error){ line, column, obj_strdup(text) };
}

void
policy_errors_put(struct buf *b, const struct policy_errors *e)
{
	for (unsigned i = 0; i < e->n; i++) {
		if (i > 0)
			buf_byte(b, '\n');
		if (e->v[i].line > 0)
			buf_printf(b, "line %u, column %u: ", e->v[i].line, e->v[i].column);
		buf_str(b, e->v[i].text);
	}
	if (e->n_left_off > 0)
		buf_printf(b, "\nand %u more", e->n_left_off);
}

struct policy *
policy_hold(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
policy_drop(struct policy *p)
{
	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < p->n_sels; i++)
		ipset_fini(&p->sels[i].set);
	free(p->sels);
	free(p->tokens);
	arena_free(p->_arena);		/* p itself is in there */
}
