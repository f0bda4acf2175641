/* Tag lists: small, sorted, copied. */
#include "coord/tag.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
tag_is_valid(const char *tag)
{
	if (strncmp(tag, "tag:", 4) != 0 || strlen(tag) >= TAG_TEXT_MAX || !is_letter(tag[4]))
		return false;
	for (const char *p = tag + 5; *p != '\0'; p++) {
		if (!is_letter(*p) && !(*p >= '0' && *p <= '9') && *p != '-')
			return false;
	}
	return true;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
tag_list_copy(const char *const *in, unsigned n, char ***out, unsigned *n_out)
{
	char **list = NULL;
	unsigned kept = 0;

	if (n > 0) {
		list = obj_alloc(n * sizeof(*list));
		for (unsigned i = 0; i < n; i++)
			list[i] = obj_strdup(in[i]);
		qsort(list, n, sizeof(*list), compare);
		for (unsigned i = 0; i < n; i++) {
			if (kept > 0 && strcmp(list[kept - 1], list[i]) == 0)
				free(list[i]);
			else
				list[kept++] = list[i];
		}
	}
	*out = list;
	*n_out = kept;
}

void
tag_list_free(char **tags, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free(tags[i]);
	free(tags);
}

bool
tag_list_has(char *const *tags, unsigned n, const char *tag)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(tags[i], tag) == 0)
			return true;
	}
	return false;
}

bool
tag_list_eq(char *const *a, unsigned na, char *const *b, unsigned nb)
{
	if (na != nb)
		return false;
	for (unsigned i = 0; i < na; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

void
tag_list_put(struct buf *b, char *const *tags, unsigned n)
{
	struct json_writer w;

	json_w_init(&w, b);
	json_w_arr_open(&w, NULL);
	for (unsigned i = 0; i < n; i++)
		json_w_str(&w, NULL, tags[i]);
	json_w_arr_close(&w);
}

enum err
tag_list_parse(const char *json, char ***out, unsigned *n_out)
{
	json_t *root = NULL, *v;
	const char **list = NULL;
	unsigned n = 0;
	size_t i;
	enum err rc = ERR_INVAL;

	if (json_parse(json, strlen(json), &root, NULL) != ERR_OK || !json_is_array(root))
		goto out;
	list = obj_alloc((json_array_size(root) + 1) * sizeof(*list));
	json_array_foreach(root, i, v) {
		if (json_is_string(v) && tag_is_valid(json_string_value(v)))
			list[n++] = json_string_value(v);
	}
	tag_list_copy(list, n, out, n_out);
	rc = ERR_OK;
out:
	free(list);
	json_decref(root);
	return rc;
}
