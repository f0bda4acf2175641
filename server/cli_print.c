/* Answers of the API for people and for programs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "server/cli.h"

int
cli_print_json(const json_t *v)
{
	json_dumpf(v, stdout, JSON_INDENT(2));
	fputc('\n', stdout);
	return 0;
}

void
cli_put_member(const json_t *object, const char *member, struct buf *out)
{
	const json_t *v = json_object_get(object, member);

	if (json_is_string(v))
		buf_str(out, json_string_value(v));
	else if (json_is_boolean(v))
		buf_str(out, json_is_true(v) ? "yes" : "no");
	else if (json_is_integer(v))
		buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *s = json_string_value(json_array_get(v, i));
		buf_printf(out, "%s%s", i > 0 ? "," : "", s != NULL ? s : "?");
	}
}

void
cli_put_time(const json_t *object, const char *member, int64_t now_unix_s, struct buf *out)
{
	const char *text = json_get_str(object, member, "");
	char words[CLI_TIME_MAX];
	int64_t at = 0;

	if (*text != 0 && clock_rfc3339_parse(text, strlen(text), &at) != 0)
		return;
	buf_str(out, cli_time_put(at, now_unix_s, words));
}

static void
put_cell(const struct cli_column *col, const json_t *object, struct buf *out)
{
	buf_clear(out);
	if (col->put != NULL)
		col->put(object, clock_wall_s(), out);
	else if (col->is_time)
		cli_put_time(object, col->member, clock_wall_s(), out);
	else
		cli_put_member(object, col->member, out);
}

int
cli_print_list(const struct cli *c, json_t *answer_taken, const char *array,
    const struct cli_column *columns, unsigned n, const char *none)
{
	const json_t *list = json_object_get(answer_taken, array);
	const char *heads[16];
	struct buf cell = { .len = 0 };

	ASSERT(n <= COUNT_OF(heads));
	if (c->is_json) {
		cli_print_json(answer_taken);
	} else if (json_array_size(list) == 0) {
		printf("%s\n", none);
	} else {
		for (unsigned i = 0; i < n; i++)
			heads[i] = columns[i].head;
		struct cli_table *t = cli_table_new(heads, n);
		for (size_t i = 0; i < json_array_size(list); i++)
			for (unsigned k = 0; k < n; k++) {
				put_cell(&columns[k], json_array_get(list, i), &cell);
				cli_table_cell(t, buf_cstr(&cell));
			}
		cli_table_print(t, stdout);
		cli_table_free(t);
	}
	buf_fini(&cell);
	json_decref(answer_taken);
	return 0;
}

int
cli_list(const struct cli *c, const struct cli_list *list)
{
	json_t *v;
	int code = cli_call("GET", list->path, NULL, &v);

	if (code != 0)
		return code;
	code = cli_print_list(c, json_incref(v), list->array, list->columns, list->n_columns, list->none);
	if (list->after != NULL && !c->is_json)
		list->after(v);
	json_decref(v);
	return code;
}

int
cli_print_object(const struct cli *c, json_t *answer_taken, const struct cli_column *columns, unsigned n)
{
	struct buf cell = { .len = 0 }, line = { .len = 0 };

	if (c->is_json)
		cli_print_json(answer_taken);
	for (unsigned i = 0; i < n && !c->is_json; i++) {
		buf_clear(&line);
		put_cell(&columns[i], answer_taken, &cell);
		cli_text_put(&line, buf_cstr(&cell));
		printf("%-16s %s\n", columns[i].head, line.len > 0 ? buf_cstr(&line) : "-");
	}
	buf_fini(&cell);
	buf_fini(&line);
	json_decref(answer_taken);
	return 0;
}

int
cli_show(const struct cli *c, const char *path, const struct cli_column *columns, unsigned n)
{
	char *whole = cli_path(path, c->argv[0], "");
	json_t *v;
	int code = cli_call("GET", whole, NULL, &v);

	free(whole);
	return code != 0 ? code : cli_print_object(c, v, columns, n);
}

void
cli_print_faults(const char *before, const json_t *faults)
{
	struct buf line = { .len = 0 };
	const json_t *v;
	size_t i;

	json_array_foreach(faults, i, v) {
		int64_t at = json_get_int(v, "line", 0);

		buf_clear(&line);
		buf_str(&line, before);
		if (at > 0)
			buf_printf(&line, "line %" PRId64 ", column %" PRId64 ": ", at,
			    json_get_int(v, "column", 0));
		cli_text_put(&line, json_get_str(v, "text", ""));
		fprintf(stderr, "%s\n", buf_cstr(&line));
	}
	buf_fini(&line);
}
