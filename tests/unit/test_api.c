/* links: gen/assets web/api web/api_token web/api_devices web/api_device web/api_keys web/api_dns web/api_policy web/flapi_policy web/flapi_clusters web/policy_reply web/dns_body web/flapi web/flapi_users web/flapi_keys web/flapi_nodes web/flapi_routes web/flapi_quotas web/flapi_logins web/flapi_ssh web/flapi_settings web/flapi_dns web/login_page web/ssh_page web/html web/flapi_status web/flapi_doctor web/flapi_creds web/flapi_session web/flapi_audit web/creds web/events web/assets web/pages web/http web/http_run web/http_back web/http_req web/http_unix web/http_who web/http_stream web/router web/auth web/auth_text web/form web/scope coord/audit_read coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_task coord/policies_read coord/hujson_plain coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota web/flapi_regions web/flapi_relays coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* API v2 with a real tailnet and store: devices, keys, tokens, what each may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_rig.h"

static void
test_devices(void **state)
{
	static const struct rig_case cases[] = {
		{ "GET", "/api/v2/tailnet/-/devices", "", 200, "\"name\":\"edge-1.example.net\"" },
		{ "GET", "/api/v2/tailnet/example.net/devices?fields=all", "", 200,
		  "\"clientConnectivity\":{\"endpoints\":[]" },
		{ "GET", "/api/v2/tailnet/other/devices", "", 404, "there is no tailnet" },
		{ "GET", "//api/v2/tailnet/-/devices?fields=some", "", 400, "fields is" },
		{ "GET", "/api/v2/tailnet/-/devices?hostname=cam", "", 200,
		  "{\"devices\":[{\"addresses\":[\"100.64.0.2\"" },
		{ "GET", "/api/v2/tailnet/-/devices?hostname=cam&os=windows", "", 200, "{\"devices\":[]}" },
		{ "GET", "/api/v2/tailnet/-/devices?hostname=x&hostname=cam&os=linux", "", 200,
		  "\"nodeId\":\"2\"" },
		{ "GET", "/api/v2/tailnet/-/devices?tags=tag%3Acam", "", 200,
		  "\"user\":\"tagged-devices\"" },
		{ "GET", "/api/v2/tailnet/-/devices?isEphemeral=true", "", 200, "{\"devices\":[]}" },
		{ "GET", "/api/v2/tailnet/-/devices?name=edge-1.example.net", "", 200, "\"user\":\"ann\"" },
		{ "GET", "/api/v2/tailnet/-/devices?name=edge-1", "", 200, "{\"devices\":[]}" },
		{ "GET", "/api/v2/tailnet/-/devices?colour=red", "", 400, "no \\\"colour\\\"" },
		{ "GET", "/api/v2/tailnet/-/devices?hostname=%zz", "", 400, "query" },
		{ "GET", "/api/v2/device/1", "", 200, "\"hostname\":\"Edge 1\"" },
		{ "GET", "/api/v2/device/1", "", 200, "\"lastSeen\"" },
		{ "GET", "/api/v2/device/1/routes", "", 200,
		  "{\"advertisedRoutes\":[],\"enabledRoutes\":[]}" },
		{ "GET", "/api/v2/device/77", "", 404, "there is no device" },
		{ "GET", "/api/v2/device/edge-1", "", 404, "there is no device" },
		{ "POST", "/api/v2/device/1/name", "{\"name\":\"berlin.example.net\"}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"name\":\"berlin.example.net\"" },
		{ "POST", "/api/v2/device/1/name", "{\"name\":\"cam\"}", 409, "cam" },
		{ "POST", "/api/v2/device/1/name", "{\"name\":\"\"}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"name\":\"edge-1.example.net\"" },
		{ "POST", "/api/v2/device/1/name", "{\"name\":7}", 400, "name must be" },
		{ "GET", "/api/v2/device/1", "", 200, "\"keyExpiryDisabled\":false" },
		{ "POST", "/api/v2/device/1/key", "{\"keyExpiryDisabled\":true}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"keyExpiryDisabled\":true" },
		{ "POST", "/api/v2/device/1/key", "{\"keyExpiryDisabled\":false,\"other\":1}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"expires\":\"2024-05-12T22:13:20Z\"" },
		{ "POST", "/api/v2/device/1/key", "{}", 400, "keyExpiryDisabled must be" },
		{ "POST", "/api/v2/device/1/authorized", "{\"authorized\":false}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"authorized\":false" },
		{ "POST", "/api/v2/device/1/authorized", "{\"authorized\":true}", 200, "{}" },
		{ "POST", "/api/v2/device/1/expire", "", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"expires\":\"2023-11-14T22:13:20Z\"" },
		{ "POST", "/api/v2/device/2/tags", "{\"tags\":null}", 200, "{}" },
		{ "GET", "/api/v2/device/2", "", 200, "\"tags\":[\"tag:cam\"]" },
		{ "POST", "/api/v2/device/2/tags", "{\"tags\":[\"tag:b\",\"tag:a\"]}", 200, "{}" },
		{ "GET", "/api/v2/device/2", "", 200, "\"tags\":[\"tag:a\",\"tag:b\"]" },
		{ "POST", "/api/v2/device/2/tags", "{\"tags\":[\"a\"]}", 400, "is no tag" },
		{ "POST", "/api/v2/device/2/tags", "{\"tags\":\"tag:a\"}", 400, "tags must be" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":\"100.64.0.77\"}", 200, "{}" },
		{ "GET", "/api/v2/device/1", "", 200, "\"addresses\":[\"100.64.0.77\",\"fd7a:" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":\"100.64.0.77\"}", 200, "{}" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":\"100.64.0.2\"}", 409, "100.64.0.2" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":\"192.0.2.1\"}", 400, "192.0.2.1" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":\"fd7a:115c:a1e0::9\"}", 400, "an IPv4" },
		{ "POST", "/api/v2/device/1/ip", "{\"ipv4\":7}", 400, "ipv4 must be" },
		{ "POST", "/api/v2/device/1/ip", "{}", 400, "an IPv4" },
		{ "POST", "/api/v2/device/77/ip", "{\"ipv4\":\"100.64.0.78\"}", 404, "no device" },
		{ "GET", "/api/v2/tailnet/-/webhooks", "", 501, "not supported" },
		{ "GET", "/api/v2/nonsense", "", 404, "nothing" },
		{ "PUT", "/api/v2/device/1", "{}", 405, "only GET, DELETE" },
		{ "DELETE", "/api/v2/device/2", "", 200, "{}" },
		{ "DELETE", "/api/v2/device/2", "", 404, "there is no device" },
		{ "GET", "/api/v2/device/2", "", 404, "there is no device" },
	};
	char key[256];

	(void)state;
	rig_start_as(1, key);
	rig_run(key, cases, COUNT_OF(cases));
	assert_int_equal(number("SELECT count(*) FROM audit WHERE actor LIKE 'ann, API key %'"
	    " AND source = '203.0.113.9'"), 10);
	rig_stop();
}

/* As API v2 and our own have them. */
static void
test_routes(void **state)
{
#define V2 "/api/v2/device/1/routes"
#define OWN "/api/fairlead/v1/nodes/1/routes"
	static const struct rig_case cases[] = {
		{ "POST", V2, "{\"routes\":[\"10.1.0.0/16\",\"::/0\"]}", 200, "{\"advertisedRoutes\":[],"
		  "\"enabledRoutes\":[\"0.0.0.0/0\",\"10.1.0.0/16\",\"::/0\"]}" },
		{ "POST", V2, "{\"routes\":[\"10.1.0.1/16\"]}", 400, "host bits" },
		{ "POST", V2, "{\"routes\":[\"x\"]}", 400, "no network prefix" },
		{ "POST", V2, "{\"routes\":\"10.1.0.0/16\"}", 400, "routes must be" },
		{ "POST", V2, "{\"routes\":[\"100.64.9.0/24\"]}", 400, "addresses of the nodes" },
		{ "POST", "/api/v2/device/77/routes", "{\"routes\":[]}", 404, "no device" },
		{ "GET", "/api/v2/device/1?fields=all", "", 200,
		  "\"enabledRoutes\":[\"0.0.0.0/0\",\"10.1.0.0/16\",\"::/0\"]" },
		{ "GET", V2, "", 200, "\"enabledRoutes\":[\"0.0.0.0/0\",\"10.1.0.0/16\",\"::/0\"]" },
		{ "POST", V2, "{\"routes\":null}", 200, "\"enabledRoutes\":[]" },
		{ "POST", OWN, "{\"approve\":[\"10.2.0.0/16\"]}", 200,
		  "\"routes\":[{\"prefix\":\"10.2.0.0/16\",\"advertised\":"
		  "false,\"approved\":true,\"primary\":false,\"exit\":false,"
		  "\"byPolicy\":false}],\"routesWaiting\":0,\"answersProbes\":true" },
		{ "POST", OWN, "{\"approve\":[\"0.0.0.0/0\"],\"unapprove\":[\"10.2.0.0/16\"]}", 200,
		  "\"exit\":true" },
		{ "GET", V2, "", 200, "\"enabledRoutes\":[\"0.0.0.0/0\",\"::/0\"]" },
		{ "POST", OWN, "{\"all\":true}", 200, "\"routesWaiting\":0" },
		{ "POST", OWN, "{\"approved\":[]}", 200, "\"routes\":[]" },
		{ "POST", OWN, "{\"approve\":[7]}", 400, "approve must be" },
		{ "POST", OWN, "{\"colour\":1}", 400, "unknown member" },
		{ "POST", "/api/fairlead/v1/nodes/nobody/routes", "{}", 404, "there is no node" },
	};
	char key[256];

	(void)state;
	rig_start_as(1, key);
	rig_run(key, cases, COUNT_OF(cases));
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'node.routes'"), 5);
	rig_stop();
}

static void
test_keys(void **state)
{
	static const struct rig_case cases[] = {
		{ "POST", "/api/v2/tailnet/-/keys",
		  "{\"capabilities\":{\"devices\":{\"create\":{\"reusable\":true,"
		  "\"ephemeral\":true,\"preauthorized\":false,\"tags\":[\"tag:a\"]}}},\"expirySeconds\":60,"
		  "\"description\":\"d\"}", 200,
		  "{\"reusable\":true,\"ephemeral\":true,\"preauthorized\":false,\"tags\":[\"tag:a\"]}" },
		{ "POST", "/api/v2/tailnet/-/keys", "{}", 200, "\"expirySeconds\":7776000" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"auth\",\"expirySeconds\":-1}",
		  400, "expirySeconds" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"king\"}", 400, "keyType" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"federated\"}", 501, "federated" },
		{ "POST", "/api/v2/tailnet/-/keys",
		  "{\"capabilities\":{\"devices\":{\"create\":{\"reusable\":1}}}}", 400,
		  "reusable must be" },
		{ "POST", "/api/v2/tailnet/-/keys",
		  "{\"keyType\":\"client\",\"scopes\":[\"dns\"],\"tags\":null,"
		  "\"description\":\"k8s\"}", 200, "\"scopes\":[\"dns\"],\"tags\":[]" },
		{ "POST", "/api/v2/tailnet/-/keys",
		  "{\"keyType\":\"client\",\"scopes\":[\"devices:core\"]}", 400, "needs tags" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"client\",\"scopes\":[]}", 400,
		  "needs scopes" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"api\"}", 200, "\"key\":\"tskey-api-" },
		{ "GET", "/api/v2/tailnet/-/keys/nothing", "", 404, "no such key" },
		{ "DELETE", "/api/v2/tailnet/-/keys/aaaaaaaaaaaa", "", 404, "no such key" },
		{ "POST", "/api/v2/tailnet/x/keys", "{}", 404, "there is no tailnet" },
	};
	char key[256], path[100];
	json_t *v = NULL, *all = NULL;

	(void)state;
	rig_start_as(1, key);
	rig_run(key, cases, COUNT_OF(cases));

	/* Made, listed, replaced, revoked: still to be read. */
	assert_int_equal(rig_ask("POST", "/api/v2/tailnet/-/keys", key,
	    "{\"keyType\":\"client\",\"scopes\":"
	    "[\"users:read\"],\"tags\":[\"tag:a\"]}", &v), 200);
	snprintf(path, sizeof(path), "/api/v2/tailnet/-/keys/%s", json_get_str(v, "id", ""));
	assert_memory_equal(json_get_str(v, "key", ""), "tskey-client-", 13);
	json_decref(v);
	rig_run(key, (const struct rig_case[]){
		{ "GET", path, "", 200, "\"scopes\":[\"users:read\"],\"tags\":[\"tag:a\"]" },
		{ "PUT", path, "{\"scopes\":[\"dns\"],\"description\":\"new\"}", 200,
		  "\"scopes\":[\"dns\"],\"tags\":[]" },
		{ "PUT", path, "{\"scopes\":[\"king\"]}", 400, "is no scope" },
	}, 3);
	assert_int_equal(rig_ask("GET", "/api/v2/tailnet/-/keys?all=true", key, "", &all), 200);
	size_t n = json_array_size(json_object_get(all, "keys"));
	json_decref(all);
	rig_run(key, (const struct rig_case[]){
		{ "DELETE", path, "", 200, "{}" }, { "GET", path, "", 200, "\"invalid\":true" },
		{ "GET", path, "", 200, "\"revoked\":\"2023-11-14T22:13:20Z\"" },
	}, 3);
	assert_int_equal(rig_ask("GET", "/api/v2/tailnet/-/keys?all=true", key, "", &all), 200);
	assert_int_equal(json_array_size(json_object_get(all, "keys")), n - 1);
	assert_null(json_object_get(json_array_get(json_object_get(all, "keys"), 0), "key"));
	json_decref(all);
	rig_stop();
}

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

static void
test_tokens(void **state)
{
	static const char *const tags[] = { "tag:k8s-operator" };
	struct tailnet_cred_spec spec = { .kind = CRED_CLIENT, .user_id = 1, .tags = tags, .n_tags = 1,
		.scopes = "devices:core auth_keys" };
	char secret[CRED_TEXT_MAX], id[32], body[300], token[200], path[100];
	json_t *v = NULL;

	(void)state;
	rig_start();
	rig_fill();
	rig_cred(&spec);
	snprintf(secret, sizeof(secret), "%s", fake.secret);
	snprintf(id, sizeof(id), "%s", fake.key_id);

	rig_run(FORM, (const struct rig_case[]){
		{ "POST", "/api/v2/oauth/token", "grant_type=client_credentials", 401, "invalid_client" },
		{ "POST", "/api/v2/oauth/token", "client_secret=tskey-client-x-y", 401, "invalid_client" },
		{ "POST", "/api/v2/oauth/token", "a=%zz", 400, "invalid_request" },
	}, 3);
	static const struct { const char *rest; int status; const char *holds; } asks[] = {
		{ "", 200, "\"scope\":\"devices:core auth_keys\"" },
		{ "&grant_type=password", 400, "unsupported_grant_type" },
		{ "&scope=devices%3Acore:read", 200, "\"scope\":\"devices:core:read\"" },
		{ "&scope=dns", 400, "invalid_scope" }, { "&scope=king", 400, "invalid_scope" },
		{ "&tags=tag%3Ak8s-operator", 200, "\"expires_in\":3600" }, { "&tags=tag:other",
		  400, "tags" },
	};
	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		snprintf(body, sizeof(body), "client_id=some-client-id&client_secret=%s%s", secret,
		    asks[i].rest);
		rig_run(FORM, &(struct rig_case){ "POST", "/api/v2/oauth/token", body, asks[i].status,
			asks[i].holds }, 1);
	}

	snprintf(body, sizeof(body), "client_secret=%s", secret);
	assert_int_equal(rig_ask("POST", "/api/v2/oauth/token", FORM, body, &v), 200);
	snprintf(token, sizeof(token), "Authorization: Bearer %s\r\n", json_get_str(v, "access_token", ""));
	json_decref(v);
	snprintf(path, sizeof(path), "/api/v2/tailnet/-/keys/%s", id);
	rig_run(token, (const struct rig_case[]){
		{ "GET", "/api/v2/tailnet/-/devices", "", 200, "edge-1" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"capabilities\":{\"devices\":{\"create\":{\"tags\":"
		  "[\"tag:k8s-operator\"]}}}}", 200, "\"key\":\"tskey-auth-" },
		{ "POST", "/api/v2/tailnet/-/keys",
		  "{\"capabilities\":{\"devices\":{\"create\":{}}}}", 400, "tags" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"api\"}", 403, "scope" },
		{ "POST", "/api/v2/tailnet/-/keys", "{\"keyType\":\"client\",\"scopes\":[\"all\"]}",
		  403, "scope" },
		{ "GET", path, "", 200, "\"keyType\":\"client\"" },		/* itself */
		{ "DELETE", path, "", 403, "scopes" },
		{ "GET", "/api/fairlead/v1/nodes", "", 200, "edge-1" },
		{ "GET", "/api/fairlead/v1/users", "", 403, "scopes" },
		{ "GET", "/api/fairlead/v1/status", "", 403, "scopes" },
		{ "POST", "/api/fairlead/v1/session/links", "{}", 403, "scopes" },
		{ "GET", "/api/v2/device/1/routes", "", 403, "scopes" },
	}, 12);

	/* A revoked client's tokens die at once; an hour ends the others. */
	tailnet_cred_revoke(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit();
	rig_run(token, &(struct rig_case){ "GET", "/api/v2/tailnet/-/devices", "", 401, "revoked" }, 1);
	rig_cred(&spec);
	snprintf(body, sizeof(body), "client_secret=%s", fake.secret);
	assert_int_equal(rig_ask("POST", "/api/v2/oauth/token", FORM, body, &v), 200);
	snprintf(token, sizeof(token), "Authorization: Bearer %s\r\n", json_get_str(v, "access_token", ""));
	json_decref(v);
	fake_clock(T0 + 3599);
	rig_run(token, &(struct rig_case){ "GET", "/api/v2/device/1", "", 200, "" }, 1);
	fake_clock(T0 + 3600);
	rig_run(token, &(struct rig_case){ "GET", "/api/v2/device/1", "", 401, "expired" }, 1);
	rig_stop();
}

/* Keys do what their user may, at the time; nobody gets more by making keys. */
static void
test_roles(void **state)
{
	char key[256];

	(void)state;
	rig_start_as(2, key);
	rig_run(key, (const struct rig_case[]){
		{ "GET", "/api/v2/tailnet/-/devices", "", 403, "role" },
		{ "GET", "/api/v2/tailnet/-/keys", "", 403, "" },
		{ "GET", "/api/fairlead/v1/credentials", "", 403, "role" },
	}, 3);
	tailnet_user_set_role(fake.t, &fake_actor, 2, USER_AUDITOR, fake_done, NULL);
	fake_commit();
	rig_run(key, (const struct rig_case[]){
		{ "GET", "/api/v2/tailnet/-/devices", "", 200, "edge-1" },
		{ "DELETE", "/api/v2/device/1", "", 403, "role" },
		{ "POST", "/api/v2/tailnet/-/keys", "{}", 403, "auth_keys" },
		{ "POST", "/api/fairlead/v1/session/links", "{}", 403, "role" },
	}, 4);
	tailnet_user_set_role(fake.t, &fake_actor, 2, USER_ADMIN, fake_done, NULL);
	fake_commit();
	rig_run(key, (const struct rig_case[]){
		{ "PATCH", "/api/fairlead/v1/users/bob", "{\"role\":\"owner\"}", 403, "only an owner" },
		{ "PATCH", "/api/fairlead/v1/users/ann", "{\"name\":\"anne\"}", 403, "only an owner" },
		{ "DELETE", "/api/fairlead/v1/users/ann", "", 403, "only an owner" },
		{ "POST", "/api/fairlead/v1/credentials", "{\"user\":\"ann\"}", 403, "more than you" },
		{ "POST", "/api/fairlead/v1/session/links", "{\"role\":\"owner\"}", 403, "more than you" },
		{ "POST", "/api/fairlead/v1/session/links", "{\"user\":\"ann\"}", 403, "more than you" },
		{ "POST", "/api/fairlead/v1/credentials", "{}", 200, "\"user\":\"bob\"" },
		{ "DELETE", "/api/v2/device/2", "", 200, "{}" },
	}, 8);
	tailnet_user_remove(fake.t, &fake_actor, 2, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	rig_run(key, &(struct rig_case){ "GET", "/api/v2/device/1", "", 401, "not known" }, 1);
	assert_int_equal(number("SELECT count(*) FROM credentials"), 0);
	rig_stop();
}

/* Wrong credentials cost their source its patience, the right ones always pass. */
static void
test_guessing(void **state)
{
	struct rig_case unknown = { "GET", "/api/v2/device/1", "", 401, "" };
	char key[256], wrong[256];

	(void)state;
	rig_start_as(1, key);
	snprintf(wrong, sizeof(wrong), "%s", key);
	wrong[strlen(wrong) - 3] = wrong[strlen(wrong) - 3] == 'a' ? 'b' : 'a';
	for (int i = 0; i < 30; i++)
		rig_run(wrong, &unknown, 1);
	unknown.status = 429;
	rig_run(wrong, &unknown, 1);
	rig_run(key, &(struct rig_case){ "GET", "/api/v2/device/1", "", 200, "" }, 1);
	rig_peer = "203.0.113.10:1";
	unknown.status = 401;
	rig_run(wrong, &unknown, 1);
	rig_peer = "203.0.113.9:1";
	fake_clock(T0 + 60);
	rig_run(wrong, &unknown, 1);
	/* And over plain http nothing is even looked at. */
	rig_is_tls = false;
	rig_run(key, &(struct rig_case){ "GET", "/api/v2/device/1", "", 403, "plain http" }, 1);
	rig_stop();
}

static void
begin(sqlite3 **db)
{
	assert_int_equal(sqlite3_open(fake_db_path, db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(*db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

/* The server stops while changes wait for the disk: what they hold is freed (the sanitizer looks), and
 * they are durable. In the order of server/serve. */
static void
test_stop_under_way(void **state)
{
	static const struct { const char *target, *body; } asks[] = {
		{ "/api/v2/device/1/name", "{\"name\":\"berlin\"}" },
		{ "/api/v2/device/2/ip", "{\"ipv4\":\"100.64.0.77\"}" },
		{ "/api/v2/tailnet/-/keys", "{}" },
		{ "/api/fairlead/v1/users", "{\"name\":\"carl\"}" },
	};
	struct buf request = { .len = 0 };
	int fds[COUNT_OF(asks)];
	sqlite3 *db = NULL;
	char key[256];

	(void)state;
	rig_start_as(1, key);
	begin(&db);			/* the store waits for it */
	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		fds[i] = rig_connect();
		buf_clear(&request);
		buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
		    asks[i].target, key, strlen(asks[i].body), asks[i].body);
		assert_int_equal(send(fds[i], request.p, request.len, MSG_NOSIGNAL),
		    (ssize_t)request.len);
	}
	for (int i = 0; i < 100; i++)
		event_base_loop(fake.base, EVLOOP_NONBLOCK);
	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		char byte;

		assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), -1);	/* not answered yet */
		close(fds[i]);
	}
	audit_reader_free(rig_audit);
	policies_reader_free(rig_policies);
	http_free(rig_http);
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(db);
	store_stop(fake_store);
	mbox_close(fake_mbox);
	fake_stop();
	assert_int_equal(number("SELECT count(*) FROM nodes WHERE name = 'berlin'"
	    " OR ip4 = '100.64.0.77'"), 2);
	assert_int_equal(number("SELECT count(*) FROM users WHERE name = 'carl'"), 1);
	assert_int_equal(number("SELECT count(*) FROM auth_keys"), 3);
	buf_fini(&request);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_devices), TEST(test_routes), TEST(test_keys), TEST(test_tokens), TEST(test_roles),
		    TEST(test_guessing), TEST(test_stop_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
