/* SSH rules: what they mean to a class, and whom they let in. */
#include "coord/policy_ssh_private.h"

#include <string.h>
#include <strings.h>

#include "coord/user.h"

#define LOCALPART "localpart:*@"

const char *
policy_ssh_localpart_domain(const char *name)
{
	if (strncmp(name, LOCALPART, strlen(LOCALPART)) != 0)
		return NULL;
	name += strlen(LOCALPART);
	return *name != '\0' && strchr(name, '@') == NULL ? name : NULL;
}

bool
policy_ssh_has_localpart(const struct policy_ssh *r)
{
	for (unsigned i = 0; i < r->n_users; i++) {
		if (policy_ssh_localpart_domain(r->users[i]) != NULL)
			return true;
	}
	return false;
}

bool
policy_ssh_local_part(const struct policy_world *w, const struct policy_ssh *r, int64_t user_id,
    char out[USER_NAME_MAX])
{
	const struct user *u = map_find(w->users, &user_id);

	if (u == NULL)
		return false;
	const char *email = u->email[0] != '\0' ? u->email : u->name;
	const char *at = strrchr(email, '@');

	if (at == NULL || at == email || at[1] == '\0')
		return false;
	for (unsigned i = 0; i < r->n_users; i++) {
		const char *domain = policy_ssh_localpart_domain(r->users[i]);

		if (domain == NULL || strcasecmp(domain, at + 1) != 0)
			continue;
		size_t n = (size_t)(at - email);

		memcpy(out, email, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

bool
policy_ssh_lists_user(const struct policy_ssh *r, const char *name)
{
	for (unsigned i = 0; i < r->n_users; i++) {
		if (strcmp(r->users[i], name) == 0)
			return true;
	}
	return false;
}

static bool
is_listed(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	for (unsigned i = 0; i < r->src.n && policy_class_user(c) >= 0; i++) {
		if (policy_class_in(w, c, r->src.v[i]))
			return true;
	}
	return false;
}

bool
policy_ssh_is_source(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	return is_listed(w, r, c) && policy_class_meets(w, c, &r->postures);
}

/* Of destinations other than autogroup:self; *has_self: that is one too, *has_other: there are
 * any. */
static bool
is_destination(const struct policy_world *w, const struct policy_ssh *r,
    const struct policy_class *c, bool *has_self, bool *has_other)
{
	bool is_in = false;

	*has_self = *has_other = false;
	for (unsigned i = 0; i < r->dst.n; i++) {
		if (w->policy->sels[r->dst.v[i]].kind == POLICY_SEL_SELF) {
			*has_self = true;
			continue;
		}
		*has_other = true;
		is_in = is_in || policy_class_in(w, c, r->dst.v[i]);
	}
	return is_in;
}

enum policy_ssh_part
policy_ssh_part_of(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	bool has_self, has_other;
	bool is_dst = is_destination(w, r, c, &has_self, &has_other);
	bool has_user = policy_class_user(c) > 0;

	/* A source that is no destination is told its own user's rules too, as the service does. */
	if (!is_dst && has_other && has_user && policy_ssh_has_localpart(r) && policy_ssh_is_source(w, r, c))
		return POLICY_SSH_SELF;
	if (is_dst)
		return has_self && has_user ? POLICY_SSH_SELF_DST : POLICY_SSH_DST;
	return has_self && has_user ? POLICY_SSH_SELF : POLICY_SSH_NONE;
}

static bool
lets_user(const struct policy_world *w, const struct policy_ssh *r, int64_t user_id,
    const char *name)
{
	char local[USER_NAME_MAX];

	if (*name == '\0')
		return false;
	if (strcmp(name, POLICY_SSH_NONROOT) != 0 && policy_ssh_localpart_domain(name) == NULL &&
	    policy_ssh_lists_user(r, name))
		return true;
	if (strcmp(name, "root") != 0 && policy_ssh_lists_user(r, POLICY_SSH_NONROOT))
		return true;
	return user_id > 0 && policy_ssh_local_part(w, r, user_id, local) && strcmp(local, name) == 0;
}

bool
policy_ssh_fits(const struct policy_world *w, const struct policy_ssh *rule,
    const struct policy_class *src, const struct policy_class *dst, const char *local_user)
{
	int64_t src_user = policy_class_user(src), dst_user = policy_class_user(dst);
	bool has_self, has_other;

	if (dst_user < 0 || !is_listed(w, rule, src))
		return false;
	if (!is_destination(w, rule, dst, &has_self, &has_other) &&
	    (!has_self || src_user <= 0 || src_user != dst_user))
		return false;
	return local_user == NULL || lets_user(w, rule, src_user, local_user);
}

const struct policy_ssh *
policy_ssh_check_rule(const struct policy_world *w, int64_t src_node_id, int64_t dst_node_id,
    const char *local_user)
{
	const struct policy_class *src = policy_world_class_of(w, src_node_id);
	const struct policy_class *dst = policy_world_class_of(w, dst_node_id);
	const struct policy *p = w->policy;

	for (unsigned i = 0; src != NULL && dst != NULL && i < p->n_ssh; i++) {
		const struct policy_ssh *rule = &p->ssh[i];

		if (rule->is_check && policy_ssh_fits(w, rule, src, dst, local_user) &&
		    policy_class_meets(w, src, &rule->postures))
			return rule;
	}
	return NULL;
}
