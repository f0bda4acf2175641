/*
 * The rule is that of people who run K3s under a policy of their own: source and destination are
 * the nodes' tag and the range of the pods, whose packets keep their addresses on the way.
 */
#include "coord/cluster_policy.h"

#include <string.h>

#include "coord/hujson_edit.h"

#define OWNERS	"[\"autogroup:admin\"]"
#define PEOPLE	"{\n\t\"action\": \"accept\",\n\t\"src\": [\"autogroup:member\"],\n" \
	"\t\"dst\": [\"autogroup:member:*\", \"autogroup:internet:*\"]\n}"

static const struct hujson_path owners = { { "tagOwners" }, 1 }, acls = { { "acls" }, 1 };
static const char *const routes_at[] = { "autoApprovers", "routes" };

static enum err
unless(enum err rc, enum err harmless)
{
	return rc == harmless ? ERR_OK : rc;
}

static struct hujson_path
routes_of(const char *prefix)
{
	return (struct hujson_path){ { routes_at[0], routes_at[1], prefix }, prefix != NULL ? 3 : 2 };
}

static void
put_quoted(struct buf *b, const char *text)
{
	buf_printf(b, "\"%s\"", text);		/* tags and prefixes need no escapes */
}

static void
put_sides(struct buf *b, const struct cluster *c, const char *behind)
{
	static const enum cluster_range pods[] = { CLUSTER_POD4, CLUSTER_POD6 };
	char text[NET_TEXT_MAX];

	buf_printf(b, "[\"%s%s\"", c->tag, behind);
	for (unsigned i = 0; i < COUNT_OF(pods); i++)
		if (c->range[pods[i]].ip.family != 0)
			buf_printf(b, ", \"%s%s\"", net_prefix_put(&c->range[pods[i]], text), behind);
	buf_byte(b, ']');
}

static void
put_rule(struct buf *b, const struct cluster *c)
{
	buf_str(b, "{\n\t\"action\": \"accept\",\n\t\"src\": ");
	put_sides(b, c, "");
	buf_str(b, ",\n\t\"dst\": ");
	put_sides(b, c, ":*");
	buf_str(b, "\n}");
}

static enum err
add_tags(struct buf *text, const struct cluster *c, const struct cluster_policy_how *how, struct err_text *why)
{
	bool has_owners = hujson_edit_count(text, &owners) > 0;
	enum err rc = unless(hujson_edit_member(text, &owners, c->tag, OWNERS, why), ERR_EXISTS);

	for (unsigned i = 0; rc == ERR_OK && !has_owners && i < how->n_tags; i++)
		rc = unless(hujson_edit_member(text, &owners, how->tags[i], OWNERS, why), ERR_EXISTS);
	return rc;
}

static enum err
add_route(struct buf *text, const struct cluster *c, const struct net_prefix *p, struct err_text *why)
{
	struct hujson_path all = routes_of(NULL), one;
	struct buf value = { .len = 0 };
	char prefix[NET_TEXT_MAX];
	enum err rc;

	if (p->ip.family == 0)
		return ERR_OK;
	one = routes_of(net_prefix_put(p, prefix));
	buf_printf(&value, "[\"%s\"]", c->tag);
	if ((rc = hujson_edit_member(text, &all, prefix, buf_cstr(&value), why)) == ERR_EXISTS) {
		buf_clear(&value);
		put_quoted(&value, c->tag);
		rc = unless(hujson_edit_entry(text, &one, buf_cstr(&value), why), ERR_EXISTS);
	}
	buf_fini(&value);
	return rc;
}

enum err
cluster_policy_add(struct buf *text, const struct cluster *c, const struct cluster_policy_how *how,
	struct err_text *why)
{
	struct buf rule = { .len = 0 };
	enum err rc;

	if ((rc = add_tags(text, c, how, why)) != ERR_OK ||
	    (rc = add_route(text, c, &c->range[CLUSTER_POD4], why)) != ERR_OK ||
	    (rc = add_route(text, c, &c->range[CLUSTER_POD6], why)) != ERR_OK ||
	    (!how->has_rules && !how->is_isolated))
		return rc;
	put_rule(&rule, c);
	rc = unless(hujson_edit_entry(text, &acls, buf_cstr(&rule), why), ERR_EXISTS);
	if (rc == ERR_OK && !how->has_rules)
		rc = unless(hujson_edit_entry(text, &acls, PEOPLE, why), ERR_EXISTS);
	buf_fini(&rule);
	return rc;
}

static enum err
remove_route(struct buf *text, const struct cluster *c, const struct net_prefix *p, struct err_text *why)
{
	struct hujson_path all = routes_of(NULL), one;
	struct buf value = { .len = 0 };
	char prefix[NET_TEXT_MAX];
	enum err rc;

	if (p->ip.family == 0)
		return ERR_OK;
	one = routes_of(net_prefix_put(p, prefix));
	put_quoted(&value, c->tag);
	rc = hujson_edit_remove_entry(text, &one, buf_cstr(&value), why);
	if (rc == ERR_OK && hujson_edit_count(text, &one) == 0)
		rc = hujson_edit_remove_member(text, &all, prefix, why);
	buf_fini(&value);
	return unless(rc, ERR_NOTFOUND);
}

/* Does the text name the tag outside of its own entry? Comments count: better one line too many. */
static bool
is_named_twice(const struct buf *text, const char *tag)
{
	size_t n = strlen(tag), n_found = 0;
	const uint8_t *at = text->p, *end = text->p + text->len;

	while ((at = memmem(at, (size_t)(end - at), tag, n)) != NULL) {
		at += n;
		n_found += at == end || strchr("\": ,", *at) != NULL;
	}
	return n_found > 1;
}

enum err
cluster_policy_remove(struct buf *text, const struct cluster *c, struct err_text *why)
{
	struct buf rule = { .len = 0 };
	enum err rc;

	if (text->len == 0)
		return ERR_OK;
	put_rule(&rule, c);
	if ((rc = unless(hujson_edit_remove_entry(text, &acls, buf_cstr(&rule), why),
	    ERR_NOTFOUND)) == ERR_OK &&
	    (rc = remove_route(text, c, &c->range[CLUSTER_POD4], why)) == ERR_OK &&
	    (rc = remove_route(text, c, &c->range[CLUSTER_POD6], why)) == ERR_OK &&
	    !is_named_twice(text, c->tag))
		rc = unless(hujson_edit_remove_member(text, &owners, c->tag, why), ERR_NOTFOUND);
	buf_fini(&rule);
	return rc;
}
