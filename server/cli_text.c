/* Durations, distances in time, tables. */
#include "server/cli_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_S	(INT64_C(3650) * 86400)

enum err
cli_duration_parse(const char *text, int64_t *out_s, struct err_text *why)
{
	static const struct { char unit; int64_t seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 },
	};
	int64_t sum = 0;
	const char *p = text;

	if (strcmp(text, "never") == 0 || strcmp(text, "0") == 0) {
		*out_s = 0;
		return ERR_OK;
	}
	do {
		int64_t v = 0;
		size_t n = strspn(p, "0123456789"), i = 0;
		if (n == 0 || n > 9)
			goto bad;
		for (; n > 0; n--)
			v = v * 10 + (*p++ - '0');
		while (i < COUNT_OF(units) && units[i].unit != *p)
			i++;
		if (i == COUNT_OF(units))
			goto bad;
		sum += v * units[i].seconds;
		if (sum > DURATION_MAX_S)
			return err_say(why, ERR_INVAL,
			    "\"%.60s\" is longer than 3650 days: use \"never\"", text);
		p++;
	} while (*p != 0);
	if (sum == 0)
		goto bad;
	*out_s = sum;
	return ERR_OK;
bad:
	return err_say(why, ERR_INVAL, "\"%.60s\" is not a duration like 30m, 24h, 7d or never", text);
}

char *
cli_span_put(int64_t seconds, char out[CLI_TIME_MAX])
{
	static const struct { int64_t seconds; const char *word; } units[] = {
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" },
	};
	size_t i = 0;

	while (i + 1 < COUNT_OF(units) && seconds < units[i].seconds)
		i++;
	int64_t n = seconds / units[i].seconds;
	snprintf(out, CLI_TIME_MAX, "%" PRId64 " %s%s", n, units[i].word, n == 1 ? "" : "s");
	return out;
}

char *
cli_time_put(int64_t unix_s, int64_t now_unix_s, char out[CLI_TIME_MAX])
{
	char span[CLI_TIME_MAX];
	int64_t ago = now_unix_s - unix_s;

	if (unix_s == 0)
		snprintf(out, CLI_TIME_MAX, "never");
	else if (ago > -2 && ago < 2)
		snprintf(out, CLI_TIME_MAX, "just now");
	else if (ago < 0)	/* what was to last 90 days is not 89 a moment later */
		snprintf(out, CLI_TIME_MAX, "in %.30s", cli_span_put(-ago + (-ago > 59 ? 5 : 0), span));
	else
		snprintf(out, CLI_TIME_MAX, "%.30s ago", cli_span_put(ago, span));
	return out;
}

void
cli_text_put(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++) {
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {	/* U+0080 to U+009F */
			buf_byte(b, '?');
			p++;
		} else {
			buf_byte(b, *p < 0x20 || *p == 0x7f ? '?' : *p);
		}
	}
}

struct cli_table {
	unsigned n_cols;
	size_t n_cells;
	char **cells;		/* owned; the heads first */
};

/* Characters as a terminal shows them, one column each. */
static size_t
width(const char *text)
{
	size_t n = 0;

	for (; *text != 0; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

struct cli_table *
cli_table_new(const char *const *heads, unsigned n_cols)
{
	struct cli_table *t = obj_alloc(sizeof(*t));

	t->n_cols = n_cols;
	for (unsigned i = 0; i < n_cols; i++)
		cli_table_cell(t, heads[i]);
	return t;
}

void
cli_table_cell(struct cli_table *t, const char *text)
{
	struct buf b = { .len = 0 };

	cli_text_put(&b, text);
	if (b.len == 0)
		buf_byte(&b, '-');
	if ((t->n_cells & (t->n_cells + 1)) == 0)
		t->cells = obj_realloc(t->cells, (2 * t->n_cells + 2) * sizeof(*t->cells));
	t->cells[t->n_cells++] = obj_strdup(buf_cstr(&b));
	buf_fini(&b);
}

static size_t
column_width(const struct cli_table *t, unsigned col)
{
	size_t most = 0;

	for (size_t i = col; i < t->n_cells; i += t->n_cols)
		most = width(t->cells[i]) > most ? width(t->cells[i]) : most;
	return most;
}

void
cli_table_print(const struct cli_table *t, FILE *f)
{
	size_t *widths = obj_alloc(t->n_cols * sizeof(*widths));

	for (unsigned i = 0; i < t->n_cols; i++)
		widths[i] = column_width(t, i);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t col = i % t->n_cols;
		fputs(t->cells[i], f);
		if (col + 1 == t->n_cols)
			fputc('\n', f);
		else
			fprintf(f, "%*s", (int)(widths[col] - width(t->cells[i]) + 2), "");
	}
	free(widths);
}

void
cli_table_free(struct cli_table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}
