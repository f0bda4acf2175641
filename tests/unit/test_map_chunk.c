/* links: coord/map_chunk coord/map_peer coord/node_attr coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tag */
/* Proves: chunks stay sorted and reasonably full whatever comes and goes, and frames are dropped
 * or marked stale when they must be. */
#include "map_fixture.h"

#define NODES_MAX 2000

struct fx {
	struct map_group *g;
	struct map_node nodes[NODES_MAX];
	struct node records[NODES_MAX];
};

static struct fx *
fx_new(void)
{
	struct fx *f = obj_alloc(sizeof(*f));

	f->g = map_chunk_group_new(0);
	for (unsigned i = 0; i < NODES_MAX; i++) {
		f->records[i].id = i + 1;
		f->nodes[i].node = &f->records[i];
		f->nodes[i].owner_id = i % 5;
	}
	return f;
}

static void
fx_free(struct fx *f)
{
	for (unsigned i = 0; i < NODES_MAX; i++)
		free(f->nodes[i].fragment);
	map_chunk_group_free(f->g);
	free(f);
}

/* Sorted, counted, linked, none empty; returns the number of chunks. */
static unsigned
check(const struct fx *f)
{
	size_t n = 0, owned = 0, cursor = 0;
	int64_t last = 0;
	const struct map_owner *o;

	for (unsigned i = 0; i < f->g->n_chunks; i++) {
		const struct map_chunk *c = f->g->chunks[i];

		assert_true(c->n > 0 && c->n <= MAP_CHUNK_NODES);
		if (i > 0)
			assert_true(c->n + f->g->chunks[i - 1]->n > MAP_CHUNK_JOIN ||
			    c->n == MAP_CHUNK_NODES);
		for (unsigned k = 0; k < c->n; k++) {
			assert_true(c->nodes[k]->node->id > last);
			last = c->nodes[k]->node->id;
			assert_ptr_equal(c->nodes[k]->chunk, c);
		}
		n += c->n;
	}
	assert_int_equal(n, f->g->n_nodes);
	while ((o = map_next(&f->g->owners, &cursor)) != NULL)
		owned += o->n_nodes;
	assert_int_equal(owned, n);
	return f->g->n_chunks;
}

static void
fills_up(void **state)
{
	struct fx *f = fx_new();

	(void)state;
	for (unsigned i = 0; i < NODES_MAX; i++)
		map_chunk_add(f->g, &f->nodes[i], 1);
	assert_int_equal(check(f), (NODES_MAX + MAP_CHUNK_NODES - 1) / MAP_CHUNK_NODES);
	for (unsigned i = 0; i < NODES_MAX; i++)
		if (i % 8 != 0)
			map_chunk_remove(&f->nodes[i]);
	/* 250 left: joined as the bound in the header says */
	assert_true(check(f) <= 250 / (MAP_CHUNK_JOIN / 2) + 1);
	for (unsigned i = 0; i < NODES_MAX; i += 8)
		map_chunk_remove(&f->nodes[i]);
	assert_int_equal(check(f), 0);
	assert_int_equal(f->g->owners.count, 0);
	fx_free(f);
}

static void
any_order(void **state)
{
	struct fx *f = fx_new();
	uint64_t x = 88172645463325252u;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		struct map_node *mn = &f->nodes[x % NODES_MAX];

		if (mn->chunk == NULL)
			map_chunk_add(f->g, mn, 1);
		else if (x >> 62 != 0)
			map_chunk_remove(mn);
		if (round % 500 == 0)
			for (unsigned i = 0; i < f->g->n_chunks; i++)
				assert_true(f->g->chunks[i]->n > 0);
	}
	size_t n = f->g->n_nodes;
	assert_true(check(f) <= n / (MAP_CHUNK_JOIN / 2) + 1);
	fx_free(f);
}

static void
give_frame(struct map_frame *f, int64_t made_ms)
{
	shbuf_drop(f->frame);
	*f = (struct map_frame){ .frame = fx_shbuf("frame"), .made_ms = made_ms };
}

static void
staleness(void **state)
{
	struct fx *f = fx_new();
	uint64_t from = 100;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		map_chunk_add(f->g, &f->nodes[i], 1);
	struct map_chunk *c = f->g->chunks[0];
	assert_false(map_chunk_frame_usable(&c->f, 0, &from));
	give_frame(&c->f, 1000);
	assert_true(map_chunk_frame_usable(&c->f, 100000, &from));
	assert_int_equal(from, 100);

	/* changed: usable for a window after it was made, from the sequence before the first
	 * change */
	map_chunk_touch(&f->nodes[3], 42);
	map_chunk_touch(&f->nodes[4], 50);
	assert_true(map_chunk_frame_usable(&c->f, 1000 + MAP_CHUNK_STALE_MS - 1, &from));
	assert_int_equal(from, 41);
	assert_false(map_chunk_frame_usable(&c->f, 1000 + MAP_CHUNK_STALE_MS, &from));
	from = 7;
	assert_true(map_chunk_frame_usable(&c->f, 1000, &from));
	assert_int_equal(from, 7);

	/* a newcomer is lacking likewise; who leaves takes the frame along at once */
	give_frame(&c->f, 1000);
	map_chunk_add(f->g, &f->nodes[10], 60);
	from = 100;
	assert_true(map_chunk_frame_usable(&c->f, 1000, &from));
	assert_int_equal(from, 59);
	map_chunk_remove(&f->nodes[0]);
	assert_false(map_chunk_frame_usable(&c->f, 1000, &from));
	fx_free(f);
}

/* A frame for each view: all are stale together, go together, and are never many. */
static void
views(void **state)
{
	struct fx *f = fx_new();
	uint64_t from = 100;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		map_chunk_add(f->g, &f->nodes[i], 1);
	struct map_chunk *c = f->g->chunks[0];
	assert_ptr_equal(map_chunk_frame(c, 0), &c->f);
	assert_false(map_chunk_frame_usable(map_chunk_frame(c, 7), 0, &from));
	give_frame(map_chunk_frame(c, 0), 1000);
	give_frame(map_chunk_frame(c, 7), 1000);
	give_frame(map_chunk_frame(c, 9), 1000);
	assert_true(map_chunk_frame(c, 7) != map_chunk_frame(c, 9));
	assert_true(map_chunk_frame_usable(map_chunk_frame(c, 7), 1000, &from));
	map_chunk_touch(&f->nodes[3], 42);
	assert_true(map_chunk_frame_usable(map_chunk_frame(c, 9), 1000, &from));
	assert_int_equal(from, 41);
	for (uint32_t id = 1; id < 100; id++) {
		give_frame(map_chunk_frame(c, id), 1000);
		assert_true(c->n_views <= MAP_CHUNK_VIEWS);
	}
	map_chunk_views_drop(c);
	assert_false(map_chunk_frame_usable(map_chunk_frame(c, 99), 1000, &from));
	assert_true(map_chunk_frame_usable(map_chunk_frame(c, 0), 1000, &from));
	give_frame(map_chunk_frame(c, 99), 1000);
	map_chunk_remove(&f->nodes[3]);
	assert_int_equal(c->n_views, 0);
	assert_null(c->f.frame);
	fx_free(f);
}

static void
profiles_follow_owners(void **state)
{
	struct fx *f = fx_new();
	uint64_t from = 100;

	(void)state;
	map_chunk_add(f->g, &f->nodes[0], 1);
	give_frame(&f->g->profiles, 0);
	map_chunk_add(f->g, &f->nodes[5], 10);		/* the same owner */
	assert_true(map_chunk_frame_usable(&f->g->profiles, 0, &from));
	assert_int_equal(from, 100);
	map_chunk_add(f->g, &f->nodes[1], 20);		/* another */
	assert_true(map_chunk_frame_usable(&f->g->profiles, 0, &from));
	assert_int_equal(from, 19);
	map_chunk_remove(&f->nodes[0]);
	assert_non_null(f->g->profiles.frame);
	map_chunk_remove(&f->nodes[1]);
	assert_null(f->g->profiles.frame);
	fx_free(f);
}

static void
text_without_one(void **state)
{
	struct map_group *g = map_chunk_group_new(0);
	struct map_node mn[3] = { { .magic = MAP_NODE_MAGIC } };
	struct node *n[3];
	struct map_look look = { .base_domain = "t" };
	struct buf b = { 0 };
	json_error_t e;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		n[i] = fx_node(i + 1, 1);
		mn[i].node = n[i];
		map_chunk_add(g, &mn[i], 1);
	}
	for (unsigned i = 0; i < 4; i++) {
		buf_clear(&b);
		buf_byte(&b, '[');
		assert_int_equal(map_chunk_put(&b, g->chunks[0], i < 3 ? &mn[i] : NULL, &look),
		    i < 3 ? 2 : 3);
		buf_byte(&b, ']');
		json_t *v = json_loads(buf_cstr(&b), 0, &e);
		assert_int_equal(json_array_size(v), i < 3 ? 2 : 3);
		json_decref(v);
	}
	/* made once: a change of the record shows only after a touch */
	n[0]->is_online = true;
	buf_clear(&b);
	map_chunk_put(&b, g->chunks[0], NULL, &look);
	assert_null(strstr(buf_cstr(&b), "\"Online\":true"));
	map_chunk_touch(&mn[0], 2);
	buf_clear(&b);
	map_chunk_put(&b, g->chunks[0], NULL, &look);
	assert_non_null(strstr(buf_cstr(&b), "\"Online\":true"));
	for (unsigned i = 0; i < 3; i++) {
		map_chunk_remove(&mn[i]);
		free(mn[i].fragment);
		fx_node_free(n[i]);
	}
	assert_int_equal(g->n_chunks, 0);
	map_chunk_group_free(g);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_up),
		cmocka_unit_test(any_order),
		cmocka_unit_test(staleness),
		cmocka_unit_test(views),
		cmocka_unit_test(profiles_follow_owners),
		cmocka_unit_test(text_without_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
