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

static bool
is_histogram(size_t row)
{
	return strcmp(rows[row].type, "histogram") == 0;
}

/* Length of the name without labels, and without what the rows of a histogram have behind it. */
static size_t
family_len(size_t row)
{
	const char *name = rows[row].name;
	size_t n = strcspn(name, "{");

	while (is_histogram(row) && name[n] != '_')
		n--;
	return n;
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

static bool
is_part(size_t row, const char *part)
{
	size_t n = strlen(part);

	return strncmp(rows[row].name + family_len(row), part, n) == 0;
}

/* One line; *total is what is in the buckets so far. */
static void
row_put(size_t row, int64_t *total, struct buf *out)
{
	int64_t v = metric_get((enum metric)row);

	if (is_histogram(row) && is_part(row, "_sum")) {
		buf_printf(out, "%s %" PRId64 ".%03d\n", rows[row].name, v / 1000, (int)(v % 1000));
		return;
	}
	if (is_histogram(row))
		v = *total += v;
	buf_printf(out, "%s %" PRId64 "\n", rows[row].name, v);
}

void
metrics_put(struct buf *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (!is_first_of_family(i))
			continue;
		int n = (int)family_len(i);
		int64_t total = 0;

		buf_printf(out, "# HELP %.*s %s\n", n, rows[i].name, rows[i].help);
		buf_printf(out, "# TYPE %.*s %s\n", n, rows[i].name, rows[i].type);
		for (size_t k = i; k < METRIC_COUNT; k++) {
			if (is_same_family(i, k))
				row_put(k, &total, out);
		}
	}
}
