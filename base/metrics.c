/* Counters: each on a cache line of its own, since workers write different ones. */
#include "base/metrics.h"

#include <inttypes.h>
#include <string.h>

struct cell {
	_Alignas(64) _Atomic int64_t value;
};

static struct cell cells[METRIC_COUNT];

static const struct {
	const char *name;	/* with labels */
	const char *type, *help;
} rows[] = {
#define X(id, name, type, help) [METRIC_##id] = { name, type, help },
	METRICS_TABLE(X)
#undef X
};

void
metric_add(enum metric m, int64_t n)
{
	ASSERT((unsigned)m < METRIC_COUNT);
	atomic_fetch_add_explicit(&cells[m].value, n, memory_order_relaxed);
}

void
metric_set(enum metric m, int64_t v)
{
	ASSERT((unsigned)m < METRIC_COUNT);
	atomic_store_explicit(&cells[m].value, v, memory_order_relaxed);
}

int64_t
metric_get(enum metric m)
{
	ASSERT((unsigned)m < METRIC_COUNT);
	return atomic_load_explicit(&cells[m].value, memory_order_relaxed);
}

/* Length of the name without labels. */
static size_t
family_len(size_t row)
{
	return strcspn(rows[row].name, "{");
}

static bool
is_same_family(size_t a, size_t b)
{
	size_t n = family_len(a);

	return n == family_len(b) && memcmp(rows[a].name, rows[b].name, n) == 0;
}

static bool
is_first_of_family(size_t row)
{
	for (size_t i = 0; i < row; i++) {
		if (is_same_family(i, row))
			return false;
	}
	return true;
}

void
metrics_put(struct buf *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (!is_first_of_family(i))
			continue;
		int n = (int)family_len(i);
		buf_printf(out, "# HELP %.*s %s\n", n, rows[i].name, rows[i].help);
		buf_printf(out, "# TYPE %.*s %s\n", n, rows[i].name, rows[i].type);
		for (size_t k = i; k < METRIC_COUNT; k++) {
			if (is_same_family(i, k))
				buf_printf(out, "%s %" PRId64 "\n", rows[k].name,
				    metric_get((enum metric)k));
		}
	}
}
