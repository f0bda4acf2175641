/* Users: roles and names. */
#include "coord/user.h"

#include <string.h>

static const char *const words[] = {
#define X(id, word) [USER_##id] = word,
	USER_ROLE_TABLE(X)
#undef X
};

const char *
user_role_word(enum user_role role)
{
	return words[role];
}

bool
user_role_parse(const char *word, enum user_role *out)
{
	for (int i = 0; i < USER_ROLE_COUNT; i++) {
		if (strcmp(word, words[i]) == 0) {
			*out = (enum user_role)i;
			return true;
		}
	}
	return false;
}

bool
user_name_is_valid(const char *name)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";
	size_t n = strlen(name);

	return n > 0 && n < USER_NAME_MAX && strspn(name, allowed) == n;
}
