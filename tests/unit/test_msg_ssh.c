/* links: coord/msg_ssh */
/* SSH checks on the wire: what is a request, what is none, and what answers look like. */
#include "coord/msg_ssh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define AT "/machine/ssh/action/"
#define ID "abcdefghijklmnopqrstuvwx"

static void
requests(void **state)
{
	static const struct { const char *target; int64_t src, dst; const char *user, *check; } cases[] = {
		{ AT "17/to/4?local_user=root", 17, 4, "root", "" },
		{ AT "17/to/4?local_user=root&check=" ID, 17, 4, "root", ID },
		{ AT "17/to/4?check=" ID "&local_user=root", 17, 4, "root", ID },
		{ AT "1/to/1?a=b&&local_user=ann.b%40c&x", 1, 1, "ann.b@c", "" },
		{ AT "1/to/2?local_user=a+b%20c", 1, 2, "a b c", "" },
		{ AT "9007199254740991/to/2?local_user=r", 9007199254740991, 2, "r", "" },
		/* an id of no check, whatever is in it */
		{ AT "1/to/2?local_user=r&check=" ID "0123456", 1, 2, "r", ID "0123456" },
		{ AT "1/to/2?local_user=r&check=" ID "01234567", 1, 2, "r", "" },
		{ AT "1/to/2?local_user=r&check=%00", 1, 2, "r", "" },
		{ AT "1/to/2?local_user=r&checks=" ID, 1, 2, "r", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct ssh_req r;

		if (msg_ssh_parse(cases[i].target, &r, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].target, why.s);
		assert_int_equal(r.who.src_id, cases[i].src);
		assert_int_equal(r.who.dst_id, cases[i].dst);
		assert_string_equal(r.who.user, cases[i].user);
		assert_string_equal(r.check, cases[i].check);
		/* both are keys of maps: nothing behind the text */
		for (size_t k = strlen(r.who.user); k < sizeof(r.who.user); k++)
			assert_int_equal(r.who.user[k], 0);
		for (size_t k = strlen(r.check); k < sizeof(r.check); k++)
			assert_int_equal(r.check[k], 0);
	}
}

static void
no_requests(void **state)
{
	static const struct { const char *target, *says; } cases[] = {
		{ "", "path" }, { "/", "path" }, { AT, "path" }, { "/machine/ssh/actio", "path" },
		{ AT "1", "path" }, { AT "1/to/", "path" }, { AT "1/from/2?local_user=r", "path" },
		{ AT "/to/2?local_user=r", "path" }, { AT "0/to/2?local_user=r", "path" },
		{ AT "-1/to/2?local_user=r", "path" }, { AT "1/to/2/?local_user=r", "path" },
		{ AT "1/to/0?local_user=r", "path" }, { AT "12345678901234567/to/2?local_user=r", "path" },
		{ AT "$SRC_NODE_ID/to/$DST_NODE_ID?local_user=r", "path" },
		{ AT "1/to/2", "missing" }, { AT "1/to/2?", "missing" }, { AT "1/to/2?local_user=", "missing" },
		{ AT "1/to/2?local_user", "missing" }, { AT "1/to/2?LOCAL_USER=r", "missing" },
		{ AT "1/to/2?local_user=a%0ab", "ASCII" }, { AT "1/to/2?local_user=%1b[31m", "ASCII" },
		{ AT "1/to/2?local_user=%00", "ASCII" }, { AT "1/to/2?local_user=%7f", "ASCII" },
		{ AT "1/to/2?local_user=j%C3%BCrgen", "ASCII" }, { AT "1/to/2?local_user=%e", "ASCII" },
		{ AT "1/to/2?local_user=%zz", "ASCII" },
	};
	char text[400];
	struct err_text why;
	struct ssh_req r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		why.s[0] = '\0';
		if (msg_ssh_parse(cases[i].target, &r, &why) != ERR_INVAL ||
		    strstr(why.s, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].target, why.s);
	}
	/* the longest name, and one more */
	snprintf(text, sizeof(text), AT "1/to/2?local_user=%0127d", 7);
	assert_int_equal(msg_ssh_parse(text, &r, &why), ERR_OK);
	assert_int_equal(strlen(r.who.user), SSH_USER_MAX - 1);
	snprintf(text, sizeof(text), AT "1/to/2?local_user=%0128d", 7);
	assert_int_equal(msg_ssh_parse(text, &r, &why), ERR_INVAL);
}

static void
answers(void **state)
{
#define URL "https://vpn.example.net" AT "$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
	static const char server[] = "https://vpn.example.net";
	static const struct { struct ssh_action a; const char *text; } cases[] = {
		{ { .is_accept = true }, "{\"accept\":true,\"allowAgentForwarding\":true,"
		  "\"allowLocalPortForwarding\":true,\"allowRemotePortForwarding\":true}" },
		{ { .is_reject = true, .message = "# no\r\n" },
		  "{\"message\":\"# no\\r\\n\",\"reject\":true}" },
		{ { .server_url = server }, "{\"holdAndDelegate\":\"" URL "\"}" },
		{ { .server_url = server, .check = ID, .message = "m" },
		  "{\"message\":\"m\",\"holdAndDelegate\":\"" URL "&check=" ID "\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct shbuf *b = msg_ssh_put(&cases[i].a);
		struct err_text why;
		json_t *v = NULL;

		assert_int_equal(json_parse(b->bytes, b->len, &v, &why), ERR_OK);
		json_decref(v);
		assert_int_equal(b->len, strlen(cases[i].text));
		assert_memory_equal(b->bytes, cases[i].text, b->len);
		shbuf_drop(b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests), cmocka_unit_test(no_requests), cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
