/* What commands that make, change or delete something have in common. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"

/* "Node web1 is now web2." */
static void
print_sentence(const struct cli *c, const json_t *v, const struct cli_change *how)
{
	const char *id = c->argc > 0 ? c->argv[0] : "";
	struct buf cell = { .len = 0 };

	if (how->member != NULL)
		cli_put_member(v, how->member, &cell);
	if (how->member != NULL && cell.len == 0 && how->none != NULL)
		printf("%s %s %s.\n", how->kind, id, how->none);
	else
		printf("%s %s %s%s.\n", how->kind, id, how->done, how->member == NULL ? "" :
		    cell.len > 0 ? buf_cstr(&cell) : "none");
	buf_fini(&cell);
}

int
cli_change(const struct cli *c, const struct cli_change *how, json_t *body_taken)
{
	char *path = cli_path(how->path, c->argv[0], how->action != NULL ? how->action : "");
	json_t *v;
	int code = cli_call(how->method, path, body_taken, &v);

	free(path);
	if (code != 0)
		return code;
	if (c->is_json)
		cli_print_json(v);
	else
		print_sentence(c, v, how);
	json_decref(v);
	return 0;
}

int
cli_patch(const struct cli *c, const struct cli_change *how, const char *value)
{
	json_t *body = json_pack("{s:s}", how->member, value);

	if (body == NULL)
		return cli_fail("the %s is not UTF-8", how->member);
	return cli_change(c, how, body);
}

int
cli_ask(const struct cli *c, const char *method, const char *path, json_t *body_taken,
    void (*print)(const struct cli *c, const json_t *answer))
{
	json_t *v;
	int code = cli_call(method, path, body_taken, &v);

	if (code != 0)
		return code;
	if (c->is_json)
		cli_print_json(v);
	else
		print(c, v);
	json_decref(v);
	return 0;
}

const char *
cli_id_of(const struct cli *c)
{
	const char *slash = strrchr(c->argv[0], '/');

	return slash != NULL ? slash + 1 : c->argv[0];
}

int
cli_make(const struct cli *c, const char *path, json_t *body_taken,
    void (*print)(const struct cli *c, const json_t *made))
{
	return body_taken == NULL ? 2 : cli_ask(c, "POST", path, body_taken, print);
}

void
cli_words_add(json_t *body, const char *member, const char *text, const char *prefix)
{
	json_t *list = json_object_get(body, member);
	char *copy, *rest, *word;

	if (text == NULL)
		return;
	if (list == NULL) {
		list = json_array();
		json_object_set_new(body, member, list);
	}
	copy = rest = obj_strdup(text);
	while ((word = strsep(&rest, ", ")) != NULL)
		if (*word != 0)
			json_array_append_new(list, json_sprintf("%s%s",
			    strncmp(word, prefix, strlen(prefix)) == 0 ? "" : prefix, word));
	free(copy);
}

json_t *
cli_expiry_set(json_t *body_taken, const char *expiration)
{
	struct err_text why;
	int64_t expiry_s;

	if (expiration == NULL)
		return body_taken;
	if (cli_duration_parse(expiration, &expiry_s, &why) != ERR_OK) {
		cli_fail("--expiration: %s", why.s);
		json_decref(body_taken);
		return NULL;
	}
	json_object_set_new(body_taken, "expirySeconds", json_integer(expiry_s));
	return body_taken;
}
