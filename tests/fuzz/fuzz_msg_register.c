/* links: coord/msg_register coord/hostinfo coord/tag */
/* Any bytes as a register request: an error with a text, or a request whose Hostinfo reads again
 * the same. */
#include "base/obj.h"
#include "coord/msg_register.h"
#include "tests/fuzz/hostinfo_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_text why = { "" };
	struct register_req *r = NULL;

	if (msg_register_parse(data, size, &r, &why) != ERR_OK) {
		ASSERT(r == NULL && why.s[0] != '\0');
		return 0;
	}
	hostinfo_check(r->host);
	msg_register_free(r);
	return 0;
}
