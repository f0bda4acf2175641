/* For the tests of full maps and deltas: a world with users and nodes, and two policies. */
#ifndef TESTS_MAP_WORLD_FIXTURE_H
#define TESTS_MAP_WORLD_FIXTURE_H

#include "coord/map_delta.h"
#include "map_fixture.h"

#define FW_NODES_MAX 4096

struct fw {
	struct map users;
	struct map_world w;
	struct node *nodes[FW_NODES_MAX];	/* by id; NULL where there is none */
	int64_t last_id;
	int64_t mono_ms;
};

static inline uint32_t
fw_row_of(void *arg, const struct policy_class *c)
{
	(void)arg;
	return c->n_tags > 0 ? 2 : (uint32_t)c->key.user_id % 2;
}

static inline bool
fw_sees(void *arg, uint32_t a, uint32_t b)
{
	(void)arg;
	return a == b || a == 2 || b == 2;
}

/* The filter of a class: *arg is a version. */
static inline struct shbuf *
fw_filter_of(void *arg, const struct policy_class *c)
{
	char text[128];

	snprintf(text, sizeof(text), "[{\"SrcIPs\":[\"row %u version %d\"],\"DstPorts\":[]}]",
	    fw_row_of(NULL, c), *(int *)arg);
	return fx_shbuf(text);
}

/* Users 1..n_users. rules NULL: everybody sees everybody. */
static inline struct fw *
fw_new(int64_t n_users, const struct policy_class_rules *rules)
{
	struct fw *f = obj_alloc(sizeof(*f));

	MAP_INIT(&f->users, struct user, id);
	for (int64_t i = 1; i <= n_users; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user%lld", (long long)i);
		fx_user(&f->users, i, name);
	}
	struct map_world_params p = {
		.rules = rules != NULL ? rules : &policy_class_allow_all,
		.user_records = &f->users,
		.base_domain = "tail.example",
	};
	map_world_init(&f->w, &p);
	map_world_note_users(&f->w);
	map_world_note_text(&f->w, &f->w.derp, fx_shbuf("{\"Regions\":{}}"));
	map_world_note_text(&f->w, &f->w.dns, fx_shbuf("{\"Proxied\":true}"));
	map_world_publish(&f->w);
	f->mono_ms = 1000;
	return f;
}

static inline struct node *
fw_join(struct fw *f, int64_t user_id)
{
	int64_t id = ++f->last_id;

	assert_true(id < FW_NODES_MAX);
	struct node *n = f->nodes[id] = fx_node(id, user_id);
	map_world_add(&f->w, n, FX_NOW);
	map_world_note(&f->w, n, CHANGE_JOINED, FX_NOW);
	return n;
}

static inline void
fw_remove(struct fw *f, int64_t id)
{
	struct node *n = f->nodes[id];

	map_world_note(&f->w, n, CHANGE_REMOVED, FX_NOW);
	map_world_remove(&f->w, n);
	assert_null(n->map);
	fx_node_free(n);
	f->nodes[id] = NULL;
}

static inline void
fw_note(struct fw *f, struct node *n, uint32_t what)
{
	map_world_note(&f->w, n, what, FX_NOW);
}

static inline void
fw_free(struct fw *f)
{
	struct user *u;
	size_t cursor = 0;

	map_world_fini(&f->w);
	for (unsigned i = 0; i < FW_NODES_MAX; i++)
		if (f->nodes[i] != NULL)
			fx_node_free(f->nodes[i]);
	while ((u = map_next(&f->users, &cursor)) != NULL)
		free(u);
	map_fini(&f->users);
	free(f);
}

static inline json_t *
fw_full(struct fw *f, const struct node *viewer, struct map_full_result *res)
{
	struct map_segs segs = { .n = 0 };
	struct map_full_now now = { .mono_ms = f->mono_ms, .unix_s = FX_NOW };

	map_full_put(&f->w, viewer, &now, &segs, res);
	return fx_json_take(&segs);
}

static inline json_t *
fw_delta(struct fw *f, const struct node *viewer, uint64_t from)
{
	struct map_segs segs = { .n = 0 };

	map_delta_put(&f->w, viewer, from, viewer->map->class->filter, &segs);
	return fx_json_take(&segs);
}

#endif
