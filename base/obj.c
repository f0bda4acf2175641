/* The assertion that stays on, and small memory that does not fail. */
#include "base/obj.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Noreturn void
obj_assert_failed(const char *condition, const char *file, int line)
{
	/* Not through base/log: the fault may be there. */
	if (errno == ENOMEM)	/* ours or a library's; a call that went well does not change it */
		dprintf(2, "fairlead: no memory is left, so this process ends; nothing that it acknowledged"
		    " is lost. Give it more memory and start it again. (%s, %s:%d)\n", condition, file, line);
	else
		dprintf(2, "assertion failed: %s (%s:%d)\n", condition, file, line);
	abort();
}

void *
obj_alloc(size_t n_bytes)
{
	void *p = calloc(1, n_bytes > 0 ? n_bytes : 1);

	ASSERT(p != NULL);
	return p;
}

void *
obj_realloc(void *old, size_t n_bytes)
{
	void *p = realloc(old, n_bytes > 0 ? n_bytes : 1);

	ASSERT(p != NULL);
	return p;
}

char *
obj_strdup(const char *s)
{
	char *copy = strdup(s);

	ASSERT(copy != NULL);
	return copy;
}
