/* links: web/form web/auth_text web/scope */
/* The pure parsers of what strangers send: forms, Authorization, cookies, lists, scopes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "web/auth_text.h"
#include "web/form.h"
#include "web/scope.h"

static void
test_form(void **state)
{
	static const struct { const char *text; enum err rc; unsigned n; const char *a, *b; } cases[] = {
		{ "", ERR_OK, 0, NULL, NULL },
		{ "&&", ERR_OK, 0, NULL, NULL },
		{ "a=1&b=2", ERR_OK, 2, "1", "2" },
		{ "a&b=", ERR_OK, 2, "", "" },
		{ "a=x+y%20z&a=second", ERR_OK, 2, "x y z", NULL },
		{ "%61=%26%3d", ERR_OK, 1, "&=", NULL },
		{ "a=1=2", ERR_OK, 1, "1=2", NULL },
		{ "=v&b=2", ERR_OK, 2, NULL, "2" },
		{ "a=%", ERR_INVAL, 0, NULL, NULL }, { "a=%4", ERR_INVAL, 0, NULL, NULL },
		{ "a=%zz", ERR_INVAL, 0, NULL, NULL }, { "a=%00", ERR_INVAL, 0, NULL, NULL },
		{ "%4&b=1", ERR_INVAL, 0, NULL, NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct form f;
		assert_int_equal(form_parse(cases[i].text, strlen(cases[i].text), &f), cases[i].rc);
		assert_int_equal(f.n, cases[i].n);
		const char *a = form_get(&f, "a"), *b = form_get(&f, "b");
		assert_int_equal(a == NULL, cases[i].a == NULL);
		assert_int_equal(b == NULL, cases[i].b == NULL);
		if (a != NULL)
			assert_string_equal(a, cases[i].a);
		if (b != NULL)
			assert_string_equal(b, cases[i].b);
		form_fini(&f);
	}
}

static void
test_form_limit(void **state)
{
	struct buf b = { .len = 0 };
	struct form f;
	(void)state;

	for (int i = 0; i < FORM_PAIRS_MAX; i++)
		buf_str(&b, "x&");
	assert_int_equal(form_parse((char *)b.p, b.len, &f), ERR_OK);
	assert_int_equal(f.n, FORM_PAIRS_MAX);
	form_fini(&f);
	buf_str(&b, "x");
	assert_int_equal(form_parse((char *)b.p, b.len, &f), ERR_LIMIT);
	assert_int_equal(f.n, 0);
	form_fini(&f);
	buf_fini(&b);
}

static void
test_authorization(void **state)
{
	static const struct { const char *value; enum err rc; bool is_bearer; const char *user, *password; }
	cases[] = {
		{ "Bearer abc", ERR_OK, true, "abc", "" }, { "bearer  abc ", ERR_OK, true, "abc", "" },
		{ "Basic dTpw", ERR_OK, false, "u", "p" }, { "Basic dTo=", ERR_OK, false, "u", "" },
		{ "BASIC OnA=", ERR_OK, false, "", "p" }, { "Basic dTpwOnE=", ERR_OK, false, "u", "p:q" },
		{ "Basic Og", ERR_OK, false, "", "" },
		{ "Basic dQ==", ERR_INVAL, false, NULL, NULL },		/* no colon */
		{ "Basic d!pw", ERR_INVAL, false, NULL, NULL }, { "Basic dTpw=====", ERR_INVAL,
		  false, NULL, NULL },
		{ "Basic AHU6cA==", ERR_INVAL, false, NULL, NULL },	/* NUL */
		{ "Basic", ERR_INVAL, false, NULL, NULL }, { "", ERR_INVAL, false, NULL, NULL },
		{ "Digest x", ERR_INVAL, false, NULL, NULL },
	};
	char longest[2 * AUTH_TEXT_MAX];
	struct auth_text t;
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(auth_text_parse(cases[i].value, &t), cases[i].rc);
		if (cases[i].rc != ERR_OK)
			continue;
		assert_int_equal(t.is_bearer, cases[i].is_bearer);
		assert_string_equal(t.user, cases[i].user);
		assert_string_equal(t.password, cases[i].password);
	}
	snprintf(longest, sizeof(longest), "Bearer %0*d", AUTH_TEXT_MAX - 1, 0);
	assert_int_equal(auth_text_parse(longest, &t), ERR_OK);
	snprintf(longest, sizeof(longest), "Bearer %0*d", AUTH_TEXT_MAX, 0);
	assert_int_equal(auth_text_parse(longest, &t), ERR_INVAL);
}

static void
test_cookie(void **state)
{
	static const struct { const char *field, *want; } cases[] = {
		{ "s=1", "1" }, { "a=b; s=2", "2" }, { "xs=3; s=4 ; c=d", "4" }, { "s=\"5\"", "5" },
		  { "s=", "" },
		{ "S=1", NULL }, { "", NULL }, { ";;; ", NULL }, { "sx=1", NULL }, { "s", NULL },
		  { "a=s=1", NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t n = 99;
		const char *p = auth_text_cookie(cases[i].field, "s", &n);
		assert_int_equal(p == NULL, cases[i].want == NULL);
		if (p != NULL) {
			assert_int_equal(n, strlen(cases[i].want));
			assert_memory_equal(p, cases[i].want, n);
		}
	}
}

static void
test_scopes(void **state)
{
	static const struct { const char *have; enum scope scope; bool is_write, may; } cases[] = {
		{ "devices:core", SCOPE_DEVICES, true, true }, { "devices:core", SCOPE_DEVICES,
		  false, true },
		{ "devices:core:read", SCOPE_DEVICES, false, true }, { "devices:core:read",
		  SCOPE_DEVICES, true, false },
		{ "devices:core", SCOPE_ROUTES, false, false }, { "all", SCOPE_USERS, true, true },
		{ "all:read", SCOPE_USERS, false, true }, { "all:read", SCOPE_USERS, true, false },
		{ "", SCOPE_DNS, false, false }, { " dns  users ", SCOPE_USERS, true, true },
		{ "users", SCOPE_ALL, false, false }, { "all:read", SCOPE_ALL, false, true },
	};
	static const char *const unknown[] = { "device", "devices:core:write", ":read",
	    "dns users,all", "all:read:read" };
	struct err_text why;
	scope_set a, b;
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(scope_parse(cases[i].have, &a, NULL), ERR_OK);
		assert_int_equal(scope_may(a, cases[i].scope, cases[i].is_write), cases[i].may);
	}
	for (size_t i = 0; i < COUNT_OF(unknown); i++)
		assert_int_equal(scope_parse(unknown[i], &a, &why), ERR_INVAL);
	assert_int_equal(scope_parse("devices:core dns:read", &a, NULL), ERR_OK);
	assert_int_equal(scope_parse("devices:core:read dns:read", &b, NULL), ERR_OK);
	assert_true(scope_includes(a, b));
	assert_false(scope_includes(b, a));
	assert_true(scope_includes(SCOPE_EVERYTHING, a));
	assert_false(scope_includes(a, SCOPE_READ(SCOPE_ALL)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form), cmocka_unit_test(test_form_limit),
		    cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_cookie), cmocka_unit_test(test_scopes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
