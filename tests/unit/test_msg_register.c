/* links: coord/msg_register coord/hostinfo coord/tag */
/* Join messages: the bodies that real clients send (tests/data/control_bodies.json, from Tailscale
 * 1.103.0), and everything that is none. */
#include "coord/msg_register.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/vectors.h"

#define K1 "nodekey:34e7a0ddc4452b1078cd339eb15e2c9200b0e6bf87da18b66a6b032773f29910"
#define ZERO "nodekey:0000000000000000000000000000000000000000000000000000000000000000"

static int
setup(void **state)
{
	(void)state;
	return doc_open("tests/data/control_bodies.json");
}

static void
real_bodies(void **state)
{
	static const struct {
		const char *name;
		bool has_auth, has_followup, has_old, has_expiry;
	} cases[] = {
		{ "authkey", true, false, false, false },
		{ "restart_refresh", false, false, false, false },
		{ "followup", false, true, false, false },
		{ "force_reauth", true, false, true, false },
		{ "logout", false, false, false, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct register_req *r = NULL;
		struct err_text why = { "" };
		struct buf b = { 0 };

		json_dump_to(&b, json_object_get(json_object_get(doc, "register"), cases[i].name));
		if (msg_register_parse(b.p, b.len, &r, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].name, why.s);
		assert_int_equal(r->version, 145);
		assert_false(node_key_is_zero(&r->node_key));
		assert_int_equal(r->auth_key != NULL, cases[i].has_auth);
		assert_int_equal(r->followup != NULL, cases[i].has_followup);
		assert_int_equal(!node_key_is_zero(&r->old_node_key), cases[i].has_old);
		assert_int_equal(r->has_expiry, cases[i].has_expiry);
		assert_int_equal(r->expiry_unix_s, cases[i].has_expiry ? 123 : 0);
		assert_false(r->is_ephemeral);
		assert_string_equal(r->host->hostname, "node-a");
		msg_register_free(r);
		buf_fini(&b);
	}
}

static void
small_bodies(void **state)
{
	static const struct {
		const char *text, *auth;
		bool is_ephemeral;
		int64_t expiry;
	} cases[] = {
		{ "{\"NodeKey\":\"" K1 "\"}", NULL, false, 0 },
		{ "{\"NodeKey\":\"" K1 "\",\"Hostinfo\":null,\"Auth\":null,\"Expiry\":null,"
		  "\"Ephemeral\":null,\"Followup\":null,\"OldNodeKey\":null}", NULL, false, 0 },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{},\"Ephemeral\":true}", NULL, true, 0 },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":\"\"}}", NULL, false, 0 },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":\"k\"},\"Other\":[{}]}", "k", false, 0 },
		{ "{\"NodeKey\":\"" K1 "\",\"Expiry\":\"2026-11-23T20:01:37+01:00\"}", NULL, false,
		  1795460497 },
		{ "{\"NodeKey\":\"" K1 "\",\"Version\":\"x\"}", NULL, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct register_req *r = NULL;
		struct err_text why = { "" };

		if (msg_register_parse(cases[i].text, strlen(cases[i].text), &r, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].text, why.s);
		if (cases[i].auth != NULL)
			assert_string_equal(r->auth_key, cases[i].auth);
		else
			assert_null(r->auth_key);
		assert_int_equal(r->is_ephemeral, cases[i].is_ephemeral);
		assert_int_equal(r->has_expiry, cases[i].expiry != 0);
		assert_int_equal(r->expiry_unix_s, cases[i].expiry);
		assert_null(r->followup);
		assert_non_null(r->host);
		assert_int_equal(r->version, 0);
		msg_register_free(r);
	}
	msg_register_free(NULL);
}

static void
refused(void **state)
{
	static const struct { const char *text, *names; } cases[] = {
		{ "", "line" },
		{ "{", "line" },
		{ "[]", "object" },
		{ "null", "object" },
		{ "{}", "NodeKey" },
		{ "{\"NodeKey\":\"" ZERO "\"}", "NodeKey" },
		{ "{\"NodeKey\":\"\"}", "NodeKey" },
		{ "{\"NodeKey\":5}", "NodeKey" },
		{ "{\"NodeKey\":\"mkey:34e7\"}", "NodeKey" },
		{ "{\"NodeKey\":\"" K1 "\",\"OldNodeKey\":\"x\"}", "OldNodeKey" },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":[]}", "Auth" },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":5}}", "AuthKey" },
		{ "{\"NodeKey\":\"" K1 "\",\"Followup\":{}}", "Followup" },
		{ "{\"NodeKey\":\"" K1 "\",\"Expiry\":\"soon\"}", "Expiry" },
		{ "{\"NodeKey\":\"" K1 "\",\"Expiry\":5}", "Expiry" },
		{ "{\"NodeKey\":\"" K1 "\",\"Ephemeral\":1}", "Ephemeral" },
		{ "{\"NodeKey\":\"" K1 "\",\"Hostinfo\":[]}", "Hostinfo" },
		{ "{\"NodeKey\":\"" K1 "\",\"Hostinfo\":{\"Hostname\":1}}", "Hostname" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct register_req *r = NULL;
		struct err_text why = { "" };

		assert_int_equal(msg_register_parse(cases[i].text, strlen(cases[i].text), &r, &why),
		    ERR_INVAL);
		assert_null(r);
		if (strstr(why.s, cases[i].names) == NULL)
			fail_msg("%s: \"%s\"", cases[i].text, why.s);
	}
}

/* Neither the length nor a broken request shows the secret. */
static void
secrets(void **state)
{
	static const struct { const char *head, *tail; size_t n; enum err rc; } cases[] = {
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":\"", "\"}}", 1024, ERR_OK },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":\"", "\"}}", 1025, ERR_LIMIT },
		{ "{\"NodeKey\":\"" K1 "\",\"Auth\":{\"AuthKey\":\"", "\" x", 20, ERR_INVAL },
		{ "{\"NodeKey\":\"" K1 "\",\"Followup\":\"", "\"}", 2049, ERR_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct register_req *r = NULL;
		struct err_text why = { "" };
		struct buf b = { 0 };

		buf_str(&b, cases[i].head);
		for (size_t k = 0; k < cases[i].n; k++)
			buf_byte(&b, 'S');
		buf_str(&b, cases[i].tail);
		assert_int_equal(msg_register_parse(b.p, b.len, &r, &why), cases[i].rc);
		assert_null(strstr(why.s, "SS"));
		if (r != NULL)
			assert_int_equal(strlen(r->auth_key), cases[i].n);
		msg_register_free(r);
		buf_fini(&b);
	}
}

static void
answers(void **state)
{
	static const struct { struct register_resp r; const char *want; } cases[] = {
		{ { .user_id = 1, .login_id = 1, .login_name = "alice", .display_name = "Al\"ice",
		    .machine_authorized = true },
		  "{\"User\":{\"ID\":1,\"DisplayName\":\"Al\\\"ice\"},\"Login\":{\"ID\":1,"
		  "\"Provider\":\"\",\"LoginName\":\"alice\",\"DisplayName\":\"Al\\\"ice\"},"
		  "\"NodeKeyExpired\":false,\"MachineAuthorized\":true,\"AuthURL\":\"\","
		  "\"NodeKeySignature\":null,\"Error\":\"\"}" },
		{ { .error = "no <key>" },
		  "{\"NodeKeyExpired\":false,\"MachineAuthorized\":false,\"AuthURL\":\"\","
		  "\"NodeKeySignature\":null,\"Error\":\"no <key>\"}" },
		{ { .auth_url = "https://c/r/1", .node_key_expired = true },
		  "{\"NodeKeyExpired\":true,\"MachineAuthorized\":false,\"AuthURL\":\"https://c/r/1\","
		  "\"NodeKeySignature\":null,\"Error\":\"\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct shbuf *s = msg_register_put(&cases[i].r);
		struct err_text why;
		json_t *v = NULL;

		assert_int_equal(s->len, strlen(cases[i].want));
		assert_memory_equal(s->bytes, cases[i].want, s->len);
		assert_int_equal(json_parse(s->bytes, s->len, &v, &why), ERR_OK);
		json_decref(v);
		shbuf_drop(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_bodies),
		cmocka_unit_test(small_bodies),
		cmocka_unit_test(refused),
		cmocka_unit_test(secrets),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, setup, doc_close);
}
