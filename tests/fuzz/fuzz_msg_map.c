/* links: coord/msg_map coord/hostinfo coord/tag */
/* Any bytes as a map request: an error with a text, or a request whose Hostinfo reads again the
 * same. */
#include "base/obj.h"
#include "coord/msg_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_host(const struct hostinfo *h)
{
	struct err_text why = { "" };
	struct hostinfo *again = NULL;

	ASSERT(h->json->len <= HOSTINFO_JSON_MAX);
	ASSERT(hostinfo_parse(h->json->bytes, h->json->len, &again, &why) == ERR_OK);
	ASSERT(hostinfo_peer_eq(h, again) && again->has_netinfo == h->has_netinfo);
	hostinfo_drop(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_text why = { "" };
	struct map_req *r = NULL;

	if (msg_map_parse(data, size, &r, &why) != ERR_OK) {
		ASSERT(r == NULL && why.s[0] != '\0');
		return 0;
	}
	if (r->host != NULL)
		check_host(r->host);
	msg_map_free(r);
	return 0;
}
