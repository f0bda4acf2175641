/* links: coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/dns coord/dns_params coord/tag */
/* Proves: whatever happens in whatever order, and whatever the policies say meanwhile, clients that apply full
 * maps and deltas end with what a fresh full map says. */
#include "map_world_fixture.h"

#define VIEWERS 6
#define ROUNDS 100

struct viewer {
	struct fx_client client;
	uint64_t seq;
	struct map_sent sent;
	int64_t id;
	bool is_new;
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
	map_private_sent_fini(&v->sent);
}

static void
viewer_pull(struct fw *f, struct viewer *v)
{
	struct node *n = f->nodes[v->id];
	struct map_segs segs = { .n = 0 };
	struct map_full_result res;

	if (v->is_new || n->map->needs_full || map_delta_is_overrun(&f->w, v->seq)) {
		struct map_full_ask ask = { .mono_ms = f->mono_ms, .unix_s = FX_NOW, .sent = &v->sent,
			.is_again = !v->is_new && !map_delta_is_overrun(&f->w, v->seq), .seq = v->seq };

		if (!ask.is_again)
			json_object_clear(v->client.peers);	/* a new stream */
		map_full_put(&f->w, n, &ask, &segs, &res);
		fx_client_apply(&v->client, fx_json_take(&segs));
		v->seq = res.from;
		v->is_new = false;
	} else {
		map_delta_put(&f->w, n, v->seq, &v->sent, &segs);
		v->seq = f->w.published;
		if (segs.n > 0)
			fx_client_apply(&v->client, fx_json_take(&segs));
	}
}

/* What is advertised and approved, and of which the node is the primary. */
static void
random_routes(struct node *n, uint64_t *x)
{
	static const char *const all[][2] = { { "0.0.0.0/0", "0.0.0.0/0" }, { "10.1.0.0/16", "10.1.0.0/16!" },
		{ "10.1.5.0/24", "10.1.5.0/24!" }, { "10.2.0.0/16", "10.2.0.0/16!" }, { "::/0", "::/0" } };
	const char *some[COUNT_OF(all)];
	uint64_t set = dice(x, 4) == 0 ? 0 : dice(x, 32);
	unsigned k = 0;

	if (set & 17)			/* an exit node has both */
		set |= 17;
	for (unsigned i = 0; i < COUNT_OF(all); i++)
		if (set >> i & 1)
			some[k++] = all[i][dice(x, 2)];
	fx_routes(n, some, k);
}

/* What an administrator changes. Returns what is to be noted. */
static uint32_t
random_hard_change(struct node *n, uint64_t kind, uint64_t *x)
{
	static const char *const tags[2][1] = { { "tag:a" }, { "tag:b" } };

	switch (kind) {
	case 2:
		n->user_id = 1 + (int64_t)dice(x, 6);
		return CHANGE_WHOLE | CHANGE_SELF;
	case 3:
		fx_tags(n, tags[dice(x, 2)], (unsigned)dice(x, 2));
		return CHANGE_WHOLE | CHANGE_SELF;
	case 4:
		n->key_expiry_unix_s = dice(x, 2) ? FX_NOW + 10 - (int64_t)dice(x, 20) : 0;
		n->node_key.b[9] = (uint8_t)dice(x, 256);
		return CHANGE_KEY | CHANGE_SELF;
	case 17:
		n->is_authorized = dice(x, 3) != 0;
		return CHANGE_SELF;
	case 18:
		n->ip4.b[2] = (uint8_t)(128 + dice(x, 100));
		return CHANGE_WHOLE | CHANGE_SELF;
	case 19:
	case 20:
		random_routes(n, x);
		return CHANGE_WHOLE | CHANGE_SELF;
	default:
		return 0;
	}
}

static uint32_t
random_soft_change(struct node *n, uint64_t kind, uint64_t *x)
{
	uint32_t what = 0;

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
	if (kind >= 11 && kind < 16) {
		n->home_derp = (uint32_t)dice(x, 3);
		what |= CHANGE_HOME;
	}
	return what;
}

static void
random_change(struct fw *f, unsigned n_viewers, uint64_t *x)
{
	uint64_t kind = dice(x, 21);
	/* Hard changes meet in a few nodes. */
	bool is_hard = (kind >= 2 && kind < 5) || kind >= 17;
	struct node *n = f->nodes[1 + dice(x, is_hard ? 20 : (uint64_t)f->last_id)];

	if (n == NULL || kind == 0) {
		if (f->last_id + 1 < FW_NODES_MAX)
			fw_join(f, 1 + (int64_t)dice(x, 6));
	} else if (kind == 1 && n->id > n_viewers) {
		fw_remove(f, n->id);
	} else if (kind == 16) {
		map_world_note_health(&f->w, n, dice(x, 2) ? fx_shbuf("[\"ill\"]") : NULL);
	} else {
		uint32_t what = random_hard_change(n, kind, x) | random_soft_change(n, kind, x);

		fw_note(f, n, what);
	}
}

/* Everything that makes nodes see each other, or each other's routes, differently. */
#define FACTS "\"groups\": {\"group:odd\": [\"user1@\", \"user3@\", \"user5@\"]," \
	"\"group:even\": [\"user2@\", \"user4@\"]}, \"tagOwners\": {\"tag:a\": [], \"tag:b\": []},"
static const char *const policies[] = {
	"",
	"{ \"acls\": [] }",
	"{ // rows version 1\n" FACTS "\"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"group:odd\"], \"dst\": [\"group:odd:1\"]},"
	    "{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"tag:a:*\", \"tag:b:2\"]}]}",
	"{ // rows version 2\n" FACTS "\"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"group:odd\"], \"dst\": [\"group:odd:3\"]},"
	    "{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"tag:a:*\", \"tag:b:4\"]}],"
	    "\"nodeAttrs\": [{\"target\": [\"user1@\", \"tag:b\"], \"attr\": [\"disable-ipv4\"]},"
	    "{\"target\": [\"*\"], \"attr\": [\"suggest-exit-node\"]}]}",
	"{ // views version 3\n" FACTS "\"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:member:22\"]},"
	    "{\"action\": \"accept\", \"src\": [\"group:odd\"], \"dst\": [\"10.1.0.0/16:*\"]},"
	    "{\"action\": \"accept\", \"src\": [\"user2@\"],"
	    "\"dst\": [\"10.1.5.7:443\", \"autogroup:internet:*\"]},"
	    "{\"action\": \"accept\", \"src\": [\"10.2.0.0/16\"], \"dst\": [\"user4@:80\"]}],"
	    "\"ssh\": [{\"action\": \"accept\", \"src\": [\"user1@\"], \"dst\": [\"autogroup:self\"],"
	    "\"users\": [\"root\"]}]}",
	"{ // views version 3\n" FACTS "\"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:member:22\"]},"
	    "{\"action\": \"accept\", \"src\": [\"group:odd\"], \"dst\": [\"10.1.5.0/24:*\"]},"
	    "{\"action\": \"accept\", \"src\": [\"user2@\"], \"dst\": [\"10.1.0.0/16:443\"]},"
	    "{\"action\": \"accept\", \"src\": [\"10.2.0.0/16\"], \"dst\": [\"user4@:80\"]}]}",
	"{ // rows version 4\n" FACTS "\"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]},"
	    "{\"action\": \"accept\", \"src\": [\"tag:a\"], \"dst\": [\"*:*\"]}]}",
	"{ // views version 5\n" FACTS "\"grants\": ["
	    "{\"src\": [\"group:odd\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:a\"]},"
	    "{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"22\"]}]}",
};

/* What the client has is what a fresh client would get now. */
static void
compare(struct fw *f, struct viewer *v)
{
	struct viewer fresh = { .id = v->id, .is_new = true };
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
	static const char *const same[] = { "DERPMap", "DNSConfig", "PacketFilters", "SSHPolicy", "Health" };
	for (unsigned i = 0; i < COUNT_OF(same); i++)
		assert_true(json_equal(json_object_get(fresh.client.rest, same[i]),
		    json_object_get(v->client.rest, same[i])));
	static const char *const same_self[] = { "Key", "Tags", "Addresses", "AllowedIPs", "PrimaryRoutes",
		"CapMap", "KeyExpiry", "MachineAuthorized" };
	for (unsigned i = 0; i < COUNT_OF(same_self); i++) {
		json_t *a = json_object_get(json_object_get(fresh.client.rest, "Node"), same_self[i]);
		json_t *b = json_object_get(json_object_get(v->client.rest, "Node"), same_self[i]);

		assert_true(a == b || json_equal(a, b));
	}
	viewer_end(&fresh);
}

struct run {
	struct fw *f;
	struct viewer viewers[VIEWERS];
	uint64_t dice;
	unsigned policy;
};

static void
catch_up(struct run *r, struct viewer *v)
{
	do
		viewer_pull(r->f, v);
	while (v->seq < r->f->w.published);
}

/* All have caught up, and have what a fresh client would get. The same policy once more, evaluated from
 * nothing, says nothing else. */
static void
compare_all(struct run *r)
{
	for (unsigned i = 0; i < VIEWERS; i++) {
		catch_up(r, &r->viewers[i]);
		compare(r->f, &r->viewers[i]);
	}
	fw_policy_set(r->f, policies[r->policy]);
	map_world_publish(&r->f->w);
	for (unsigned i = 0; i < VIEWERS; i++) {
		assert_false(r->f->nodes[i + 1]->map->needs_full);
		compare(r->f, &r->viewers[i]);
	}
}

/* swaps: one change in so many is another policy; 0: none. */
static void
round_run(struct run *r, unsigned n_changes, unsigned swaps)
{
	for (unsigned i = 0; i < n_changes; i++) {
		random_change(r->f, VIEWERS, &r->dice);
		if (swaps > 0 && dice(&r->dice, swaps) == 0) {
			r->policy = (unsigned)dice(&r->dice, COUNT_OF(policies));
			fw_policy_set(r->f, policies[r->policy]);
		}
		if (dice(&r->dice, 4) == 0)	/* some are served between publications */
			viewer_pull(r->f, &r->viewers[dice(&r->dice, VIEWERS)]);
	}
	r->f->mono_ms += (int64_t)dice(&r->dice, 100);
	map_world_publish(&r->f->w);
	for (unsigned i = 0; i < VIEWERS; i++) {
		if (dice(&r->dice, 8) == 0)
			r->viewers[i].is_new = true;	/* reconnects */
		if (dice(&r->dice, 3) != 0)
			viewer_pull(r->f, &r->viewers[i]);
	}
}

static void
property(unsigned policy, unsigned swaps, uint64_t seed)
{
	struct run r = { .f = fw_new(6, policies[policy]), .dice = seed, .policy = policy };

	for (unsigned i = 0; i < 150; i++)
		fw_join(r.f, 1 + i % 6);
	for (unsigned i = 0; i < VIEWERS; i++) {
		r.viewers[i].id = i + 1;
		r.viewers[i].is_new = true;
		fx_client_init(&r.viewers[i].client);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		round_run(&r, 1 + (unsigned)dice(&r.dice, round % 40 == 0 ? 200 : 6), swaps);
		if (round % 10 == 9)
			compare_all(&r);
	}
	for (unsigned i = 0; i < VIEWERS; i++)
		viewer_end(&r.viewers[i]);
	fw_free(r.f);
}

static void
property_one_policy(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT_OF(policies); i++)
		property(i, 0, (i + 1) * 0x9e3779b97f4a7c15u);
}

static void
property_policies_change(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 13; seed++)
		property((unsigned)seed % COUNT_OF(policies), 12, seed * 0x9e3779b97f4a7c15u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(property_one_policy),
		cmocka_unit_test(property_policies_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
