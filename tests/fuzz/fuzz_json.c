/* links: */
/* json_parse on any bytes: what it accepts is dumped, parsed again and must be the same; the bytes
 * as a string through the writer must always be JSON. */
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = { 0 };
	struct json_writer w;
	struct err_text why;
	json_t *v = NULL, *again = NULL;

	if (json_parse(data, size, &v, &why) == ERR_OK) {
		json_dump_to(&b, v);
		ASSERT(json_parse(b.p, b.len, &again, &why) == ERR_OK);
		/* Reals may lose their last digit on the way. */
		ASSERT(json_typeof(v) == json_typeof(again));
		ASSERT(json_object_size(v) == json_object_size(again));
		ASSERT(json_array_size(v) == json_array_size(again));
		ASSERT(!json_is_string(v) || json_equal(v, again));
		json_decref(again);
		json_decref(v);
	}
	buf_clear(&b);
	json_w_init(&w, &b);
	json_w_strn(&w, NULL, (const char *)data, size);
	ASSERT(json_parse(b.p, b.len, &v, &why) == ERR_OK);
	ASSERT(json_is_string(v));
	json_decref(v);
	buf_fini(&b);
	return 0;
}
