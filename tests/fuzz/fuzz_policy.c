/* links: coord/policy coord/policy_users coord/policy_owner coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/*
 * Any text as a policy: what is taken is consistent in itself and owned by nobody twice, what is refused
 * says why and where.
 */
#include <string.h>

#include "coord/policy_owner.h"
#include "coord/policy_users.h"
#include "coord/tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_list(const struct policy *p, const struct policy_list *list)
{
	for (unsigned i = 0; i < list->n; i++)
		ASSERT(list->v[i] < p->n_sels);
}

static void
check_ports(const struct policy_ports *ports, unsigned n)
{
	ASSERT(n > 0);
	for (unsigned i = 0; i < n; i++)
		ASSERT(ports[i].first <= ports[i].last);
}

static void
check_rules(const struct policy *p)
{
	ASSERT(p->has_rules || p->n_rules == 1);
	for (unsigned i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		check_list(p, &r->src);
		check_list(p, &r->via);
		for (unsigned k = 0; k < r->via.n; k++)
			ASSERT(p->sels[r->via.v[k]].kind == POLICY_SEL_TAG);
		for (unsigned k = 0; k < r->n_dst; k++) {
			ASSERT(r->dst[k].sel < p->n_sels);
			if (!r->is_grant)
				check_ports(r->dst[k].ports, r->dst[k].n_ports);
		}
		for (unsigned k = 0; k < r->postures.n; k++)
			ASSERT(r->postures.v[k] < p->n_postures);
		for (unsigned k = 0; k < r->n_ip; k++)
			check_ports(r->ip[k].ports, r->ip[k].n_ports);
		ASSERT(!r->is_grant || r->n_ip + r->n_app > 0);
	}
}

/* Without tagOwners any tag may be meant; in tests a wrong one is a test that fails. */
static void
check_tag(const struct policy *p, const struct policy_sel *s)
{
	if (s->kind != POLICY_SEL_TAG || p->n_tests > 0 || p->n_ssh_tests > 0)
		return;
	ASSERT(p->has_tag_owners ? policy_tag_is_defined(p, s->tag) : tag_is_valid(s->tag));
}

static void
check_sels(const struct policy *p)
{
	for (unsigned i = 0; i < p->n_sels; i++) {
		const struct policy_sel *s = &p->sels[i];

		ASSERT(s->text != NULL && s->text[0] != '\0');
		ASSERT((s->kind == POLICY_SEL_TAG || s->kind == POLICY_SEL_DOMAIN) == (s->tag != NULL));
		check_tag(p, s);
		ASSERT(s->kind != POLICY_SEL_USER || s->n_users == 1);
	}
}

static void
check_rest(const struct policy *p)
{
	struct map users;
	struct policy_errors errors = { 0 };

	for (unsigned i = 0; i < p->n_tags; i++) {
		ASSERT(i == 0 || strcmp(p->tags[i - 1].tag, p->tags[i].tag) < 0);
		ASSERT(policy_tags_own(p, &p->tags[i].tag, 1, p->tags[i].tag));
	}
	for (unsigned i = 0; i < p->n_ssh; i++) {
		check_list(p, &p->ssh[i].src);
		check_list(p, &p->ssh[i].dst);
		ASSERT(p->ssh[i].n_users > 0 && p->ssh[i].check_period_s >= 0);
	}
	for (unsigned i = 0; i < p->n_tests; i++)
		ASSERT(p->tests[i].src < p->n_sels || p->tests[i].problem != NULL);
	for (unsigned i = 0; i < p->n_ssh_tests; i++)
		ASSERT(p->ssh_tests[i].src < p->n_sels || p->ssh_tests[i].problem != NULL);
	MAP_INIT(&users, struct user, id);
	ASSERT(policy_check_users(p, &users, &errors) == ERR_OK && errors.n == 0);
	map_fini(&users);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *p = NULL;
	struct policy_errors errors = { 0 };
	struct buf b = { 0 };

	if (policy_parse((const char *)data, size, &p, &errors) == ERR_OK) {
		ASSERT(errors.n == 0);
		ASSERT(p->text_bytes == size && (size == 0 || memcmp(p->text, data, size) == 0));
		check_sels(p);
		check_rules(p);
		check_rest(p);
	} else {
		ASSERT(p == NULL && errors.n > 0 && errors.n <= POLICY_ERRORS_MAX);
		for (unsigned i = 0; i < errors.n; i++) {
			ASSERT(errors.v[i].text[0] != '\0');
			ASSERT((errors.v[i].line > 0) == (errors.v[i].column > 0));
		}
	}
	policy_errors_put(&b, &errors);
	buf_fini(&b);
	policy_errors_fini(&errors);
	policy_drop(p);
	return 0;
}
