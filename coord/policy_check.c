/* From a text to a verdict. */
#include "coord/policy_check.h"

#include <string.h>

#include "coord/hujson.h"
#include "coord/policy_ssh.h"
#include "coord/policy_test.h"
#include "coord/policy_users.h"

#define VALUES_MAX	(1u << 20)	/* of a text that was a policy before */

/* A user who does not exist yet is no fault: the policy speaks of them once they do. */
static void
warn_of_users(const struct policy *p, const struct map *users, struct policy_errors *warnings)
{
	struct policy_users *u = policy_users_new(users);

	for (unsigned i = 0; i < p->n_tokens; i++) {
		const struct policy_token *t = &p->tokens[i];

		if (policy_users_find(u, t->token) == NULL)
			policy_errors_add(warnings, t->line, t->column,
			    "there is no user \"%s\" (yet)", t->token);
	}
	policy_users_free(u);
}

static void
warn(const struct policy *p, const struct policy_snapshot *s, struct policy_errors *warnings)
{
	if (p == NULL || !p->has_rules)
		policy_errors_add(warnings, 0, 0, "without acls and grants everybody reaches everybody: write "
		    "\"grants\": [] to close everything");
	if (p == NULL)
		return;
	warn_of_users(p, &s->users, warnings);
	for (unsigned i = 0; i < p->n_sels && !p->has_tag_owners; i++) {
		if (p->sels[i].kind != POLICY_SEL_TAG)
			continue;
		policy_errors_add(warnings, 0, 0, "there are no tagOwners: any tag may be meant, and "
		    "administrators alone give tags");
		break;
	}
}

/* What a node is told of SSH names all who may log in there, for each rule. */
static enum err
ssh_is_short(struct policy_world *w, struct policy_errors *errors)
{
	size_t cursor = 0, most = 0;

	for (const struct policy_class *c; (c = policy_world_next(w, &cursor)) != NULL; ) {
		size_t n = policy_ssh_maker_bytes(policy_world_ssh(w), c);

		most = n > most ? n : most;
	}
	if (most <= POLICY_SSH_BYTES_MAX)
		return ERR_OK;
	policy_errors_add(errors, 0, 0, "ssh: a device would be told %zu MiB of rules, at most are %u: "
	    "merge rules with the same sources", most >> 20, POLICY_SSH_BYTES_MAX >> 20);
	return ERR_INVAL;
}

/* What only nodes and users can tell. */
static void
run_tests(struct policy *p, const struct policy_snapshot *s, struct policy_verdict *out)
{
	if (p->n_tests == 0 && p->n_ssh_tests == 0 && p->n_ssh == 0)
		return;
	struct policy_world *w = policy_snapshot_world(s, p);
	out->rc = ssh_is_short(w, &out->errors);
	if (out->rc == ERR_OK && (p->n_tests > 0 || p->n_ssh_tests > 0)) {
		out->rc = policy_test_run(w, &out->errors);
		out->is_test_failure = out->rc != ERR_OK;
	}
	policy_world_free(w);
}

void
policy_check(const char *text, size_t n, const struct policy_snapshot *s, struct policy_verdict *out)
{
	*out = (struct policy_verdict){ .rc = ERR_OK };
	if (n > 0)
		out->rc = policy_parse(text, n, &out->policy, &out->errors);
	if (out->rc == ERR_OK && out->policy != NULL)
		out->rc = policy_check_users(out->policy, &s->users, &out->errors);
	if (out->rc == ERR_OK && out->policy != NULL)
		run_tests(out->policy, s, out);
	if (out->rc == ERR_OK)
		warn(out->policy, s, &out->warnings);
}

/* --- other tests ------------------------------------------------------------------------------ */

static void
put_name(struct buf *b, const char *name)
{
	buf_str(b, b->len > 1 ? ",\"" : "\"");
	buf_str(b, name);
	buf_str(b, "\":");
}

/* The members of a policy's text but its tests, then these tests; false: the tests are none. */
static bool
text_with_tests(const struct policy *p, const char *tests, size_t n, struct buf *out, struct hujson_error *e)
{
	const struct hujson_limits limits = { .n_bytes = POLICY_TEXT_MAX, .n_values = VALUES_MAX,
		.depth = POLICY_DEPTH_MAX };
	struct arena *a = arena_new();
	struct hujson *root = NULL, *list = NULL;
	bool is_ok = hujson_parse(a, tests, n, &limits, &list, e) == ERR_OK;

	if (is_ok && p != NULL)
		is_ok = hujson_parse(a, p->text, p->text_bytes, &limits, &root, e) == ERR_OK;
	buf_str(out, "{");
	for (const struct hujson *v = root != NULL ? root->first : NULL; is_ok && v != NULL; v = v->next) {
		if (strcasecmp(v->name, "tests") == 0 || strcasecmp(v->name, "sshTests") == 0)
			continue;
		put_name(out, v->name);
		hujson_put(out, v);
	}
	if (is_ok) {
		put_name(out, "tests");
		hujson_put(out, list);
	}
	buf_str(out, "}");
	arena_free(a);
	return is_ok;
}

void
policy_check_tests(struct policy *p, const char *tests, size_t n, const struct policy_snapshot *s,
	struct policy_verdict *out)
{
	struct hujson_error e = { .line = 0 };
	struct buf text = { .len = 0 };

	if (text_with_tests(p, tests, n, &text, &e)) {
		policy_check((const char *)text.p, text.len, s, out);
	} else {
		*out = (struct policy_verdict){ .rc = ERR_INVAL };
		policy_errors_add(&out->errors, e.line, e.column, "%s", e.why.s);
	}
	buf_fini(&text);
}

void
policy_verdict_fini(struct policy_verdict *v)
{
	policy_drop(v->policy);
	policy_errors_fini(&v->errors);
	policy_errors_fini(&v->warnings);
	*v = (struct policy_verdict){ .rc = ERR_OK };
}
