/* What holds of every Hostinfo that a message was read with. */
#ifndef TESTS_FUZZ_HOSTINFO_CHECK_H
#define TESTS_FUZZ_HOSTINFO_CHECK_H

#include "base/obj.h"
#include "coord/hostinfo.h"

/* Its text is bounded and reads again the same. NULL is fine. */
static inline void
hostinfo_check(const struct hostinfo *h)
{
	struct err_text why = { "" };
	struct hostinfo *again = NULL;

	if (h == NULL)
		return;
	ASSERT(h->json->len <= HOSTINFO_JSON_MAX);
	ASSERT(hostinfo_parse(h->json->bytes, h->json->len, &again, &why) == ERR_OK);
	ASSERT(hostinfo_peer_eq(h, again) && again->has_netinfo == h->has_netinfo);
	hostinfo_drop(again);
}

#endif
