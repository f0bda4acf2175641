/* links: coord/hujson coord/hujson_edit */
/*
 * Any HuJSON object is changed in place: what comes out is HuJSON again that says what it said before and what
 * was added; once that is removed, what it said before.
 */
#include <stdlib.h>
#include <string.h>

#include "coord/hujson.h"
#include "coord/hujson_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hujson_limits limits = { 1 << 16, 10000, 64 };

/* Compact, the caller's; NULL: no object. */
static char *
compact(struct buf *text)
{
	struct arena *a = arena_new();
	struct hujson_error error;
	struct hujson *v;
	struct buf b = { .len = 0 };
	char *out = NULL;

	if (hujson_parse(a, buf_cstr(text), text->len, &limits, &v, &error) == ERR_OK &&
	    v->type == HUJSON_OBJECT) {
		hujson_put(&b, v);
		out = obj_strdup(buf_cstr(&b));
	}
	buf_fini(&b);
	arena_free(a);
	return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hujson_path paths[] = { { { "a" }, 1 }, { { "a", "b" }, 2 }, { { "l" }, 1 } };
	struct buf text = { .len = 0 };
	struct err_text why;

	buf_append(&text, data, size);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		bool is_list = i == 2;
		char *before = compact(&text), *after;
		unsigned n = hujson_edit_count(&text, &paths[i]);
		enum err rc = is_list ? hujson_edit_entry(&text, &paths[i], "{\n\t\"new\": 1\n}", &why) :
		    hujson_edit_member(&text, &paths[i], "new", "[\n\t1\n]", &why);

		after = compact(&text);
		if (rc == ERR_OK) {
			ASSERT(after != NULL && hujson_edit_count(&text, &paths[i]) == n + 1);
			rc = is_list ? hujson_edit_remove_entry(&text, &paths[i], "{\"new\":1}", &why) :
			    hujson_edit_remove_member(&text, &paths[i], "new", &why);
			ASSERT(rc == ERR_OK && hujson_edit_count(&text, &paths[i]) == n);
		} else if (before != NULL) {
			ASSERT(after != NULL && strcmp(before, after) == 0);
		}
		free(before);
		free(after);
	}
	buf_fini(&text);
	return 0;
}
