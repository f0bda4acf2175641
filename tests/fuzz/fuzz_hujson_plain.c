/* links: coord/hujson coord/hujson_plain */
/* HuJSON without its comments means the same, has the same lines, and has no comments. */
#include <stdlib.h>
#include <string.h>

#include "coord/hujson.h"
#include "coord/hujson_plain.h"

static const struct hujson_limits limits = { .n_bytes = 1u << 16, .n_values = 10000, .depth = 32 };

/* What the text says, compact; false: it is no HuJSON. */
static bool
meaning(const char *text, size_t n, struct buf *out)
{
	struct arena *a = arena_new();
	struct hujson_error e;
	struct hujson *v;
	bool is_ok = hujson_parse(a, text, n, &limits, &v, &e) == ERR_OK;

	if (is_ok)
		hujson_put(out, v);
	arena_free(a);
	return is_ok;
}

static size_t
lines(const char *text, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += text[i] == '\n';
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf plain = { 0 }, again = { 0 }, before = { 0 }, after = { 0 };
	const char *text = (const char *)data;

	hujson_plain_put(&plain, text, size);
	if (plain.len != size || lines((const char *)plain.p, plain.len) != lines(text, size))
		abort();
	if (meaning(text, size, &before)) {
		if (!meaning((const char *)plain.p, plain.len, &after) || before.len != after.len ||
		    (before.len > 0 && memcmp(before.p, after.p, before.len) != 0))
			abort();
		hujson_plain_put(&again, (const char *)plain.p, plain.len);
		if (plain.len > 0 && memcmp(again.p, plain.p, plain.len) != 0)
			abort();
	}
	buf_fini(&plain);
	buf_fini(&again);
	buf_fini(&before);
	buf_fini(&after);
	return 0;
}
