/* links: relay/stun */
/* A datagram on the STUN port. */
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "relay/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct net_addr from = { .ip = { .family = 6, .b = { 0x20, 1 } }, .port = 7 };
	uint8_t id[STUN_ID_BYTES], out[STUN_ANSWER_MAX_BYTES];

	if (stun_parse(data, size, id) == ERR_OK) {
		ASSERT(size >= 40);	/* an answer is hardly longer than what asked for it */
		ASSERT(stun_answer(out, id, &from) == sizeof out);
		ASSERT(memcmp(out + 8, data + 8, STUN_ID_BYTES) == 0);
	}
	return 0;
}
