/* Flags by table. */
#include "server/cli_opt.h"

#include <string.h>

#include "server/suggest.h"

static const struct cli_opt *
find(const struct cli_opt *const *tables, const char *name, size_t n, char letter)
{
	for (; *tables != NULL; tables++)
		for (const struct cli_opt *o = *tables; o->name != NULL; o++)
			if (letter != 0 ? o->letter == letter :
			    strlen(o->name) == n && strncmp(o->name, name, n) == 0)
				return o;
	return NULL;
}

static enum err
say_unknown(const struct cli_opt *const *tables, const char *arg, struct err_text *why)
{
	char name[64];
	struct suggest s = { .word = name };

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
	for (; arg[1] == '-' && *tables != NULL; tables++)
		for (const struct cli_opt *o = *tables; o->name != NULL; o++)
			suggest_try(&s, o->name);
	if (s.best != NULL)
		return err_say(why, ERR_INVAL, "unknown flag --%s; did you mean --%s?", name, s.best);
	return err_say(why, ERR_INVAL, "unknown flag %.60s; --help lists them", arg);
}

/* value: what stood behind "=" or the letter, NULL if nothing did. */
static enum err
put(const struct cli_opt *o, const char *value, int argc, char **argv, int *at, struct err_text *why)
{
	if (o->kind == CLI_BOOL) {
		bool is_true = value == NULL || strcmp(value, "true") == 0;
		if (!is_true && strcmp(value, "false") != 0)
			return err_say(why, ERR_INVAL, "--%s takes no value but true or false", o->name);
		*(bool *)o->to = is_true;
		return ERR_OK;
	}
	if (value == NULL && *at + 1 >= argc)
		return err_say(why, ERR_INVAL, "--%s needs a value: %s", o->name, o->arg);
	*(const char **)o->to = value != NULL ? value : argv[++*at];
	return ERR_OK;
}

enum err
cli_opt_parse(const struct cli_opt *const *tables, int *argc, char **argv, struct err_text *why)
{
	int kept = 1, at = 1;

	for (; at < *argc; at++) {
		const char *arg = argv[at], *value = NULL;
		const struct cli_opt *o;
		if (strcmp(arg, "--") == 0) {
			at++;
			break;
		}
		if (arg[0] != '-' || arg[1] == 0) {
			argv[kept++] = argv[at];
			continue;
		}
		if (arg[1] == '-') {
			size_t n = strcspn(arg + 2, "=");
			value = arg[2 + n] == '=' ? arg + 3 + n : NULL;
			o = find(tables, arg + 2, n, 0);
		} else {
			o = find(tables, NULL, 0, arg[1]);
			if (arg[2] != 0)
				value = arg + 2 + (arg[2] == '=');
		}
		if (o == NULL)
			return say_unknown(tables, arg, why);
		enum err rc = put(o, value, *argc, argv, &at, why);
		if (rc != ERR_OK)
			return rc;
	}
	while (at < *argc)
		argv[kept++] = argv[at++];
	argv[kept] = NULL;
	*argc = kept;
	return ERR_OK;
}

void
cli_opt_usage(const struct cli_opt *table, FILE *f)
{
	for (const struct cli_opt *o = table; o->name != NULL; o++) {
		char left[64];
		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter != 0 ? "-" : " ",
		    o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
		    o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
		fprintf(f, "  %-28s %s\n", left, o->help);
	}
}
