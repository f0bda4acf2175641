/* links: coord/msg_map coord/hostinfo coord/tag */
/* Any bytes as a map request: an error with a text, or a request whose Hostinfo reads again the
 * same. */
#include "base/obj.h"
#include "coord/msg_map.h"
#include "tests/fuzz/hostinfo_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_text why = { "" };
	struct map_req *r = NULL;

	if (msg_map_parse(data, size, &r, &why) != ERR_OK) {
		ASSERT(r == NULL && why.s[0] != '\0');
		return 0;
	}
	hostinfo_check(r->host);
	msg_map_free(r);
	return 0;
}
