/* Who owns a tag: from the tag up through the tags that own it, each met once. */
#include "coord/policy_owner.h"

#include <string.h>
#include <strings.h>

#include "coord/policy_users.h"

/* A walk: tags of p->tags that own the one asked for. */
struct walk {
	const struct policy *p;
	bool *is_met;
	unsigned *queue, n;
};

static int
compare(const void *key, const void *tag)
{
	return strcmp(key, ((const struct policy_tag *)tag)->tag);
}

static const struct policy_tag *
find(const struct policy *p, const char *tag)
{
	return p->n_tags == 0 ? NULL :
	    bsearch(tag, p->tags, p->n_tags, sizeof(*p->tags), compare);
}

bool
policy_tag_is_defined(const struct policy *p, const char *tag)
{
	return find(p, tag) != NULL;
}

static void
meet(struct walk *w, const struct policy_tag *t)
{
	size_t i = t == NULL ? 0 : (size_t)(t - w->p->tags);

	if (t == NULL || w->is_met[i])
		return;
	w->is_met[i] = true;
	w->queue[w->n++] = (unsigned)i;
}

/* Does the e-mail address, or the name that is one, end in "@" and domain? */
static bool
is_of_domain(const struct user *u, const char *domain)
{
	const char *at = strrchr(u->email[0] != '\0' ? u->email : u->name, '@');

	return at != NULL && strcasecmp(at + 1, domain) == 0;
}

static bool
holds_user(const struct policy_sel *sel, const struct map *users, const struct user *u)
{
	switch (sel->kind) {
	case POLICY_SEL_USER: case POLICY_SEL_GROUP:
		for (unsigned i = 0; i < sel->n_users; i++) {
			const char *token = sel->users[i];
			/* The look-up passes over all users: only for a token that may be this one. */
			bool may_be = strcmp(token, u->name) == 0 || strcmp(token, u->email) == 0 ||
			    strcmp(token, u->provider_id) == 0;

			if (may_be && policy_user_find(users, token) == u)
				return true;
		}
		return false;
	case POLICY_SEL_ROLE:
		return (sel->roles & 1u << u->role) != 0;
	case POLICY_SEL_MEMBER:
		return true;
	case POLICY_SEL_DOMAIN:
		return is_of_domain(u, sel->tag);
	default:
		return false;
	}
}

static bool
holds_tags(const struct policy_sel *sel, char *const *tags, unsigned n)
{
	if (sel->kind == POLICY_SEL_TAGGED)
		return n > 0;
	for (unsigned i = 0; sel->kind == POLICY_SEL_TAG && i < n; i++) {
		if (strcmp(sel->tag, tags[i]) == 0)
			return true;
	}
	return false;
}

/* Is a node of this user, or with these tags (u is NULL then), one that the selector names, whatever
 * its addresses? */
static bool
names_node(const struct policy_sel *sel, const struct map *users, const struct user *u,
    char *const *tags, unsigned n)
{
	return u != NULL ? holds_user(sel, users, u) : holds_tags(sel, tags, n);
}

/* u, or tags if it is NULL. */
static bool
owns(const struct policy *p, const struct map *users, const struct user *u, char *const *tags,
    unsigned n_tags, const char *tag)
{
	struct walk w = { .p = p };
	bool is_owner = false;

	if (find(p, tag) == NULL)
		return false;
	w.is_met = obj_alloc(p->n_tags * sizeof(*w.is_met));
	w.queue = obj_alloc(p->n_tags * sizeof(*w.queue));
	meet(&w, find(p, tag));
	for (unsigned next = 0; next < w.n && !is_owner; next++) {
		const struct policy_list *owners = &p->tags[w.queue[next]].owners;

		for (unsigned i = 0; i < owners->n && !is_owner; i++) {
			const struct policy_sel *sel = &p->sels[owners->v[i]];

			is_owner = names_node(sel, users, u, tags, n_tags);
			if (sel->kind == POLICY_SEL_TAG)
				meet(&w, find(p, sel->tag));
		}
	}
	free(w.is_met);
	free(w.queue);
	return is_owner;
}

bool
policy_user_owns(const struct policy *p, const struct map *users, const struct user *u,
    const char *tag)
{
	bool is_admin = u->role == USER_OWNER || u->role == USER_ADMIN || u->role == USER_NETWORK_ADMIN;

	return is_admin ? policy_tag_is_defined(p, tag) : owns(p, users, u, NULL, 0, tag);
}

bool
policy_tags_own(const struct policy *p, char *const *tags, unsigned n, const char *tag)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(tags[i], tag) == 0)
			return true;
	}
	return owns(p, NULL, NULL, tags, n, tag);
}

static bool
is_target(const struct policy *p, const struct policy_attr *a, const struct map *users,
    const struct user *u, char *const *tags, unsigned n_tags)
{
	for (unsigned i = 0; i < a->target.n; i++) {
		const struct policy_sel *sel = &p->sels[a->target.v[i]];

		if (sel->kind == POLICY_SEL_ANY || names_node(sel, users, u, tags, n_tags))
			return true;
	}
	return false;
}

unsigned
policy_pools(const struct policy *p, const struct map *users, const struct user *u, char *const *tags,
    unsigned n_tags, struct net_prefix *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_attrs; i++) {
		const struct policy_attr *a = &p->attrs[i];

		if (a->n_ip_pool == 0 || !is_target(p, a, users, u, tags, n_tags))
			continue;
		for (unsigned k = 0; k < a->n_ip_pool && n < max; k++)
			out[n++] = a->ip_pool[k];
	}
	return n;
}
