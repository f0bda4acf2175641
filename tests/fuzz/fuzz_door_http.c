/* links: server/door_http */
/* Any bytes as a request head: no overread, and what is understood lies inside the input. */
#include "base/obj.h"
#include "server/door_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct door_str s, const char *p, size_t n)
{
	if (s.n > 1)		/* "/" may be ours */
		ASSERT(s.p >= p && s.p + s.n <= p + n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct door_head h, again;

	if (door_http_parse(p, size, &h) != ERR_OK)
		return 0;
	ASSERT(h.head_bytes <= size && h.n_fields <= DOOR_HEAD_FIELDS_MAX);
	check_inside(h.method, p, h.head_bytes);
	check_inside(h.target, p, h.head_bytes);
	check_inside(h.path, p, h.head_bytes);
	check_inside(h.query, p, h.head_bytes);
	for (unsigned i = 0; i < h.n_fields; i++) {
		check_inside(h.fields[i].name, p, h.head_bytes);
		check_inside(h.fields[i].value, p, h.head_bytes);
	}
	(void)door_http_lists(&h, "connection", "upgrade");
	/* The head alone says the same; a byte less is not yet a head. */
	ASSERT(door_http_parse(p, h.head_bytes, &again) == ERR_OK);
	ASSERT(again.n_fields == h.n_fields && again.content_length == h.content_length);
	ASSERT(door_http_parse(p, h.head_bytes - 1, &again) == ERR_AGAIN);
	return 0;
}
