/* Memory of nghttp2's sessions. */
#include "coord/h2_mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/obj.h"

static void
pages_free(struct h2_mem *m)
{
	ASSERT(munmap(m->pages, m->pages_bytes) == 0);
	m->pages = NULL;
}

static void
mem_free(void *p, void *arg)
{
	struct h2_mem *m = arg;

	if (p != NULL && p == m->pages)
		pages_free(m);
	else
		free(p);
}

static void *
mem_malloc(size_t n, void *arg)
{
	struct h2_mem *m = arg;
	void *p;

	if (n < H2_MEM_PAGES_BYTES || m->pages != NULL)
		return malloc(n);
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)	/* the kernel counts mappings */
		return malloc(n);
	m->pages = p;
	m->pages_bytes = n;
	return p;
}

static void *
mem_calloc(size_t n, size_t size, void *arg)
{
	(void)arg;
	return calloc(n, size);
}

static void *
mem_realloc(void *old, size_t n, void *arg)
{
	struct h2_mem *m = arg;
	void *p;

	if (old == NULL)
		return mem_malloc(n, m);
	if (old != m->pages)
		return realloc(old, n);
	if ((p = malloc(n)) == NULL)
		return NULL;
	memcpy(p, old, n < m->pages_bytes ? n : m->pages_bytes);
	pages_free(m);
	return p;
}

nghttp2_mem
h2_mem_of(struct h2_mem *m)
{
	return (nghttp2_mem){ m, mem_malloc, mem_free, mem_calloc, mem_realloc };
}
