/* links: web/auth_text coord/cred coord/tag coord/user */
/* Authorization, Cookie and forwarded lists, and credentials' texts: one header value. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coord/cred.h"
#include "web/auth_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), id[CRED_ID_MAX];
	uint8_t hash[CRED_HASH_BYTES];
	struct auth_text parsed;
	enum cred_kind kind;
	const char *p;
	size_t n, end;

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	if (auth_text_parse(text, &parsed) == ERR_OK) {
		ASSERT(strlen(parsed.user) < AUTH_TEXT_MAX && strlen(parsed.password) < AUTH_TEXT_MAX);
		if (cred_parse(parsed.user, strlen(parsed.user), &kind, id, hash) == ERR_OK)
			ASSERT(strlen(id) == CRED_ID_CHARS && kind < CRED_KIND_COUNT);
	}
	if ((p = auth_text_cookie(text, "fairlead_session", &n)) != NULL)
		ASSERT(p >= text && p + n <= text + strlen(text));
	end = strlen(text);
	for (size_t before = end; auth_text_last(text, &end, &p, &n); before = end)
		ASSERT(end < before && p >= text && p + n <= text + strlen(text));
	if (cred_parse((const char *)data, size, &kind, id, hash) == ERR_OK)
		ASSERT(strlen(id) == CRED_ID_CHARS);
	free(text);
	return 0;
}
