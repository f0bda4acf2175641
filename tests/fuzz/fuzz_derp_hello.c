/* links: relay/derp_hello relay/derp_frame */
/* A ClientInfo payload as it comes from the wire, and as JSON that a client sealed. */
#include <sodium.h>
#include <stdint.h>

#include "base/obj.h"
#include "relay/derp_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* the server of tests/data/derp.json, so that its frames in the corpus open */
	static const struct private_key server = { {
		0x08, 0xf5, 0xb9, 0xdc, 0xb0, 0x96, 0xab, 0x00, 0xd1, 0x16, 0x13, 0xf4, 0x34, 0xae, 0x08,
		0x57, 0xd0, 0xc1, 0x3f, 0x04, 0x5e, 0xba, 0x14, 0xb3, 0xac, 0xde, 0xae, 0xac, 0x59, 0x14,
		0x26, 0x69,
	} };
	struct derp_hello_info info = { .version = 0 };

	ASSERT(sodium_init() >= 0);
	if (derp_hello_open(data, size, &server, &info) != ERR_OK)
		ASSERT(node_key_is_zero(&info.key));	/* untouched */
	if (derp_hello_parse(data, size, &info) == ERR_OK)
		ASSERT(info.has_mesh_key || info.mesh_key[0] == 0);
	return 0;
}
