/* For the tests of full maps and deltas: a world with users, nodes and a policy. */
#ifndef TESTS_MAP_WORLD_FIXTURE_H
#define TESTS_MAP_WORLD_FIXTURE_H

#include "coord/map_delta.h"
#include "coord/map_policy.h"
#include "map_fixture.h"

#define FW_NODES_MAX 4096

struct fw {
	struct map users;
	struct dns_params dns;
	struct map_world w;
	struct node *nodes[FW_NODES_MAX];	/* by id; NULL where there is none */
	int64_t last_id;
	int64_t mono_ms;
};

/*
 * Users of odd numbers and those of even ones see their own kind; tagged nodes (tag:a, tag:b, tag:all) and
 * everybody see each other. version is the port that is open, so that filters tell it. more: further members,
 * with a comma behind each; "": none.
 */
static inline void
fw_policy_rows(struct buf *b, unsigned version, const char *more)
{
	buf_clear(b);
	buf_printf(b, "{ // rows version %u\n %s \"groups\": {", version, more);
	for (unsigned odd = 0; odd < 2; odd++) {
		buf_printf(b, "\"group:%s\": [", odd ? "odd" : "even");
		for (unsigned i = odd; i < 50; i += 2)
			buf_printf(b, "\"user%u@\",", i);
		buf_str(b, "],");
	}
	buf_str(b, "}, \"tagOwners\": {\"tag:a\": [], \"tag:b\": [], \"tag:all\": []}, \"acls\": [");
	for (unsigned odd = 0; odd < 2; odd++)
		buf_printf(b, "{\"action\": \"accept\", \"src\": [\"group:%s\"], \"dst\": [\"group:%s:%u\"]},",
		    odd ? "odd" : "even", odd ? "odd" : "even", version);
	buf_printf(b, "{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"tag:a:%u\", \"tag:b:%u\","
	    "\"tag:all:%u\"]}]}", version, version, version);
}

/* Does it say so of these? */
static inline bool
fw_rows_see(const struct node *a, const struct node *b)
{
	return a != b && (a->n_tags > 0 || b->n_tags > 0 || a->user_id % 2 == b->user_id % 2);
}

/* The policy; one reference. */
static inline struct policy *
fw_policy(const char *text)
{
	struct policy_errors errors = { .n = 0 };
	struct policy *p = NULL;

	if (policy_parse(text, strlen(text), &p, &errors) != ERR_OK)
		fail_msg("%s: line %u: %s", text, errors.v[0].line, errors.v[0].text);
	return p;
}

static inline void
fw_policy_set(struct fw *f, const char *text)
{
	struct policy *p = fw_policy(text);

	map_policy_set(&f->w, p);
	policy_drop(p);
}

/* Users 1..n_users. policy "": everybody sees everybody. */
static inline struct fw *
fw_new(int64_t n_users, const char *policy)
{
	struct fw *f = obj_alloc(sizeof(*f));

	MAP_INIT(&f->users, struct user, id);
	for (int64_t i = 1; i <= n_users; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user%lld", (long long)i);
		fx_user(&f->users, i, name);
	}
	struct map_world_params p = {
		.policy = fw_policy(policy),
		.server_url = "https://fairlead.example",
		.user_records = &f->users,
		.base_domain = "tail.example",
	};
	map_world_init(&f->w, &p);
	policy_drop(p.policy);
	map_world_note_users(&f->w);
	map_world_note_text(&f->w, &f->w.derp, fx_shbuf("{\"Regions\":{}}"));
	f->dns.base_domain = obj_strdup("tail.example");
	map_world_note_dns(&f->w, &f->dns);
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
	dns_params_fini(&f->dns);
	for (unsigned i = 0; i < FW_NODES_MAX; i++)
		if (f->nodes[i] != NULL)
			fx_node_free(f->nodes[i]);
	while ((u = map_next(&f->users, &cursor)) != NULL)
		free(u);
	map_fini(&f->users);
	free(f);
}

static inline json_t *
fw_full_to(struct fw *f, const struct node *viewer, struct map_sent *sent, struct map_full_result *res)
{
	struct map_segs segs = { .n = 0 };
	struct map_full_ask ask = { .mono_ms = f->mono_ms, .unix_s = FX_NOW, .sent = sent };

	map_full_put(&f->w, viewer, &ask, &segs, res);
	return fx_json_take(&segs);
}

static inline json_t *
fw_full(struct fw *f, const struct node *viewer, struct map_full_result *res)
{
	struct map_sent sent = { .bundle = NULL };
	json_t *map = fw_full_to(f, viewer, &sent, res);

	map_private_sent_fini(&sent);
	return map;
}

/* What a client has that was sent a full map now. */
static inline struct map_sent
fw_sent(struct fw *f, const struct node *viewer)
{
	struct map_sent sent = { .bundle = NULL };
	struct map_segs segs = { .n = 0 };
	struct json_writer jw;

	json_w_init(&jw, &f->w.scratch);
	json_w_obj_open(&jw, NULL);
	map_private_full_put(&f->w, &jw, viewer, &sent, &segs);
	buf_clear(&f->w.scratch);
	map_full_segs_fini(&segs);
	return sent;
}

/* The delta for a client that has what concerns it alone. The frames are the caller's. */
static inline struct map_segs
fw_delta_segs(struct fw *f, const struct node *viewer, uint64_t from)
{
	struct map_segs segs = { .n = 0 };
	struct map_sent sent = fw_sent(f, viewer);

	map_delta_put(&f->w, viewer, from, &sent, &segs);
	map_private_sent_fini(&sent);
	return segs;
}

static inline json_t *
fw_delta(struct fw *f, const struct node *viewer, uint64_t from)
{
	struct map_segs segs = fw_delta_segs(f, viewer, from);

	return fx_json_take(&segs);
}

#endif
