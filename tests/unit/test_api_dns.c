/* links: gen/assets web/api web/api_token web/api_devices web/api_device web/api_keys web/api_dns web/api_policy web/flapi_policy web/flapi_clusters web/policy_reply web/dns_body web/flapi web/flapi_users web/flapi_keys web/flapi_nodes web/flapi_routes web/flapi_quotas web/flapi_logins web/flapi_ssh web/flapi_settings web/flapi_dns web/login_page web/ssh_page web/html web/flapi_status web/flapi_doctor web/flapi_creds web/flapi_session web/flapi_audit web/creds web/events web/assets web/pages web/http web/http_run web/http_back web/http_req web/http_unix web/http_who web/http_stream web/router web/auth web/auth_text web/form web/scope coord/audit_read coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_task coord/policies_read coord/hujson_plain coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota web/flapi_regions web/flapi_relays coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* Proves: DNS settings through both APIs are one state, checked as a whole, kept over a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_rig.h"
#include "coord/dns.h"

#define DNS	"/api/v2/tailnet/-/dns"
#define OURS	"/api/fairlead/v1/dns"
#define RECORD(name, type, value) \
	"{\"name\":\"" name "\",\"type\":\"" type "\",\"value\":\"" value "\"}"

static void
test_settings(void **state)
{
	static const struct rig_case cases[] = {
		{ "GET", DNS "/nameservers", "", 200, "{\"dns\":[]}" },
		{ "POST", DNS "/nameservers", "{\"dns\":[\"1.1.1.1\",\"https://d.ex/q\"]}", 200,
		  "{\"dns\":[\"1.1.1.1\",\"https://d.ex/q\"],\"magicDNS\":false}" },
		{ "GET", DNS "/nameservers", "", 200, "{\"dns\":[\"1.1.1.1\",\"https://d.ex/q\"]}" },
		{ "POST", DNS "/nameservers", "{\"dns\":[\"x\"]}", 400, "\\\"x\\\" is neither" },
		{ "POST", DNS "/nameservers", "{\"dns\":7}", 400, "nameservers is an array" },
		{ "POST", DNS "/nameservers", "{\"dns\":null}", 200, "{\"dns\":[],\"magicDNS\":false}" },
		{ "GET", DNS "/preferences", "", 200, "{\"magicDNS\":false}" },
		{ "POST", DNS "/preferences", "{\"magicDNS\":true}", 200, "{\"magicDNS\":true}" },
		{ "POST", DNS "/preferences", "{}", 400, "magicDNS must be" },
		{ "GET", DNS "/searchpaths", "", 200, "{\"searchPaths\":[]}" },
		{ "POST", DNS "/searchpaths", "{\"searchPaths\":[\"a.ex\",\"b.ex\"]}", 200,
		  "{\"searchPaths\":[\"a.ex\",\"b.ex\"]}" },
		{ "POST", DNS "/searchpaths", "{\"searchPaths\":[\"a b\"]}", 400, "a b" },
		{ "GET", DNS "/split-dns", "", 200, "{}" },
		{ "PATCH", DNS "/split-dns", "{\"Corp.ex.\":[\"10.0.0.1\"],\"b.ex\":[\"10.0.0.2\"]}", 200,
		  "{\"corp.ex\":[\"10.0.0.1\"],\"b.ex\":[\"10.0.0.2\"]}" },
		{ "PATCH", DNS "/split-dns", "{\"b.ex\":null,\"c.ex\":[\"10.0.0.3\"]}", 200,
		  "{\"corp.ex\":[\"10.0.0.1\"],\"c.ex\":[\"10.0.0.3\"]}" },
		{ "PATCH", DNS "/split-dns", "{\"c.ex\":[]}", 200, "{\"corp.ex\":[\"10.0.0.1\"]}" },
		{ "PATCH", DNS "/split-dns", "{\"c.ex\":\"10.0.0.3\"}", 400, "c.ex is an array" },
		{ "PUT", DNS "/split-dns", "{\"d.ex\":[\"10.0.0.4\"],\"e.ex\":[]}", 200,
		  "{\"d.ex\":[\"10.0.0.4\"]}" },
		{ "PUT", DNS "/split-dns", "{\"*.ex\":[\"10.0.0.4\"]}", 400, "\\\"*.ex\\\" is not a domain" },
		{ "GET", DNS "/configuration", "", 200, "{\"nameservers\":[],\"splitDNS\":{\"d.ex\":[{"
		  "\"address\":\"10.0.0.4\",\"useWithExitNode\":false}]},\"searchPaths\":[\"a.ex\",\"b.ex\"],"
		  "\"preferences\":{\"overrideLocalDNS\":false,\"magicDNS\":true}}" },
		{ "POST", DNS "/configuration", "{\"preferences\":{\"overrideLocalDNS\":true}}", 400,
		  "a global nameserver is needed" },
		{ "POST", DNS "/configuration", "{\"preferences\":7}", 400, "preferences must be" },
		{ "POST", DNS "/configuration", "{\"preferences\":{\"magicDNS\":7}}", 400, "magicDNS is" },
		{ "GET", DNS "/searchpaths", "", 200, "{\"searchPaths\":[\"a.ex\",\"b.ex\"]}" },
		{ "POST", DNS "/configuration", "{\"nameservers\":[{\"address\":\"9.9.9.9\","
		  "\"useWithExitNode\":true}],\"preferences\":{\"overrideLocalDNS\":true}}", 200,
		  "{\"nameservers\":[{\"address\":\"9.9.9.9\",\"useWithExitNode\":true}],\"splitDNS\":{},"
		  "\"searchPaths\":[],\"preferences\":{\"overrideLocalDNS\":true,\"magicDNS\":false}}" },
		{ "POST", DNS "/nameservers", "{\"dns\":[]}", 400, "a global nameserver is needed" },
		{ "GET", OURS, "", 200,
		  "\"nameservers\":[{\"address\":\"9.9.9.9\",\"useWithExitNode\":true}]" },
		{ "GET", OURS, "", 200, "\"changed\":[\"magicDNS\",\"overrideLocalDNS\",\"nameservers\","
		  "\"splitDNS\",\"searchPaths\"]" },
		{ "PATCH", OURS, "{\"noDNSTags\":[\"tag:a\"],\"nameservers\":[\"8.8.8.8\"]}", 200,
		  "\"noDNSTags\":[\"tag:a\"]" },
		{ "GET", DNS "/nameservers", "", 200, "{\"dns\":[\"8.8.8.8\"]}" },
		{ "PATCH", OURS, "{\"nameserver\":[]}", 400, "unknown member \\\"nameserver\\\"" },
		{ "PATCH", OURS, "{\"noDNSTags\":[\"a\"]}", 400, "is not a tag" },
		{ "PATCH", OURS, "{\"nameservers\":null,\"overrideLocalDNS\":null,\"splitDNS\":null,"
		  "\"searchPaths\":null,\"magicDNS\":null}", 200, "\"changed\":[\"noDNSTags\"]" },
		{ "GET", DNS "/nonsense", "", 404, "nothing" },
		{ "GET", "/api/v2/tailnet/x/dns/nameservers", "", 404, "there is no tailnet" },
		{ "POST", "/api/v2/tailnet/x/dns/records", RECORD("a.ex", "A", "1.2.3.4"), 404,
		  "there is no tailnet" },
		{ "POST", DNS "/split-dns", "{}", 405, "only GET" },
	};
	char key[256];

	(void)state;
	rig_start_as(1, key);
	rig_run(key, cases, COUNT_OF(cases));
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'dns.change'"), 11);
	rig_stop();
	rig_start();
	rig_run(key, (const struct rig_case[]){
		{ "GET", OURS, "", 200, "\"noDNSTags\":[\"tag:a\"]" },
	}, 1);
	rig_stop();
}

static void
test_records(void **state)
{
	static const struct rig_case cases[] = {
		{ "GET", DNS "/records", "", 200, "{\"records\":[]}" },
		{ "POST", DNS "/records", RECORD("DB.ex", "a", "10.0.0.5"), 200,
		  "{\"id\":\"1\",\"name\":\"db.ex\",\"type\":\"A\",\"value\":\"10.0.0.5\",\"comment\":\"\"}" },
		{ "POST", OURS "/records", "{\"name\":\"g.ex\",\"type\":\"CNAME\",\"value\":\"edge-1\","
		  "\"comment\":\"grafana\"}", 200, "\"id\":\"2\"" },
		{ "POST", OURS "/records", RECORD("t.ex", "TXT", "x"), 200, "\"id\":\"3\"" },
		{ "GET", OURS "/records", "", 200, "{\"name\":\"g.ex\",\"type\":\"CNAME\",\"value\":\"edge-1\","
		  "\"source\":\"api\",\"id\":\"2\",\"comment\":\"grafana\"}" },
		{ "GET", OURS "/records", "", 200,
		  "\"problem\":\"clients have no TXT records: kept, not sent\"" },
		{ "POST", DNS "/records", RECORD("db.ex", "A", "10.0.0.5"), 409, "there already (id 1)" },
		{ "POST", DNS "/records", RECORD("edge-1.example.net", "A", "10.0.0.5"), 409,
		  "the name of a node" },
		{ "POST", DNS "/records", RECORD("*.ex", "A", "10.0.0.5"), 400, "a wildcard would never" },
		{ "POST", DNS "/records", RECORD("x.ex", "MX", "y"), 400, "type \\\"MX\\\"" },
		{ "POST", DNS "/records", "{}", 400, "not a domain name" },
		{ "PUT", DNS "/records/1", RECORD("db.ex", "A", "10.0.0.6"), 200, "\"id\":\"1\"" },
		{ "PUT", DNS "/records/9", RECORD("db.ex", "A", "10.0.0.6"), 404, "no record 9" },
		{ "PUT", OURS "/records/1", RECORD("db.ex", "A", "x"), 400, "not an IPv4" },
		{ "DELETE", DNS "/records/3", "", 200, "{}" },
		{ "DELETE", OURS "/records/3", "", 404, "no record 3" },
		{ "POST", DNS "/records", RECORD("u.ex", "A", "10.0.0.7"), 200, "\"id\":\"4\"" },
		{ "GET", DNS "/records", "", 200, "\"value\":\"10.0.0.6\",\"source\":\"api\",\"id\":\"1\"" },
	};
	static const struct rig_case read_only[] = {
		{ "GET", DNS "/records", "", 200, "g.ex" },
		{ "POST", DNS "/records", RECORD("v.ex", "A", "10.0.0.7"), 403, "" },
		{ "PATCH", OURS, "{}", 403, "" },
	};
	char key[256];

	(void)state;
	rig_start_as(1, key);
	rig_run(key, cases, COUNT_OF(cases));
	assert_int_equal(fake.t->dns->n_records, 4);	/* db, g (two addresses), u */
	tailnet_user_set_role(fake.t, &fake_actor, 2, USER_AUDITOR, fake_done, NULL);
	fake_commit();
	snprintf(key, sizeof(key), "%s", rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API,
	    .user_id = 2 }));
	rig_run(key, read_only, COUNT_OF(read_only));
	rig_stop();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_settings), TEST(test_records) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
