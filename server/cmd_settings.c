/* fairlead settings: what may be changed while the server runs. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

enum kind { SETTING_BOOL, SETTING_DAYS };

static const struct {
	const char *name, *member;
	enum kind kind;
	const char *help;
} settings[] = {
	{ "devices-need-approval", "devicesNeedApproval", SETTING_BOOL,
	  "on, off: nodes see nobody until one approves them, unless a key or a login did" },
	{ "key-days", "keyDays", SETTING_DAYS,
	  "days until keys of untagged nodes expire; never; default (as configured)" },
	{ "refuse-cluster-overlap", "refuseClusterOverlap", SETTING_BOOL,
	  "on, off: a route that another K3s cluster claims is not approved" },
	{ "disable-cgnat-drop-rule", "disableCgnatDropRule", SETTING_BOOL,
	  "on, off: Linux nodes let in packets from 100.64.0.0/10 that come from elsewhere" },
};

static void
put_value(const json_t *v, size_t i, struct buf *out)
{
	json_int_t n = json_integer_value(json_object_get(v, settings[i].member));

	if (settings[i].kind == SETTING_BOOL)
		buf_str(out, json_get_bool(v, settings[i].member, false) ? "on" : "off");
	else if (n == 0)
		buf_str(out, "never");
	else if (n < 0)
		buf_printf(out, "default (%" JSON_INTEGER_FORMAT ")",
		    json_integer_value(json_object_get(v, "keyDaysInEffect")));
	else
		buf_printf(out, "%" JSON_INTEGER_FORMAT, n);
}

/* Index; COUNT_OF(settings): none, and that is said. */
static size_t
find(const char *name)
{
	size_t i = 0;

	while (i < COUNT_OF(settings) && strcmp(settings[i].name, name) != 0)
		i++;
	if (i == COUNT_OF(settings))
		cli_fail("there is no setting \"%.60s\": fairlead settings get lists them", name);
	return i;
}

/* Prints one of them, or (COUNT_OF) all. Drops v. */
static int
print(const struct cli *c, json_t *v, size_t one)
{
	struct buf text = { .len = 0 };

	for (size_t i = 0; !c->is_json && i < COUNT_OF(settings); i++) {
		if (one < COUNT_OF(settings) && i != one)
			continue;
		buf_clear(&text);
		put_value(v, i, &text);
		if (one < COUNT_OF(settings))
			printf("%s\n", buf_cstr(&text));
		else
			printf("%-26s%-16s%s\n", settings[i].name, buf_cstr(&text), settings[i].help);
	}
	if (c->is_json)
		cli_print_json(v);
	buf_fini(&text);
	json_decref(v);
	return 0;
}

static int
settings_get(struct cli *c)
{
	size_t i = c->argc > 0 ? find(c->argv[0]) : COUNT_OF(settings);
	json_t *v;
	int code;

	if (c->argc > 0 && i == COUNT_OF(settings))
		return 2;
	code = cli_call("GET", "/settings", NULL, &v);
	return code != 0 ? code : print(c, v, i);
}

static bool
days_parse(const char *word, json_int_t *out)
{
	char *end = NULL;

	*out = strcmp(word, "never") == 0 ? 0 : strcmp(word, "default") == 0 ? -1 :
	    strtol(word, &end, 10);
	return end == NULL || (*end == 0 && *out > 0);
}

/* NULL: the word is none of the setting's, and that is said. */
static json_t *
value_parse(size_t i, const char *word)
{
	static const char *const yes[] = { "on", "true", "yes", "1" };
	static const char *const no[] = { "off", "false", "no", "0" };
	json_int_t days;

	for (size_t k = 0; settings[i].kind == SETTING_BOOL && k < COUNT_OF(yes); k++) {
		if (strcmp(word, yes[k]) == 0 || strcmp(word, no[k]) == 0)
			return json_boolean(strcmp(word, yes[k]) == 0);
	}
	if (settings[i].kind == SETTING_DAYS && days_parse(word, &days))
		return json_integer(days);
	cli_fail("%s: \"%.60s\" is not possible: %s", settings[i].name, word, settings[i].help);
	return NULL;
}

static int
settings_set(struct cli *c)
{
	size_t i = find(c->argv[0]);
	json_t *v, *value = i == COUNT_OF(settings) ? NULL : value_parse(i, c->argv[1]);
	int code;

	if (value == NULL)
		return 2;
	code = cli_call("PATCH", "/settings", json_pack("{s:o}", settings[i].member, value), &v);
	return code != 0 ? code : print(c, v, i);
}

static const struct cli_verb verbs[] = {
	{ "get", "list", "[NAME]", 0, 1, "Shows settings, or one of them", NULL, settings_get },
	{ "set", NULL, "NAME VALUE", 2, 2, "Changes a setting", NULL, settings_set },
};

static const struct cli_noun noun = {
	"settings", "Settings that are changed while the server runs.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_settings = {
	.name = "settings", .noun = &noun, .summary = "settings: get, set",
};
