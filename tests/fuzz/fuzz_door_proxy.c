/* links: server/door_http */
/* Any bytes as a PROXY header: no overread, and the length taken lies inside the input. */
#include "base/obj.h"
#include "server/door_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_addr peer = { { 0 }, 0 };
	size_t used = 0;
	enum err rc = door_proxy_parse(data, size, &peer, &used);

	ASSERT(rc == ERR_OK || rc == ERR_AGAIN || rc == ERR_PROTO);
	if (rc != ERR_OK) {
		ASSERT(used == 0 && peer.ip.family == 0);
		ASSERT(rc == ERR_PROTO || size < DOOR_PROXY_MAX_BYTES);
		return 0;
	}
	ASSERT(used > 0 && used <= size && used <= DOOR_PROXY_MAX_BYTES);
	ASSERT(peer.ip.family == 0 || peer.ip.family == 4 || peer.ip.family == 6);
	return 0;
}
