/* Words to sets of scopes. */
#include "web/scope.h"

#include <string.h>

static const char *const words[] = {
#define X(id, word) [SCOPE_##id] = word,
	SCOPE_TABLE(X)
#undef X
};

/* One word; 0: unknown. */
static scope_set
word_find(const char *p, size_t n)
{
	static const char suffix[] = ":read";
	const size_t ns = sizeof(suffix) - 1;
	bool is_read = n > ns && memcmp(p + n - ns, suffix, ns) == 0;
	size_t len = is_read ? n - ns : n;

	for (int i = 0; i < SCOPE_COUNT; i++)
		if (strlen(words[i]) == len && memcmp(words[i], p, len) == 0)
			return is_read ? SCOPE_READ(i) : SCOPE_WRITE(i);
	return 0;
}

enum err
scope_parse(const char *text, scope_set *out, struct err_text *why)
{
	scope_set set = 0, bit;

	for (const char *p = text; *p != 0;) {
		size_t n = strcspn(p, " ");
		if (n > 0 && (bit = word_find(p, n)) == 0)
			return err_say(why, ERR_INVAL, "\"%.*s\" is no scope", (int)(n < 60 ? n : 60), p);
		else if (n > 0)
			set |= bit;
		p += n + (p[n] == ' ');
	}
	*out = set;
	return ERR_OK;
}

bool
scope_may(scope_set set, enum scope scope, bool is_write)
{
	scope_set good = SCOPE_WRITE(scope) | SCOPE_WRITE(SCOPE_ALL);

	if (!is_write)
		good |= SCOPE_READ(scope) | SCOPE_READ(SCOPE_ALL);
	return (set & good) != 0;
}

bool
scope_includes(scope_set set, scope_set other)
{
	for (int i = 0; i < SCOPE_COUNT; i++)
		if (((other & SCOPE_READ(i)) != 0 && !scope_may(set, (enum scope)i, false)) ||
		    ((other & SCOPE_WRITE(i)) != 0 && !scope_may(set, (enum scope)i, true)))
			return false;
	return true;
}
