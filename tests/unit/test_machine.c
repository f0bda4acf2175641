/* links: coord/machine */
/* Routes under /machine/: every path, wrong methods, unknown paths, clients that are too old; and
 * answers that say JSON are JSON. */
#include "coord/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void
routes(void **state)
{
	static const struct {
		const char *method, *path;
		uint16_t version;
		enum machine_act act;
		int status;
		const char *says;
	} cases[] = {
		{ "POST", "/machine/register", 113, MACHINE_REGISTER, 0, NULL },
		{ "POST", "/machine/register?x", 65535, MACHINE_REGISTER, 0, NULL },
		{ "POST", "/machine/map", 145, MACHINE_MAP, 0, NULL },
		{ "GET", "/machine/whoami", 145, MACHINE_WHOAMI, 0, NULL },
		{ "GET", "/machine/whoami", 1, MACHINE_WHOAMI, 0, NULL },
		{ "POST", "/machine/register", 112, MACHINE_ANSWER, 200, "1.80" },
		{ "POST", "/machine/map", 112, MACHINE_ANSWER, 400, "1.80" },
		{ "HEAD", "/machine/ping-response?id=0123456789abcdef", 145, MACHINE_PONG, 0, NULL },
		{ "GET", "/machine/ping-response", 145, MACHINE_ANSWER, 405, "method" },
		{ "GET", "/machine/map", 112, MACHINE_ANSWER, 405, "method" },
		{ "GET", "/machine/register", 145, MACHINE_ANSWER, 405, "method" },
		{ "", "/machine/map", 145, MACHINE_ANSWER, 405, "method" },
		{ "POST", "/machine/set-dns", 145, MACHINE_ANSWER, 501, "DNS" },
		{ "POST", "/machine/feature/query", 145, MACHINE_ANSWER, 200, "Text" },
		{ "GET", "/machine/ssh/action/1/from/2", 145, MACHINE_SSH, 0, NULL },
		{ "GET", "/machine/ssh/action/1/to/2?local_user=root", 145, MACHINE_SSH, 0, NULL },
		{ "POST", "/machine/ssh/action/1/to/2", 145, MACHINE_ANSWER, 405, "method" },
		{ "PATCH", "/machine/set-device-attr", 145, MACHINE_ANSWER, 501, "attributes" },
		{ "POST", "/machine/audit-log", 145, MACHINE_ANSWER, 501, "audit" },
		{ "POST", "/machine/id-token", 145, MACHINE_ANSWER, 501, "token" },
		{ "POST", "/machine/update-health", 145, MACHINE_ANSWER, 501, "health" },
		{ "GET", "/machine/tka/bootstrap", 145, MACHINE_ANSWER, 501, "lock" },
		{ "POST", "/machine/webclient/init/1/to/2", 145, MACHINE_ANSWER, 501, "web" },
		{ "POST", "/machine/map/", 145, MACHINE_ANSWER, 404, "path" },
		{ "POST", "/machine/ma", 145, MACHINE_ANSWER, 404, "path" },
		{ "POST", "/machine/", 145, MACHINE_ANSWER, 404, "path" },
		{ "POST", "/machine", 145, MACHINE_ANSWER, 404, "path" },
		{ "POST", "/machine?/map", 145, MACHINE_ANSWER, 404, "path" },
		{ "GET", "/", 145, MACHINE_ANSWER, 404, "path" },
		{ "GET", "", 145, MACHINE_ANSWER, 404, "path" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct machine_route *r = machine_route(cases[i].method, cases[i].path,
		    cases[i].version);

		assert_int_equal(r->act, cases[i].act);
		assert_int_equal(r->status, cases[i].status);
		if (cases[i].says == NULL)
			continue;
		assert_non_null(strstr(r->text, cases[i].says));
		if (strcmp(r->content_type, "application/json") == 0) {
			struct err_text why;
			json_t *v = NULL;

			assert_int_equal(json_parse(r->text, strlen(r->text), &v, &why), ERR_OK);
			json_decref(v);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(routes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
