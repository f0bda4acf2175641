/* Classes of nodes, found by owner or by set of tags; the rules of the tailnet without a policy. */
#include "coord/policy_class.h"

#include <string.h>

#include "coord/tag.h"

#define WAITING_ID (-1)		/* in place of a user's */

/* tailcfg.FilterRule: any source, any destination and port; IPProto absent = TCP, UDP, ICMP. */
static const char allow_all_filter[] =
	"[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\","
	"\"Ports\":{\"First\":0,\"Last\":65535}}]}]";

static uint32_t
allow_all_row_of(void *arg, const struct policy_class *c)
{
	(void)arg;
	(void)c;
	return 0;
}

static bool
allow_all_sees(void *arg, uint32_t row_a, uint32_t row_b)
{
	(void)arg;
	(void)row_a;
	(void)row_b;
	return true;
}

static struct shbuf *
allow_all_filter_of(void *arg, const struct policy_class *c)
{
	(void)arg;
	(void)c;
	return shbuf_new(allow_all_filter, sizeof(allow_all_filter) - 1);
}

const struct policy_class_rules policy_class_allow_all = {
	.row_of = allow_all_row_of,
	.sees = allow_all_sees,
	.filter_of = allow_all_filter_of,
};

void
policy_class_init(struct policy_class_table *t, const struct policy_class_rules *rules)
{
	*t = (struct policy_class_table){ .rules = *rules };
	MAP_INIT(&t->_by_key, struct policy_class, key);
}

static void
class_free(struct policy_class *c)
{
	tag_list_free(c->tags, c->n_tags);
	shbuf_drop(c->filter);
	c->magic = 0;
	free(c);
}

void
policy_class_fini(struct policy_class_table *t)
{
	size_t cursor = 0;
	struct policy_class *c;

	while ((c = map_next(&t->_by_key, &cursor)) != NULL)
		class_free(c);
	map_fini(&t->_by_key);
}

static bool
tags_eq(const struct policy_class *c, const struct node *n)
{
	return tag_list_eq(c->tags, c->n_tags, n->tags, n->n_tags);
}

bool
policy_class_has(const struct policy_class *c, const struct node *n)
{
	if (c->row == POLICY_CLASS_ROW_WAITING || !n->is_authorized)
		return c->row == POLICY_CLASS_ROW_WAITING && !n->is_authorized;
	return n->n_tags > 0 ? tags_eq(c, n) : c->n_tags == 0 && c->key.user_id == n->user_id;
}

/* Different sets of tags may have the same hash, however unlikely: salt makes them differ. */
static uint64_t
tags_hash(const struct node *n, uint64_t salt)
{
	struct buf b = { 0 };

	buf_append(&b, &salt, sizeof(salt));
	for (unsigned i = 0; i < n->n_tags; i++)
		buf_append(&b, n->tags[i], strlen(n->tags[i]) + 1);
	uint64_t h = map_hash(b.p, b.len);
	buf_fini(&b);
	return h;
}

/* Nothing may come in to a node that waits. */
static struct shbuf *
filter_of(const struct policy_class_table *t, const struct policy_class *c)
{
	return c->row == POLICY_CLASS_ROW_WAITING ? shbuf_new("[]", 2) :
	    t->rules.filter_of(t->rules.arg, c);
}

static struct policy_class *
class_new(struct policy_class_table *t, const struct policy_class *proto, const struct node *n)
{
	struct policy_class *c = obj_alloc(sizeof(*c));

	c->magic = POLICY_CLASS_MAGIC;
	c->key = proto->key;
	if (c->key.user_id == WAITING_ID) {
		c->row = POLICY_CLASS_ROW_WAITING;
	} else {
		tag_list_copy((const char *const *)n->tags, n->n_tags, &c->tags, &c->n_tags);
		c->row = t->rules.row_of(t->rules.arg, c) + 1;
	}
	c->filter = filter_of(t, c);
	map_put(&t->_by_key, c);
	return c;
}

struct policy_class *
policy_class_join(struct policy_class_table *t, const struct node *n)
{
	struct policy_class proto = { .magic = 0 }, *c = NULL;

	if (!n->is_authorized) {
		proto.key.user_id = WAITING_ID;
		c = map_find(&t->_by_key, &proto.key);
	} else if (n->n_tags == 0) {
		proto.key.user_id = n->user_id;
		c = map_find(&t->_by_key, &proto.key);
	} else {
		for (uint64_t salt = 0;; salt++) {
			proto.key.tags_hash = tags_hash(n, salt);
			c = map_find(&t->_by_key, &proto.key);
			if (c == NULL || tags_eq(c, n))
				break;
		}
	}
	if (c == NULL)
		c = class_new(t, &proto, n);
	c->n_nodes++;
	return c;
}

void
policy_class_leave(struct policy_class_table *t, struct policy_class *c)
{
	OBJ_CHECK(c, POLICY_CLASS_MAGIC);
	ASSERT(c->n_nodes > 0);
	if (--c->n_nodes > 0)
		return;
	map_remove(&t->_by_key, &c->key);
	class_free(c);
}

void
policy_class_refilter(struct policy_class_table *t)
{
	size_t cursor = 0;
	struct policy_class *c;

	while ((c = map_next(&t->_by_key, &cursor)) != NULL) {
		struct shbuf *old = c->filter;

		c->filter = filter_of(t, c);
		shbuf_drop(old);
	}
}
