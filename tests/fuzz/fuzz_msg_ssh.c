/* links: coord/msg_ssh */
/* Any text as the target of an SSH check: an error with a text, or a name that can be shown anywhere. */
#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "coord/msg_ssh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_text why = { "" };
	char *target = obj_alloc(size + 1);
	struct ssh_req r;

	memcpy(target, data, size);
	if (msg_ssh_parse(target, &r, &why) != ERR_OK) {
		ASSERT(why.s[0] != '\0');
	} else {
		ASSERT(r.who.src_id > 0 && r.who.dst_id > 0 && r.who.user[0] != '\0');
		ASSERT(memchr(r.who.user, 0, sizeof(r.who.user)) != NULL);
		ASSERT(memchr(r.check, 0, sizeof(r.check)) != NULL);
		for (const char *p = r.who.user; *p != '\0'; p++)
			ASSERT(*p >= 0x20 && *p < 0x7f);
	}
	free(target);
	return 0;
}
