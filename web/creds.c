/* Rules for new credentials. */
#include "web/creds.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

bool
creds_may(const struct auth *who, enum cred_kind kind, bool is_write)
{
	return auth_may(who, kind == CRED_CLIENT ? SCOPE_OAUTH_KEYS : SCOPE_API_TOKENS, is_write);
}

bool
creds_tags_are_ok(struct http_req *q, const struct flapi_texts *tags)
{
	const struct tailnet *t = flapi_tailnet(q);
	const struct cred *c = tailnet_cred_find(flapi_tailnet(q), q->who.cred_id);
	struct err_text why = { "" };
	enum err rc = ERR_OK;

	if (q->who.kind != AUTH_TOKEN || c == NULL)
		return true;
	if (tags->n == 0) {
		http_reply_error(q, 400, "an access token makes only what has tags: name one at least");
		return false;
	}
	/* As long as no policy says who owns a tag, whoever may make keys. */
	for (unsigned i = 0; rc == ERR_OK && i < tags->n; i++) {
		rc = tailnet_tag_tags_may(t, c->tags, c->n_tags, tags->v[i], &why);
		if (rc == ERR_DENIED && (t->policy == NULL || !t->policy->has_tag_owners)) {
			log_warn(LOG_WEB, "tag of another owner allowed: no policy says who owns it", "tag",
			    tags->v[i], "by", q->who.actor.name);
			rc = ERR_OK;
		}
	}
	if (rc != ERR_OK)
		http_reply_err(q, rc, &why);
	return rc == ERR_OK;
}

/* Scopes as one text of buf b, checked. false: answered. */
static bool
scopes_take(struct http_req *q, const struct creds_wish *wish, struct buf *b)
{
	struct err_text why = { "" };
	scope_set set = 0;

	for (unsigned i = 0; i < wish->scopes.n; i++)
		buf_printf(b, "%s%s", i > 0 ? " " : "", wish->scopes.v[i]);
	if (wish->scopes.n == 0)
		http_reply_error(q, 400, "an OAuth client needs scopes, such as devices:core");
	else if (scope_parse(buf_cstr(b), &set, &why) != ERR_OK)
		http_reply_error(q, 400, "%s", why.s);
	else if (wish->tags.n == 0 && (set & (SCOPE_WRITE(SCOPE_DEVICES) | SCOPE_WRITE(SCOPE_AUTH_KEYS))) != 0)
		http_reply_error(q, 400, "a client with the scope devices:core or auth_keys needs tags");
	else if (!scope_includes(q->who.scopes, set))
		http_reply_error(q, 403, "a client cannot be given more than you may do yourself");
	else
		return wish->tags.n == 0 || creds_tags_are_ok(q, &wish->tags);
	return false;
}

/* An API key does what its user does. */
static bool
user_is_ok(struct http_req *q, const struct user *u)
{
	if (scope_includes(q->who.scopes, auth_role_scopes(u->role)) &&
	    (u->role != USER_OWNER || q->who.role == USER_OWNER))
		return true;
	http_reply_error(q, 403, "an API key of user %s could do more than you may do yourself", u->name);
	return false;
}

static struct tailnet_cred_spec
spec_of(const struct creds_wish *wish, struct buf *scopes)
{
	return (struct tailnet_cred_spec){
		.kind = wish->kind, .user_id = wish->user->id, .role = USER_MEMBER,
		.description = wish->description, .scopes = buf_cstr(scopes), .tags = wish->tags.v,
		.n_tags = wish->tags.n, .expires_unix_s = wish->expires_unix_s,
	};
}

void
creds_create(struct http_req *q, const struct creds_wish *wish, tailnet_done_fn *done)
{
	struct buf scopes = { .len = 0 };
	bool is_ok = wish->kind == CRED_CLIENT ? scopes_take(q, wish, &scopes) : user_is_ok(q, wish->user);

	if (is_ok) {
		struct tailnet_cred_spec spec = spec_of(wish, &scopes);
		tailnet_cred_create(flapi_tailnet(q), &q->who.actor, &spec, done, q);
	}
	buf_fini(&scopes);
}

void
creds_set(struct http_req *q, const struct cred *c, const struct creds_wish *wish, tailnet_done_fn *done)
{
	struct buf scopes = { .len = 0 };

	if (scopes_take(q, wish, &scopes)) {
		struct tailnet_cred_spec spec = {
			.kind = c->kind, .user_id = c->user_id, .description = wish->description,
			.scopes = buf_cstr(&scopes), .tags = wish->tags.v, .n_tags = wish->tags.n,
		};
		tailnet_cred_set(flapi_tailnet(q), &q->who.actor, c->id, &spec, done, q);
	}
	buf_fini(&scopes);
}

/* --- lists ---------------------------------------------------------------------------------------- */

struct ref {
	int64_t created_unix_s;
	char id[CRED_ID_MAX];
};

static int
ref_order(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;

	if (x->created_unix_s != y->created_unix_s)
		return x->created_unix_s < y->created_unix_s ? -1 : 1;
	return strcmp(x->id, y->id);
}

char
(*creds_ids(struct http_req *q, size_t *n))[CRED_ID_MAX]
{
	struct tailnet *t = flapi_tailnet(q);
	struct ref *refs = obj_alloc((t->creds.count + 1) * sizeof(*refs));
	char (*ids)[CRED_ID_MAX];
	const struct cred *c;
	size_t count = 0;

	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL;) {
		if ((c->kind != CRED_API && c->kind != CRED_CLIENT) || !creds_may(&q->who, c->kind, false))
			continue;
		refs[count].created_unix_s = c->created_unix_s;
		memcpy(refs[count++].id, c->id, CRED_ID_MAX);
	}
	qsort(refs, count, sizeof(*refs), ref_order);
	ids = obj_alloc((count + 1) * sizeof(*ids));
	for (size_t i = 0; i < count; i++)
		memcpy(ids[i], refs[i].id, CRED_ID_MAX);
	free(refs);
	*n = count;
	return ids;
}
