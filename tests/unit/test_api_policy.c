/* links: gen/assets web/api web/api_token web/api_devices web/api_device web/api_keys web/api_dns web/api_policy web/flapi_policy web/flapi_clusters web/policy_reply web/dns_body web/flapi web/flapi_users web/flapi_keys web/flapi_nodes web/flapi_routes web/flapi_quotas web/flapi_logins web/flapi_ssh web/flapi_settings web/flapi_dns web/login_page web/ssh_page web/html web/flapi_status web/flapi_doctor web/flapi_creds web/flapi_session web/flapi_audit web/creds web/events web/assets web/pages web/http web/http_run web/http_back web/http_req web/http_unix web/http_who web/http_stream web/router web/auth web/auth_text web/form web/scope coord/audit_read coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_task coord/policies_read coord/hujson_plain coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota web/flapi_regions web/flapi_relays coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* The policy by both APIs: texts, faults, ETags, versions, confirmation, and who may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "api_rig.h"

#define ACL	"/api/v2/tailnet/-/acl"
#define FP	FLAPI "/policy"
#define TEXT	"// ours\n" \
	"{\n\t\"acls\": [\n\t\t{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:22\"]},\n\t],\n}\n"
#define CLOSED	"{\"acls\": []}"

static char owner[256];

static int
begin(void **state)
{
	if (set_up(state) != 0 || rig_start() != 0)
		return -1;
	rig_fill();
	snprintf(owner, sizeof(owner), "%s", rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API,
	    .user_id = tailnet_user_find(fake.t, "ann")->id, .description = "" }));
	return 0;
}

static int
end(void **state)
{
	rig_stop();
	return tear_down(state);
}

/* The answer as it is; the caller frees it. */
static int
ask(const char *method, const char *target, const char *fields, const char *body, struct buf *raw)
{
	char all[600];

	buf_clear(raw);
	snprintf(all, sizeof(all), "%s%s", owner, fields);
	return rig_ask_raw(method, target, all, body, raw);
}

static const char *
body_of(struct buf *raw)
{
	const char *at = strstr(buf_cstr(raw), "\r\n\r\n");

	assert_non_null(at);
	return at + 4;
}

static void
etag_of(struct buf *raw, char out[80])
{
	const char *at = strstr(buf_cstr(raw), "\r\nETag: ");

	assert_non_null(at);
	assert_int_equal(sscanf(at + 8, "%79[^\r]", out), 1);
}

static void
test_texts(void **state)
{
	struct buf raw = { 0 };
	char etag[80], again[80], field[120];

	(void)state;
	assert_int_equal(ask("GET", ACL, "Accept: application/hujson\r\n", "", &raw), 200);
	etag_of(&raw, etag);
	assert_string_equal(etag, "\"ts-default\"");
	assert_non_null(strstr(body_of(&raw), "// No policy is set"));
	assert_int_equal(ask("POST", ACL, "If-Match: \"ts-default\"\r\nAccept: application/hujson\r\n", TEXT,
	    &raw), 200);
	assert_string_equal(body_of(&raw), TEXT);
	assert_non_null(strstr(buf_cstr(&raw), "Content-Type: application/hujson\r\n"));
	etag_of(&raw, etag);
	assert_int_equal(strlen(etag), 66);
	/* JSON for who does not ask for the other: the same lines, without comments. */
	assert_int_equal(ask("GET", ACL, "Accept: application/json\r\n", "", &raw), 200);
	assert_null(strstr(body_of(&raw), "ours"));
	json_t *v = NULL;
	assert_int_equal(json_parse(body_of(&raw), strlen(body_of(&raw)), &v, NULL), ERR_OK);
	assert_int_equal(json_array_size(json_object_get(v, "acls")), 1);
	json_decref(v);
	etag_of(&raw, again);
	assert_string_equal(etag, again);
	/* If-Match: quoted, bare, any; and another. */
	snprintf(field, sizeof(field), "If-Match: %s\r\n", etag);
	assert_int_equal(ask("POST", ACL, field, CLOSED, &raw), 200);
	assert_int_equal(ask("POST", ACL, field, TEXT, &raw), 412);
	assert_non_null(strstr(body_of(&raw), "precondition failed, invalid old hash"));
	assert_int_equal(ask("POST", ACL, "If-Match: \"ts-default\"\r\n", TEXT, &raw), 412);
	etag_of((ask("GET", ACL, "", "", &raw), &raw), etag);
	snprintf(field, sizeof(field), "If-Match: %.64s\r\n", etag + 1);
	assert_int_equal(ask("POST", ACL, field, TEXT, &raw), 200);
	assert_int_equal(ask("POST", ACL, "If-Match: *\r\n", CLOSED, &raw), 200);
	/* An empty body takes it back. */
	assert_int_equal(ask("POST", ACL, "", "", &raw), 200);
	assert_null(fake.t->policy);
	etag_of(&raw, etag);
	assert_string_equal(etag, "\"ts-default\"");
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'policy.reset'"), 1);
	buf_fini(&raw);
}

static void
test_faults(void **state)
{
	static const struct rig_case cases[] = {
		{ "POST", ACL, "{\n  \"acls\": nonsense\n}", 400, "\"message\":\"line 2, column 11: " },
		{ "POST", ACL, "{\"acls\":[],\"unheard\":1}", 400, "unheard" },
		{ "POST", ACL, "{\"acls\":[],\"tests\":[{\"src\":\"ann@\",\"accept\":"
		  "[\"100.64.0.9:22\"]}]}", 400,
		  "\"message\":\"test(s) failed\"" },
		{ "POST", ACL, "{\"acls\":[],\"tests\":[{\"src\":\"ann@\",\"accept\":"
		  "[\"100.64.0.9:22\"]}]}", 400,
		  "\"data\":[{\"user\":\"line" },
		{ "POST", ACL "/validate", TEXT, 200, "{}" },
		{ "POST", ACL "/validate", "{\"acls\":1}", 200, "\"message\":\"line 1, column" },
		{ "POST", ACL "/validate", "{\"acls\":[],\"tests\":[{\"src\":\"ann@\",\"accept\":"
		  "[\"100.64.0.9:22\"]}]}", 200, "test(s) failed" },
		{ "POST", ACL "/validate", "// tests alone, on what is in force\n[{\"src\":\"ann@\",\"accept\":"
		  "[\"100.64.0.2:22\"]}]", 200, "{}" },
		{ "POST", ACL "/validate", "[{\"src\":\"ann@\",\"deny\":[\"100.64.0.2:22\"]}]", 200,
		  "test(s) failed" },
		{ "POST", ACL "/preview?type=user&previewFor=ann", TEXT, 200, "\"lineNumber\":4" },
		{ "POST", ACL "/preview?type=user&previewFor=nobody", TEXT, 200, "\"matches\":[]" },
		{ "POST", ACL "/preview?type=ipport&previewFor=100.64.0.2:22", TEXT, 200,
		  "\"users\":[\"*\"],\"ports\":[\"*:22\"]" },
		{ "POST", ACL "/preview?type=ipport&previewFor=100.64.0.2:23", TEXT, 200, "\"matches\":[]" },
		{ "POST", ACL "/preview?type=ipport&previewFor=here", TEXT, 400, "no address and port" },
		{ "POST", ACL "/preview?type=zoo&previewFor=x", TEXT, 400, "type is user or ipport" },
		{ "POST", ACL "/preview?type=user&previewFor=ann", "{", 400, "line 1" },
		{ "GET", ACL "?details=1", "", 200, "\"acl\":\"Ly8gTm8gcG9saWN5" },
		{ "GET", ACL "?details=1", "", 200, "everybody reaches everybody" },
		{ "GET", "/api/v2/tailnet/other/acl", "", 404, "there is no tailnet" },
		{ "POST", "/api/v2/tailnet/other/acl", CLOSED, 404, "there is no tailnet" },
	};

	(void)state;
	rig_run(owner, cases, 2);
	rig_run(owner, cases + 4, COUNT_OF(cases) - 4);
	rig_run(owner, cases + 2, 1);
	assert_null(fake.t->policy);
}

/* A body of that size, sent bit by bit; the status. */
static int
post_large(const char *target, size_t n)
{
	struct buf request = { 0 }, raw = { 0 };
	int fd = rig_connect(), status;
	size_t sent = 0;

	buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
	    "Content-Length: %zu\r\n\r\n",
	    target, owner, n);
	size_t head = request.len;
	buf_str(&request, CLOSED);
	memset(buf_reserve(&request, n), ' ', n);
	request.len = head + n;
	while (sent < request.len) {
		ssize_t wrote = send(fd, request.p + sent, request.len - sent, MSG_NOSIGNAL);
		if (wrote < 0 && errno != EAGAIN)
			break;		/* refused at its head */
		sent += wrote > 0 ? (size_t)wrote : 0;
		event_base_loop(fake.base, EVLOOP_NONBLOCK);
	}
	rig_read(fd, &raw, NULL);
	status = atoi(buf_cstr(&raw) + 9);
	close(fd);
	buf_fini(&raw);
	buf_fini(&request);
	return status;
}

/* Policies may be larger than what else is sent; what is too large for one is refused. */
static void
test_sizes(void **state)
{
	(void)state;
	assert_int_equal(post_large(ACL, 2u << 20), 200);
	assert_int_equal(fake.t->policy->text_bytes, 2u << 20);
	assert_int_equal(post_large(ACL "/validate", POLICY_TEXT_MAX), 200);
	assert_int_equal(post_large(ACL, POLICY_TEXT_MAX + 1), 400);
	assert_int_equal(post_large(ACL, 10u << 20), 413);
	assert_int_equal(post_large("/api/v2/tailnet/-/keys", 2u << 20), 413);
	assert_int_equal(fake.t->policies->now.version, 1);
}

static void
test_versions(void **state)
{
	static const struct rig_case cases[] = {
		{ "GET", FP, "", 200, "\"version\":0,\"isSet\":false" },
		{ "PUT", FP, "{\"text\":\"{\\\"acls\\\": []}\",\"comment\":\"shut\"}", 200, "\"version\":1" },
		{ "PUT", FP, "{\"text\":\"{\\\"acls\\\": []}\"}", 200, "\"isUnchanged\":true" },
		{ "PUT", FP, "{\"text\":\"{}\",\"ifVersion\":0}", 409, "version 1 is in force, not 0" },
		{ "PUT", FP, "{\"text\":\"{}\",\"ifVersion\":1}", 200,
		  "\"warnings\":[{\"text\":\"without acls" },
		{ "PUT", FP, "{\"text\":\"{\"}", 400, "\"errors\":[{\"line\":1,\"column\":2," },
		{ "PUT", FP, "{}", 400, "text, the policy, is missing" },
		{ "PUT", FP, "{\"txt\":\"\"}", 400, "unknown member" },
		{ "PUT", FP, "{\"text\":\"{}\",\"confirmWithinSeconds\":1}", 400,
		  "from 5 seconds to 24 hours" },
		{ "GET", FP "/versions", "", 200, "\"inForce\":2,\"versions\":[{\"version\":2" },
		{ "GET", FP "/versions?before=2&limit=1", "", 200,
		  "\"versions\":[{\"version\":1,\"author\":\"ann, API" },
		{ "GET", FP "/versions?before=2", "", 200, "\"comment\":\"shut\"" },
		{ "GET", FP "/versions?limit=x", "", 400, "limit must be" },
		{ "GET", FP "/versions/1", "", 200, "\"text\":\"{\\\"acls\\\": []}\"" },
		{ "GET", FP "/versions/9", "", 404, "there is no version 9" },
		{ "GET", FP "/versions?limit=&before=", "", 200, "\"inForce\":2,\"versions\":[{\"version\":2" },
		{ "GET", FP "/versions?limit=%2B1", "", 400, "limit must be" },
		{ "GET", FP "/versions?before=9999999999999999999", "", 400,
		  "before must be a whole number from 0 to 999999999999999999" },
		{ "GET", FP "/versions/x", "", 404, "there is no version" },
		{ "GET", FP "/versions/99999999999999999999", "", 404,
		  "there is no version \\\"99999999999999999999\\\" of" },
		{ "POST", FP "/rollback", "{\"version\":1}", 200, "\"comment\":\"back to version 1\"" },
		{ "POST", FP "/rollback", "{\"version\":9}", 404, "there is no version 9" },
		{ "POST", FP "/rollback", "{}", 400, "is missing" },
		{ "POST", FP "/confirm", "{}", 409, "waits for no confirmation" },
		{ "POST", FP "/rollback", "{\"version\":2,\"confirmWithinSeconds\":60}", 200,
		  "\"confirmBy\":\"20" },
		{ "POST", FP "/confirm", "{\"version\":3}", 409, "is not in force" },
		{ "POST", FP "/confirm", "{\"version\":4}", 200, "\"confirmBy\":null" },
		{ "POST", FP "/rollback", "{\"version\":0}", 200, "\"isSet\":false" },
		{ "POST", FP "/check", "{\"text\":\"{\\\"acls\\\": [1]}\"}", 200, "\"ok\":false" },
		{ "POST", FP "/check", "{}", 200, "\"ok\":true" },
		{ "POST", FP "/plan", "{\"text\":\"{\\\"acls\\\": []}\"}", 200, "\"loses\":" },
		{ "POST", FP "/plan", "{\"text\":\"{\\\"acls\\\": [1]}\"}", 400, "\"errors\":" },
		{ "POST", FP "/explain", "{\"src\":\"edge-1\",\"dst\":\"cam:22\"}", 200, "allowed" },
		{ "POST", FP "/explain", "{\"src\":\"edge-1\",\"dst\":\"cam:22\",\"text\":"
		  "\"{\\\"acls\\\": []}\"}", 200, "denied" },
		{ "POST", FP "/explain", "{\"src\":\"edge-1\",\"dst\":\"[fd7a:115c:a1e0::2]:22\"}", 200,
		  "edge-1 (fd7a:115c:a1e0::1) -> cam (fd7a:115c:a1e0::2)" },
		{ "POST", FP "/explain", "{\"src\":\"nobody\",\"dst\":\"cam:22\"}", 404, "there is no node" },
		{ "POST", FP "/explain", "{\"src\":\"edge-1\",\"dst\":\"cam\"}", 400, "names no port" },
		{ "GET", FLAPI "/status", "", 200,
		  "\"policy\":{\"version\":5,\"confirmBy\":null,\"problem\":null}" },
	};

	(void)state;
	rig_run(owner, cases, COUNT_OF(cases));
}

/* A token of a client of ann's, as a header line. */
static void
token(const char *scopes, const char *const *tags, unsigned n_tags, char out[300])
{
	char client[32];
	struct tailnet_cred_spec spec = {
		.kind = CRED_CLIENT, .user_id = tailnet_user_find(fake.t, "ann")->id, .role = USER_OWNER,
		.description = "", .scopes = scopes, .tags = tags, .n_tags = n_tags,
	};

	(void)rig_cred(&spec);
	snprintf(client, sizeof(client), "%s", fake.key_id);
	spec.kind = CRED_TOKEN;
	spec.parent = client;
	snprintf(out, 300, "%s", rig_cred(&spec));
}

/* Who may: scopes of clients, and roles. */
static void
test_rights(void **state)
{
	static const struct rig_case nobody[] = {
		{ "GET", ACL, "", 401, "" }, { "POST", ACL, CLOSED, 401, "" }, { "GET", FP, "", 401, "" },
	};
	static const struct rig_case member[] = {
		{ "POST", ACL, CLOSED, 403, "" }, { "PUT", FP, "{\"text\":\"\"}", 403, "" },
		{ "POST", FP "/rollback", "{\"version\":0}", 403, "" },
	};
	static const struct rig_case reader[] = {
		{ "GET", FP "/versions", "", 200, "" }, { "POST", ACL "/validate", CLOSED, 200, "{}" },
		{ "POST", FP "/plan", "{}", 200, "plan" }, { "POST", ACL, CLOSED, 403, "" },
		{ "PUT", FP, "{\"text\":\"\"}", 403, "" }, { "POST", FP "/confirm", "{}", 403, "" },
	};
	char fields[300];

	(void)state;
	rig_run("", nobody, COUNT_OF(nobody));
	snprintf(fields, sizeof(fields), "%s", rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API,
	    .user_id = tailnet_user_find(fake.t, "bob")->id, .description = "" }));
	rig_run(fields, member, COUNT_OF(member));
	token("policy_file:read", NULL, 0, fields);
	rig_run(fields, reader, COUNT_OF(reader));
}

/* A token gives its own tags and those that they own, in both APIs. */
static void
test_token_tags(void **state)
{
	static const char *const own[] = { "tag:op" };
	static const struct rig_case cases[] = {
		{ "POST", "/api/v2/tailnet/-/keys", "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":"
		  "[\"tag:op\"]}}}}", 200, "tskey-auth-" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":"
		  "[\"tag:pod\"]}}}}", 200, "tskey-auth-" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":"
		  "[\"tag:db\"]}}}}", 403, "none of [tag:op] owns tag:db" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":"
		  "[\"tag:zoo\"]}}}}", 400, "tag:zoo is not among the tagOwners" },
		{ "POST", "/api/v2/device/1/tags", "{\"tags\":[\"tag:db\"]}", 403, "owns tag:db" },
		{ "POST", "/api/v2/device/1/tags", "{\"tags\":[\"tag:pod\"]}", 200, "{}" },
		{ "POST", FLAPI "/keys", "{\"tags\":[\"tag:db\"],\"user\":\"ann\"}", 403, "owns tag:db" },
		{ "POST", FLAPI "/keys", "{\"tags\":[\"tag:pod\"],\"user\":\"ann\"}", 200, "tskey-auth-" },
		{ "PATCH", FLAPI "/nodes/1", "{\"tags\":[\"tag:db\"]}", 403, "owns tag:db" },
	};
	char fields[300];
	struct buf raw = { 0 };

	(void)state;
	assert_int_equal(ask("POST", ACL, "", "{\"acls\": [], \"tagOwners\": {\"tag:op\": [], \"tag:db\": [],"
	    " \"tag:pod\": [\"tag:op\"], \"tag:cam\": []}}", &raw), 200);
	token("auth_keys devices:core", own, 1, fields);
	rig_run(fields, cases, COUNT_OF(cases));
	buf_fini(&raw);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_texts), TEST(test_faults), TEST(test_sizes), TEST(test_versions), TEST(test_rights),
		TEST(test_token_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
