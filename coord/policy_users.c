/* Tokens to users: an index from every provider id, e-mail address and name. */
#include "coord/policy_users.h"

#include <string.h>

/* What a text may mean. */
struct meaning {
	char text[USER_NAME_MAX];	/* zero-padded */
	const struct user *by_id, *by_name;	/* of several the one with the lowest id */
	bool is_id_shared, is_name_shared;
};

struct policy_users {
	struct map by_text;
	struct meaning *meanings;
};

static const struct user *
decide(const struct meaning *m)
{
	if (m->by_id != NULL)
		return m->is_id_shared ? NULL : m->by_id;
	return m->is_name_shared ? NULL : m->by_name;
}

static void
claim(const struct user **slot, bool *is_shared, const struct user *u)
{
	if (*slot != NULL && *slot != u)
		*is_shared = true;
	else
		*slot = u;
}

const struct user *
policy_user_find(const struct map *users, const char *token)
{
	struct meaning m = { 0 };
	size_t cursor = 0;
	const struct user *u;

	if (*token == '\0')
		return NULL;
	while ((u = map_next(users, &cursor)) != NULL) {
		if (strcmp(u->provider_id, token) == 0)
			claim(&m.by_id, &m.is_id_shared, u);
		if (strcmp(u->email, token) == 0 || strcmp(u->name, token) == 0)
			claim(&m.by_name, &m.is_name_shared, u);
	}
	return decide(&m);
}

/* *free_slot is used if the text is new. NULL: empty text. */
static struct meaning *
meaning_of(struct policy_users *u, const char text[USER_NAME_MAX], struct meaning **free_slot)
{
	struct meaning *m = *free_slot;

	if (text[0] == '\0')
		return NULL;
	/* The names' padding is not promised by those who fill users in. */
	memset(m->text, 0, sizeof(m->text));
	memcpy(m->text, text, strnlen(text, sizeof(m->text) - 1));
	struct meaning *known = map_find(&u->by_text, m->text);
	if (known != NULL)
		return known;
	(void)map_put(&u->by_text, m);
	(*free_slot)++;
	return m;
}

struct policy_users *
policy_users_new(const struct map *users)
{
	struct policy_users *u = obj_alloc(sizeof(*u));
	struct meaning *m, *next;
	size_t cursor = 0;
	const struct user *user;

	MAP_INIT(&u->by_text, struct meaning, text);
	/* One to spare: a text is tried in the next free slot. */
	u->meanings = next = obj_alloc((3 * users->count + 1) * sizeof(*u->meanings));
	while ((user = map_next(users, &cursor)) != NULL) {
		if ((m = meaning_of(u, user->provider_id, &next)) != NULL)
			claim(&m->by_id, &m->is_id_shared, user);
		if ((m = meaning_of(u, user->email, &next)) != NULL)
			claim(&m->by_name, &m->is_name_shared, user);
		if ((m = meaning_of(u, user->name, &next)) != NULL)
			claim(&m->by_name, &m->is_name_shared, user);
	}
	return u;
}

void
policy_users_free(struct policy_users *u)
{
	if (u == NULL)
		return;
	map_fini(&u->by_text);
	free(u->meanings);
	free(u);
}

static const struct meaning *
find(const struct policy_users *u, const char *token)
{
	char key[USER_NAME_MAX] = { 0 };
	size_t n = strlen(token);

	if (n == 0 || n >= sizeof(key))
		return NULL;
	memcpy(key, token, n);
	return map_find(&u->by_text, key);
}

const struct user *
policy_users_find(const struct policy_users *u, const char *token)
{
	const struct meaning *m = find(u, token);

	return m == NULL ? NULL : decide(m);
}

enum err
policy_check_users(const struct policy *p, const struct map *users, struct policy_errors *errors)
{
	struct policy_users *u = policy_users_new(users);
	enum err rc = ERR_OK;

	for (unsigned i = 0; i < p->n_tokens; i++) {
		const struct policy_token *t = &p->tokens[i];
		const struct meaning *m = find(u, t->token);

		if (m == NULL || decide(m) != NULL)
			continue;
		policy_errors_add(errors, t->line, t->column,
		    "multiple users found: \"%s\" is the name or e-mail address of more than one; "
		    "name the one you mean by its other one", t->token);
		rc = ERR_INVAL;
	}
	policy_users_free(u);
	return rc;
}
