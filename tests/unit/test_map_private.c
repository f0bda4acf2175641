/* links: coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/dns coord/dns_params coord/tag */
/* Proves: a client that applies what it is told of packet filters, as clients do, has the filter that the
 * policy gives its node, whatever comes, goes and changes; and of a long filter it is told only what
 * differs. */
#include "map_world_fixture.h"

struct client {
	struct node *n;
	struct map_sent sent;
	uint64_t seq;
	json_t *named;		/* owned: filters by name */
	size_t told_bytes;	/* of filters, with the last map */
	bool was_told;
};

static void
apply(struct client *c, json_t *map)
{
	json_t *filters = json_object_get(map, "PacketFilters");

	c->was_told = filters != NULL;
	c->told_bytes = 0;
	if (filters != NULL) {
		char *text = json_dumps(filters, JSON_COMPACT);

		c->told_bytes = strlen(text);
		free(text);
	}
	fx_filters_apply(c->named, filters);
	json_decref(map);
}

static void
connect_to(struct fw *f, struct client *c, struct node *n)
{
	struct map_full_result res;

	*c = (struct client){ .n = n, .named = json_object() };
	apply(c, fw_full_to(f, n, &c->sent, &res));
	c->seq = res.from;
}

static void
full_again(struct fw *f, struct client *c)
{
	struct map_full_result res;

	apply(c, fw_full_to(f, c->n, &c->sent, &res));
	c->seq = res.from;
}

static void
delta(struct fw *f, struct client *c)
{
	struct map_segs segs = { .n = 0 };

	map_world_publish(&f->w);
	map_delta_put(&f->w, c->n, c->seq, &c->sent, &segs);
	c->seq = f->w.published;
	c->was_told = false;
	if (segs.n > 0)
		apply(c, fx_json_take(&segs));
}

static void
client_fini(struct client *c)
{
	map_private_sent_fini(&c->sent);
	json_decref(c->named);
}

static void
check(struct client *c)
{
	struct policy_node pn = policy_node_of(c->n);
	struct buf text = { 0 };

	policy_filter_put(&text, c->n->map->class->bundle->filter, &pn);
	json_t *want = json_loadb((const char *)text.p, text.len, 0, NULL);
	assert_non_null(want);
	fx_filters_check(c->named, want);
	json_decref(want);
	buf_fini(&text);
}

/* Users 1 … 49 of the groups odd and even have nodes one after the other, so that addresses of a group are no
 * ranges. */
static struct fw *
scattered(int64_t n_nodes)
{
	struct buf b = { 0 };

	fw_policy_rows(&b, 1, "");
	struct fw *f = fw_new(49, buf_cstr(&b));
	for (int64_t i = 0; i < n_nodes; i++)
		fw_join(f, 1 + i % 49);
	map_world_publish(&f->w);
	buf_fini(&b);
	return f;
}

static void
parts(void **state)
{
	struct fw *f = scattered(1000);
	const struct policy_bundle *b = f->nodes[1]->map->class->bundle;
	const struct policy_filter_part *v;
	size_t n = policy_filter_parts(b, &v), sum = 0;

	(void)state;
	assert_true(b->filter->len > POLICY_FILTER_PARTS_MIN_BYTES && n > 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || v[i].name > v[i - 1].name);
		assert_int_equal(b->filter->bytes[v[i].begin], '{');
		assert_int_equal(b->filter->bytes[v[i].end - 1], '}');
		sum += v[i].end - v[i].begin;
	}
	assert_int_equal(sum + n + 1, b->filter->len);	/* commas and brackets */
	fw_free(f);
}

static void
followed(void **state)
{
	struct fw *f = scattered(1000);
	struct client c;
	struct buf b = { 0 };

	(void)state;
	connect_to(f, &c, f->nodes[1]);
	check(&c);
	assert_null(json_object_get(c.named, "base"));
	size_t all = c.told_bytes;

	fw_join(f, 3);			/* of its group */
	delta(f, &c);
	check(&c);
	assert_true(c.was_told);
	fw_remove(f, 500);
	fw_remove(f, 501);
	delta(f, &c);
	check(&c);
	f->nodes[1]->ip4.b[3] ^= 128;	/* in every hole of its filter */
	fw_note(f, f->nodes[1], CHANGE_WHOLE | CHANGE_SELF);
	delta(f, &c);
	check(&c);
	assert_true(c.told_bytes + 100 > all);
	/* Another policy: other names, then a short filter, and back. */
	fw_policy_rows(&b, 2, "");
	fw_policy_set(f, buf_cstr(&b));
	delta(f, &c);
	check(&c);
	fw_policy_set(f, "");
	delta(f, &c);
	check(&c);
	assert_non_null(json_object_get(c.named, "base"));
	assert_int_equal(json_object_size(c.named), 1);
	fw_policy_set(f, buf_cstr(&b));
	full_again(f, &c);
	check(&c);
	assert_null(json_object_get(c.named, "base"));
	fw_policy_set(f, "");
	full_again(f, &c);
	check(&c);
	assert_int_equal(json_object_size(c.named), 1);
	client_fini(&c);
	buf_fini(&b);
	fw_free(f);
}

/* Ten groups reach everybody on a port each; one more of one group is told with that group's rule. */
static void
little(void **state)
{
	enum { GROUPS = 10 };
	struct buf b = { 0 };
	struct client c;

	(void)state;
	buf_str(&b, "{\"groups\":{");
	for (unsigned g = 0; g < GROUPS; g++)
		buf_printf(&b, "%s\"group:g%u\":[\"user%u@\"]", g > 0 ? "," : "", g, g + 1);
	buf_str(&b, "},\"acls\":[");
	for (unsigned g = 0; g < GROUPS; g++)
		buf_printf(&b, "%s{\"action\":\"accept\",\"src\":[\"group:g%u\"],\"dst\":[\"*:%u\"]}",
		    g > 0 ? "," : "", g, 100 + g);
	buf_str(&b, "]}");
	struct fw *f = fw_new(GROUPS, buf_cstr(&b));
	for (int64_t i = 0; i < 600; i++)
		fw_join(f, 1 + i % GROUPS);
	map_world_publish(&f->w);
	connect_to(f, &c, f->nodes[1]);
	assert_int_equal(json_object_size(c.named), GROUPS);
	size_t all = c.told_bytes;

	fw_join(f, 4);
	delta(f, &c);
	check(&c);
	assert_true(c.was_told && c.told_bytes < all / 8);
	fw_note(f, f->nodes[7], CHANGE_ENDPOINTS);
	delta(f, &c);
	assert_false(c.was_told);
	client_fini(&c);
	buf_fini(&b);
	fw_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(followed),
		cmocka_unit_test(little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
