/* Runs of bytes that are allocated only while they hold something. */
#include "base/io_run.h"

#include <string.h>

#include "base/obj.h"

size_t
io_run_len(const struct io_run *r)
{
	return r->end - r->at;
}

void
io_run_clear(struct io_run *r)
{
	free(r->p);
	*r = (struct io_run){ .p = NULL };
}

void
io_run_drop(struct io_run *r, size_t n)
{
	ASSERT(n <= io_run_len(r));
	r->at += (uint32_t)n;
	if (r->at == r->end)
		io_run_clear(r);
}

size_t
io_run_take(struct io_run *r, void *p, size_t cap)
{
	size_t n = io_run_len(r) < cap ? io_run_len(r) : cap;

	if (n == 0)
		return 0;
	memcpy(p, r->p + r->at, n);
	io_run_drop(r, n);
	return n;
}

void
io_run_append(struct io_run *r, const void *p, size_t n)
{
	size_t len = io_run_len(r);

	if (n == 0)
		return;
	ASSERT(n <= UINT32_MAX - len);
	if (r->at != 0)
		memmove(r->p, r->p + r->at, len);
	r->p = obj_realloc(r->p, len + n);
	memcpy(r->p + len, p, n);
	r->at = 0;
	r->end = (uint32_t)(len + n);
}

void
io_run_prepend(struct io_run *r, const void *p, size_t n)
{
	struct io_run old = *r;

	if (n == 0)
		return;
	if (n <= old.at) {
		r->at -= (uint32_t)n;
		memcpy(r->p + r->at, p, n);
		return;
	}
	*r = (struct io_run){ .p = NULL };
	io_run_append(r, p, n);
	if (old.p != NULL)
		io_run_append(r, old.p + old.at, io_run_len(&old));
	free(old.p);
}
