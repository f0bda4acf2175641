/* links: coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/dns coord/dns_params coord/tag */
/* Proves: a filter sent in shared and private frames is the text that the policy has for the node, in full
 * maps and in deltas, and what is kept of filters is bounded. */
#include "map_world_fixture.h"

#define N_NODES 400

/* What the policy says, as one text. */
static json_t *
filter_of(const struct node *n)
{
	struct policy_node pn = policy_node_of(n);
	struct buf text = { 0 };

	policy_filter_put(&text, n->map->class->bundle->filter, &pn);
	json_t *v = json_loadb((const char *)text.p, text.len, 0, NULL);
	assert_non_null(v);
	buf_fini(&text);
	return v;
}

/* The message, taken apart, has exactly that filter. */
static void
check_filter(struct map_segs *take, const struct node *n)
{
	json_t *map = fx_json_take(take), *want = filter_of(n);

	fx_filters_check(json_object_get(map, "PacketFilters"), want);
	json_decref(map);
	json_decref(want);
}

static unsigned
same_frames(const struct map_segs *a, const struct map_segs *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n; i++)
		for (unsigned k = 0; k < b->n; k++)
			n += a->v[i] == b->v[k];
	return n;
}

/* Nodes of odd and of even users by turns, so that each filter lists hundreds of single addresses. */
static struct fw *
world(unsigned version)
{
	struct fw *f = fw_new(50, "");
	struct buf text = { 0 };

	fw_policy_rows(&text, version, "");
	fw_policy_set(f, buf_cstr(&text));
	buf_fini(&text);
	for (unsigned i = 0; i < N_NODES; i++)
		fw_join(f, i % 50 + 1);
	map_world_refresh(&f->w);
	map_world_publish(&f->w);
	return f;
}

static void
full_maps(void **state)
{
	struct fw *f = world(80);

	(void)state;
	assert_true(f->nodes[1]->map->class->bundle->filter->len > 2 * MAP_FILTER_LONG_BYTES);
	for (int64_t id = 1; id <= N_NODES; id += 7) {
		struct map_sent sent = { .bundle = NULL };
		struct map_full_ask ask = { .mono_ms = 1, .unix_s = FX_NOW, .sent = &sent };
		struct map_full_result res;
		struct map_segs segs = { .n = 0 };

		map_full_put(&f->w, f->nodes[id], &ask, &segs, &res);
		check_filter(&segs, f->nodes[id]);
		map_private_sent_fini(&sent);
	}
	fw_free(f);
}

static void
deltas_share(void **state)
{
	struct fw *f = world(80);
	struct node *one = f->nodes[1], *three = f->nodes[3];
	struct map_sent sent[2] = { fw_sent(f, one), fw_sent(f, three) };
	struct map_segs segs[2] = { { .n = 0 }, { .n = 0 } };
	uint64_t from = f->w.published;
	struct buf text = { 0 };

	(void)state;
	fw_policy_rows(&text, 443, "");
	fw_policy_set(f, buf_cstr(&text));
	buf_fini(&text);
	map_world_refresh(&f->w);
	map_world_publish(&f->w);
	map_delta_put(&f->w, one, from, &sent[0], &segs[0]);
	map_delta_put(&f->w, three, from, &sent[1], &segs[1]);
	assert_true(same_frames(&segs[0], &segs[1]) >= 1);
	check_filter(&segs[0], one);
	check_filter(&segs[1], three);
	map_private_sent_fini(&sent[0]);
	map_private_sent_fini(&sent[1]);
	fw_free(f);
}

/* A change that all peers are told of, behind a filter that only this one is told of. */
static void
delta_with_peers(void **state)
{
	struct fw *f = world(80);
	struct node *n = f->nodes[1];
	struct map_sent sent = { .bundle = NULL };	/* has nothing: is told all of its own */
	uint64_t from = f->w.published;
	struct map_segs segs = { .n = 0 };
	json_t *map;

	(void)state;
	f->nodes[3]->home_derp = 7;
	fw_note(f, f->nodes[3], CHANGE_HOME);
	map_world_publish(&f->w);
	sent = fw_sent(f, n);
	policy_bundle_drop(sent.bundle);
	sent.bundle = policy_bundle_hold(f->nodes[2]->map->class->bundle);
	map_delta_put(&f->w, n, from, &sent, &segs);
	map = fx_json_take(&segs);
	json_t *want = filter_of(n);
	fx_filters_check(json_object_get(map, "PacketFilters"), want);
	assert_int_equal(json_array_size(json_object_get(map, "PeersChangedPatch")), 1);
	json_decref(want);
	json_decref(map);
	map_private_sent_fini(&sent);
	fw_free(f);
}

/* A filter of 1 MiB with the node's address at the places told. */
static struct shbuf *
template_new(unsigned mark, bool has_first, bool has_last)
{
	struct shbuf *t = shbuf_alloc(1u << 20);

	memset(t->bytes, 'a' + (int)(mark % 26), t->len);
	if (has_first)
		t->bytes[0] = 1;
	t->bytes[t->len / 2] = 2;
	t->bytes[t->len / 2 + 1] = 1;
	if (has_last)
		t->bytes[t->len - 1] = 2;
	return t;
}

static void
kept_is_bounded(void **state)
{
	struct fw *f = fw_new(1, "");
	struct policy_node pn = policy_node_of(fw_join(f, 1));

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct shbuf *t = template_new(i, i & 1, i & 2);
		struct map_segs segs = { .n = 0 };
		struct buf want = { 0 }, got = { 0 };

		policy_filter_put(&want, t, &pn);
		map_filter_put(&f->w, t, &pn, &segs);
		map_full_segs_add(&segs, map_world_frame(&f->w));
		fx_text(segs.v, segs.n, &got);
		map_full_segs_fini(&segs);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.p, want.p, want.len);
		assert_true(f->w.filters.n_bytes <= MAP_FILTERS_BYTES);
		buf_fini(&want);
		buf_fini(&got);
		shbuf_drop(t);
	}
	assert_true(f->w.filters.by_template.count > 4 && f->w.filters.by_template.count < 17);
	fw_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_maps),
		cmocka_unit_test(deltas_share),
		cmocka_unit_test(delta_with_peers),
		cmocka_unit_test(kept_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
