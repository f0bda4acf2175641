/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* Proves: DNS settings are changed together or not at all, last over a restart, and follow the file of records,
 * the nodes, and names of outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "coord/tailnet_dns.h"
#include "fake_tailnet.h"

static char path[] = "/tmp/test_tailnet_dns.XXXXXX";

static int
set_up(void **state)
{
	(void)state;
	fake_start();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

/* {member: value}, or without it (value NULL), from what is there. */
static void
change(const char *member, const char *value)
{
	json_t *next = json_deep_copy(tailnet_dns_spec(fake.t)), *v;

	if (value == NULL) {
		json_object_del(next, member);
	} else {
		v = json_loads(value, JSON_DECODE_ANY, NULL);
		assert_non_null(v);
		json_object_set_new(next, member, v);
	}
	tailnet_dns_set(fake.t, &fake_actor, next, fake_done, NULL);
}

static bool
has_record(const char *name, const char *value)
{
	for (unsigned i = 0; i < fake.t->dns->n_records; i++)
		if (strcmp(fake.t->dns->records[i].name, name) == 0 &&
		    strcmp(fake.t->dns->records[i].value, value) == 0)
			return true;
	return false;
}

static const char *
problem_of(const char *name)
{
	unsigned n;
	const struct dns_wanted *w = tailnet_dns_records(fake.t, &n);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(w[i].r.name, name) == 0)
			return w[i].problem;
	return "no such record";
}

/* Runs the loop until the record is there, or is gone. */
static void
wait_record(const char *name, const char *value, bool is_there)
{
	for (int i = 0; i < 10000 && has_record(name, value) != is_there; i++) {
		assert_true(event_base_loop(fake.base, EVLOOP_ONCE) >= 0);
		clock_test_stop();	/* timers of the loop run by the true clock */
	}
	assert_int_equal(has_record(name, value), is_there);
}

static void
changes(void **state)
{
	unsigned audits = fake_audits;

	(void)state;
	assert_int_equal(fake.t->dns->nameservers.n, 0);
	change("nameservers", "[{\"address\":\"9.9.9.9\"}]");
	assert_int_equal(fake.t->dns->nameservers.n, 0);	/* not on disk yet */
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_string_equal(fake.t->dns->nameservers.v[0].addr, "9.9.9.9");
	assert_int_equal(fake_audits, audits + 1);
	change("nameservers", "[{\"address\":\"9.9.9.9\"}]");	/* the same: nothing to do */
	assert_int_equal(fake.n_done, 2);
	assert_int_equal(fake_queued, 0);
	change("searchPaths", "[\"a b\"]");
	assert_int_equal(fake.res.rc, ERR_INVAL);
	assert_non_null(strstr(fake.res.why.s, "a b"));
	change("nameservers", NULL);
	fake_commit();
	assert_int_equal(fake.t->dns->nameservers.n, 0);
	change("overrideLocalDNS", "true");
	assert_int_equal(fake.res.rc, ERR_INVAL);
	assert_non_null(strstr(fake.res.why.s, "nameserver is needed"));
}

/* A change starts from the one before it, which is not on disk yet. */
static const struct audit *
audit_waiting(void)
{
	const struct txn *x = TAILQ_FIRST(&fake_queue);

	for (unsigned i = 0; i < x->n; i++)
		if (x->list[i]->kind == MUTATION_AUDIT)
			return &x->list[i]->u.audit;
	fail();
	return NULL;
}

/* Of thousands of records the audit log has those that changed, not all of them each time. */
static void
records_are_audited_one_by_one(void **state)
{
#define R(id, value) "{\"id\":\"" id "\",\"name\":\"r" id ".ex\",\"type\":\"A\",\"value\":\"" value "\"}"
	static const struct { const char *records, *before, *after; } steps[] = {
		{ "[" R("1", "10.0.0.1") "," R("2", "10.0.0.2") "]", "{}",
		  "{\"records\":[" R("1", "10.0.0.1") "," R("2", "10.0.0.2") "]}" },
		{ "[" R("1", "10.0.0.1") "," R("2", "10.0.0.9") "]", "{\"records\":[" R("2", "10.0.0.2") "]}",
		  "{\"records\":[" R("2", "10.0.0.9") "]}" },
		{ "[" R("2", "10.0.0.9") "]", "{\"records\":[" R("1", "10.0.0.1") "]}", "{\"records\":[]}" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(steps); i++) {
		change("records", steps[i].records);
		assert_string_equal(audit_waiting()->before, steps[i].before);
		assert_string_equal(audit_waiting()->after, steps[i].after);
		fake_commit();
		assert_int_equal(fake.res.rc, ERR_OK);
	}
	change("magicDNS", "true");
	assert_string_equal(audit_waiting()->before, "{}");
	fake_commit();
}

static void
changes_at_once(void **state)
{
	(void)state;
	change("searchPaths", "[\"a.ex\"]");
	change("magicDNS", "true");
	assert_int_equal(fake_queued, 2);
	fake_commit();
	assert_int_equal(fake.t->dns->n_search_domains, 1);
	assert_true(fake.t->dns->magic_dns);
	/* what the disk refuses is not there for the next one */
	change("magicDNS", "false");
	fake_commit_one(ERR_FULL, "full");
	assert_int_equal(fake.res.rc, ERR_FULL);
	assert_true(fake.t->dns->magic_dns);
	change("searchPaths", NULL);
	fake_commit();
	assert_true(fake.t->dns->magic_dns);
	assert_int_equal(fake.t->dns->n_search_domains, 0);
	fake_store_is_full = true;
	change("magicDNS", "false");
	assert_int_equal(fake.res.rc, ERR_BUSY);
	assert_true(json_is_true(json_object_get(tailnet_dns_spec(fake.t), "magicDNS")));
	fake_store_is_full = false;
}

static void
a_stored_text_that_is_none(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{\"magicDNS\":7}" };

	(void)state;
	change("magicDNS", "true");
	fake_commit();
	for (unsigned i = 0; i < COUNT_OF(texts); i++) {
		struct txn *x = txn_new(fake.t, NULL, NULL);

		txn_add(x, MUTATION_DNS)->u.dns.json = obj_strdup(texts[i]);
		txn_finish_take(x);
		assert_true(fake.t->dns->magic_dns);
	}
}

static void
records_follow_nodes(void **state)
{
	int64_t ann = fake_user("ann", USER_OWNER);
	char key[AUTHKEY_TEXT_MAX];
	struct node *n;

	(void)state;
	snprintf(key, sizeof(key), "%s", fake_key(ann, "r", NULL, 0));
	change("records", "[{\"name\":\"www.ex\",\"type\":\"CNAME\",\"value\":\"web.example.net\"}]");
	fake_commit();
	assert_string_equal(problem_of("www.ex"), "there is neither a node nor a record web.example.net");
	fake_register(&(struct fake_req){ .machine = 1, .key = 1, .auth = key, .hostname = "web" });
	fake_commit();
	n = fake_node(1);
	assert_string_equal(n->name, "web");
	wait_record("www.ex", "100.64.0.1", true);
	assert_true(has_record("www.ex", "fd7a:115c:a1e0::1"));
	assert_string_equal(problem_of("www.ex"), "");
	tailnet_node_rename(fake.t, &fake_actor, n->id, "other", fake_done, NULL);
	fake_commit();
	wait_record("www.ex", "100.64.0.1", false);
	tailnet_node_rename(fake.t, &fake_actor, n->id, "web", fake_done, NULL);
	fake_commit();
	wait_record("www.ex", "100.64.0.1", true);
	tailnet_node_remove(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	wait_record("www.ex", "100.64.0.1", false);
}

static void
records_follow_outside_names(void **state)
{
	(void)state;
	change("records", "[{\"name\":\"m.ex\",\"type\":\"CNAME\",\"value\":\"no.such.name.invalid\"}]");
	fake_commit();
	assert_non_null(strstr(problem_of("m.ex"), "is being looked up"));
	for (int i = 0; i < 10000 && strstr(problem_of("m.ex"), "cannot be looked up") == NULL; i++)
		assert_true(event_base_loop(fake.base, EVLOOP_ONCE) >= 0);
	assert_non_null(strstr(problem_of("m.ex"), "no.such.name.invalid cannot be looked up: "));
	assert_int_equal(fake.t->dns->n_records, 0);
}

static void
file_write(const char *text)
{
	char tmp[80];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(tmp, path), 0);
}

/* The server starts without the file, and takes it when it comes. */
static void
records_follow_a_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	fake_stop();
	fake_cfg_records_file = path;
	fake_start();
	assert_non_null(strstr(tailnet_dns_file_problem(fake.t), "No such file"));
	file_write("[{\"name\":\"a.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\"}]");
	wait_record("a.ex", "1.2.3.4", true);
	assert_null(tailnet_dns_file_problem(fake.t));
	file_write("[{\"name\":\"a.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\"},"
	    "{\"name\":\"*.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\"}]");
	for (int i = 0; i < 1000 && tailnet_dns_file_problem(fake.t) == NULL; i++)
		event_base_loop(fake.base, EVLOOP_ONCE);
	assert_non_null(strstr(tailnet_dns_file_problem(fake.t), "wildcard"));
	assert_true(has_record("a.ex", "1.2.3.4"));	/* the last good ones */
	file_write("[{\"name\":\"b.ex\",\"type\":\"A\",\"value\":\"1.2.3.5\"}]");
	wait_record("b.ex", "1.2.3.5", true);
	assert_false(has_record("a.ex", "1.2.3.4"));
	unlink(path);
	for (int i = 0; i < 1000 && tailnet_dns_file_problem(fake.t) == NULL; i++)
		event_base_loop(fake.base, EVLOOP_ONCE);
	assert_true(has_record("b.ex", "1.2.3.5"));
	fake_cfg_records_file = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes), TEST(records_are_audited_one_by_one), TEST(changes_at_once),
		TEST(a_stored_text_that_is_none),
		TEST(records_follow_nodes), TEST(records_follow_outside_names), TEST(records_follow_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
