/* Lists of numbers, and things found by their bytes: what policy worlds are built with. */
#include <string.h>

#include "coord/policy_world_private.h"

void
pw_list_fini(struct pw_list *l)
{
	free(l->v);
	*l = (struct pw_list){ 0 };
}

void
pw_list_add(struct pw_list *l, uint32_t x)
{
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 8 : 2 * l->cap;
		l->v = obj_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = x;
}

static int
compare_numbers(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

void
pw_list_tidy(struct pw_list *l)
{
	uint32_t n = 0;
	bool is_tidy = true;

	for (uint32_t i = 1; i < l->n && is_tidy; i++)
		is_tidy = l->v[i - 1] < l->v[i];
	if (is_tidy)
		return;
	qsort(l->v, l->n, sizeof(*l->v), compare_numbers);
	for (uint32_t i = 0; i < l->n; i++) {
		if (n == 0 || l->v[n - 1] != l->v[i])
			l->v[n++] = l->v[i];
	}
	l->n = n;
}

bool
pw_list_has(const struct pw_list *l, uint32_t x)
{
	return l->n > 0 && bsearch(&x, l->v, l->n, sizeof(*l->v), compare_numbers) != NULL;
}

void
pw_intern_map(struct map *m)
{
	MAP_INIT(m, struct pw_intern, id);
}

/* Different bytes may have the same hash, however unlikely: salt makes them differ. */
struct pw_intern *
pw_intern_find(const struct map *m, const void *p, size_t n)
{
	struct pw_intern probe = { .id = { .hash = map_hash(p, n) } };
	struct pw_intern *found;

	for (; (found = map_find(m, &probe.id)) != NULL; probe.id.salt++) {
		if (found->n_bytes == n && (n == 0 || memcmp(found->bytes, p, n) == 0))
			break;
	}
	return found;
}

void
pw_intern_put(struct map *m, struct pw_intern *object, const void *p, size_t n)
{
	object->id.hash = map_hash(p, n);
	object->id.salt = 0;
	while (map_find(m, &object->id) != NULL)
		object->id.salt++;
	object->bytes = obj_alloc(n + 1);
	if (n > 0)
		memcpy(object->bytes, p, n);
	object->n_bytes = n;
	(void)map_put(m, object);
}

/* One with the next salt is no longer found then, and made once more if it is wanted: no harm. */
void
pw_intern_remove(struct map *m, struct pw_intern *object)
{
	(void)map_remove(m, &object->id);
	free(object->bytes);
	object->bytes = NULL;
	object->n_bytes = 0;
}
