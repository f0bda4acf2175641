/* links: coord/map_delta coord/map_full coord/map_world coord/map_chunk coord/map_peer coord/map_zstd coord/policy_class coord/tag */
/* Proves: whatever happens in whatever order, clients that apply full maps and deltas end with
 * what a fresh full map says. */
#include "map_world_fixture.h"

struct viewer {
	struct fx_client client;
	uint64_t seq;
	struct shbuf *filter;
	int64_t id;
	bool needs_full;
};

static uint64_t
dice(uint64_t *x, uint64_t n)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x % n;
}

static void
viewer_end(struct viewer *v)
{
	fx_client_fini(&v->client);
	shbuf_drop(v->filter);
}

static void
filter_set(struct viewer *v, struct shbuf *filter)
{
	shbuf_hold(filter);
	shbuf_drop(v->filter);
	v->filter = filter;
}

static void
viewer_pull(struct fw *f, struct viewer *v)
{
	struct node *n = f->nodes[v->id];
	struct map_segs segs = { .n = 0 };
	struct map_full_result res;

	if (v->needs_full || map_delta_is_overrun(&f->w, v->seq)) {
		json_t *map = fw_full(f, n, &res);

		json_object_clear(v->client.peers);	/* a new stream */
		fx_client_apply(&v->client, map);
		v->seq = res.from;
		v->needs_full = false;
	} else {
		map_delta_put(&f->w, n, v->seq, v->filter, &segs);
		v->seq = f->w.published;
		if (segs.n > 0)
			fx_client_apply(&v->client, fx_json_take(&segs));
	}
	filter_set(v, n->map->class->filter);
}

static void
random_change(struct fw *f, struct viewer *viewers, unsigned n_viewers, uint64_t *x)
{
	static const char *const tags[2][1] = { { "tag:a" }, { "tag:b" } };
	struct node *n = f->nodes[1 + dice(x, (uint64_t)f->last_id)];
	uint64_t kind = dice(x, 16);
	uint32_t what = 0;

	if (n == NULL || kind == 0) {
		if (f->last_id + 1 < FW_NODES_MAX)
			fw_join(f, 1 + (int64_t)dice(x, 6));
		return;
	}
	if (kind == 1 && n->id > n_viewers) {
		fw_remove(f, n->id);
		return;
	}
	if (kind == 2) {
		n->user_id = 1 + (int64_t)dice(x, 6);
		what |= CHANGE_WHOLE | CHANGE_SELF;
	}
	if (kind == 3) {
		fx_tags(n, tags[dice(x, 2)], (unsigned)dice(x, 2));
		what |= CHANGE_WHOLE | CHANGE_SELF;
	}
	if (kind == 4) {
		n->key_expiry_unix_s = dice(x, 2) ? FX_NOW + 10 - (int64_t)dice(x, 20) : 0;
		n->node_key.b[9] = (uint8_t)dice(x, 256);
		what |= CHANGE_KEY | CHANGE_SELF;
	}
	if (kind == 5 || kind == 6) {
		n->is_online = !n->is_online;
		n->last_seen_unix_s = FX_NOW + (int64_t)dice(x, 100);
		what |= CHANGE_ONLINE;
	}
	if (kind == 7 || kind == 6) {
		n->disco_key.b[9] = (uint8_t)dice(x, 256);
		what |= CHANGE_DISCO;
	}
	if (kind >= 8 && kind < 12) {
		fx_endpoint(n, (uint16_t)dice(x, 60000));
		what |= CHANGE_ENDPOINTS;
	}
	if (kind >= 11) {
		n->home_derp = (uint32_t)dice(x, 3);
		what |= CHANGE_HOME;
	}
	if (map_world_note(&f->w, n, what, FX_NOW) && n->id <= n_viewers)
		viewers[n->id - 1].needs_full = true;
}

/* What the client has is what a fresh client would get now. */
static void
compare(struct fw *f, struct viewer *v)
{
	struct viewer fresh = { .id = v->id, .needs_full = true };
	const char *id;
	json_t *profile;

	fx_client_init(&fresh.client);
	f->mono_ms += MAP_CHUNK_STALE_MS;
	viewer_pull(f, &fresh);
	assert_int_equal(fresh.seq, f->w.published);
	fx_client_normalise(&fresh.client);
	fx_client_normalise(&v->client);
	if (!json_equal(fresh.client.peers, v->client.peers)) {
		char *a = json_dumps(fresh.client.peers, JSON_SORT_KEYS | JSON_INDENT(1));
		char *b = json_dumps(v->client.peers, JSON_SORT_KEYS | JSON_INDENT(1));
		fail_msg("viewer %lld\nfresh %s\nhas %s", (long long)v->id, a, b);
	}
	/* profiles are never taken back: those of a fresh client are among them, with the same
	 * names */
	json_object_foreach(fresh.client.profiles, id, profile)
		assert_true(json_equal(profile, json_object_get(v->client.profiles, id)));
	static const char *const same[] = { "DERPMap", "DNSConfig", "PacketFilters" };
	for (unsigned i = 0; i < COUNT_OF(same); i++)
		assert_true(json_equal(json_object_get(fresh.client.rest, same[i]),
		    json_object_get(v->client.rest, same[i])));
	json_t *a = json_object_get(json_object_get(fresh.client.rest, "Node"), "Key");
	assert_true(json_equal(a, json_object_get(json_object_get(v->client.rest, "Node"), "Key")));
	viewer_end(&fresh);
}

static void
property(const struct policy_class_rules *rules, uint64_t seed)
{
	enum { VIEWERS = 6, ROUNDS = 120 };
	struct fw *f = fw_new(6, rules);
	struct viewer viewers[VIEWERS] = { { .id = 0 } };
	uint64_t x = seed;

	for (unsigned i = 0; i < 150; i++)
		fw_join(f, 1 + i % 6);
	for (unsigned i = 0; i < VIEWERS; i++) {
		viewers[i].id = i + 1;
		viewers[i].needs_full = true;
		fx_client_init(&viewers[i].client);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned n = 1 + (unsigned)dice(&x, round % 40 == 0 ? 200 : 6);

		for (unsigned i = 0; i < n; i++) {
			random_change(f, viewers, VIEWERS, &x);
			if (dice(&x, 4) == 0)	/* some are served between publications */
				viewer_pull(f, &viewers[dice(&x, VIEWERS)]);
		}
		f->mono_ms += (int64_t)dice(&x, 100);
		map_world_publish(&f->w);
		for (unsigned i = 0; i < VIEWERS; i++) {
			if (dice(&x, 8) == 0)
				viewers[i].needs_full = true;	/* reconnects */
			if (dice(&x, 3) != 0)
				viewer_pull(f, &viewers[i]);
		}
		if (round % 10 == 9)
			for (unsigned i = 0; i < VIEWERS; i++) {
				do
					viewer_pull(f, &viewers[i]);
				while (viewers[i].seq < f->w.published);
				compare(f, &viewers[i]);
			}
	}
	for (unsigned i = 0; i < VIEWERS; i++)
		viewer_end(&viewers[i]);
	fw_free(f);
}

static void
property_allow_all(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++)
		property(NULL, seed * 0x9e3779b97f4a7c15u);
}

static void
property_rows(void **state)
{
	int version = 1;
	const struct policy_class_rules rules = { .arg = &version, .row_of = fw_row_of,
		.sees = fw_sees, .filter_of = fw_filter_of };

	(void)state;
	for (uint64_t seed = 11; seed <= 12; seed++)
		property(&rules, seed * 0x9e3779b97f4a7c15u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(property_allow_all),
		cmocka_unit_test(property_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
