/* Verbs and their help. */
#include "server/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli_client.h"
#include "server/suggest.h"

static bool wants_help;
static const char *format = "table";

static const struct cli_opt common_opts[] = {
	{ "output", 'o', CLI_STRING, &format, "json|table", "json for programs, a table for people (default)" },
	{ "help", 'h', CLI_BOOL, &wants_help, NULL, "this text" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_opt remote_opts[] = {
	{ "socket", 0, CLI_STRING, &cli_client_socket, "PATH",
	  "of the server; default $FAIRLEAD_SOCKET, else its own" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_opt no_opts[] = { { NULL, 0, CLI_BOOL, NULL, NULL, NULL } };

int
cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("fairlead: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* "fairlead noun verb ARGS" into out; returns it. */
static char *
verb_line(const struct cli_noun *noun, const struct cli_verb *v, char out[160])
{
	snprintf(out, 160, "fairlead %s%s%s%s%s", noun->name, *v->name != 0 ? " " : "", v->name,
	    *v->args != 0 ? " " : "", v->args);
	return out;
}

static void
verb_usage(const struct cli_noun *noun, const struct cli_verb *v, FILE *f)
{
	char line[160];

	fprintf(f, "%s\n\nUsage: %s [flags]\n\nFlags:\n", v->summary, verb_line(noun, v, line));
	if (v->opts != NULL)
		cli_opt_usage(v->opts, f);
	if (!noun->is_local)
		cli_opt_usage(remote_opts, f);
	cli_opt_usage(common_opts, f);
}

void
cli_usage(const struct cli_noun *noun, FILE *f)
{
	if (*noun->verbs[0].name == 0) {
		verb_usage(noun, &noun->verbs[0], f);
		return;
	}
	fprintf(f, "%s\n\nUsage: fairlead %s VERB [...]\n\nVerbs:\n", noun->summary, noun->name);
	for (size_t i = 0; i < noun->n_verbs; i++) {
		const struct cli_verb *v = &noun->verbs[i];
		char left[64];
		snprintf(left, sizeof(left), "%s%s%s", v->name, *v->args != 0 ? " " : "", v->args);
		fprintf(f, "  %-26s %s\n", left, v->summary);
	}
	fprintf(f, "\nfairlead %s VERB --help says more.\n", noun->name);
}

static const struct cli_verb *
verb_find(const struct cli_noun *noun, const char *word)
{
	for (size_t i = 0; i < noun->n_verbs; i++) {
		const struct cli_verb *v = &noun->verbs[i];
		if (strcmp(v->name, word) == 0 || (v->alias != NULL && strcmp(v->alias, word) == 0))
			return v;
	}
	return NULL;
}

static int
verb_unknown(const struct cli_noun *noun, const char *word)
{
	struct suggest s = { .word = word };

	for (size_t i = 0; i < noun->n_verbs; i++)
		suggest_try(&s, noun->verbs[i].name);
	if (s.best != NULL)
		cli_fail("%s has no verb \"%s\"; did you mean \"%s\"?", noun->name, word, s.best);
	else
		cli_fail("%s has no verb \"%s\"; fairlead %s --help lists them", noun->name, word, noun->name);
	return 2;
}

static int
verb_run(const struct cli_noun *noun, const struct cli_verb *v, int argc, char **argv)
{
	const struct cli_opt *tables[] = { v->opts != NULL ? v->opts : no_opts, common_opts,
		noun->is_local ? no_opts : remote_opts, NULL };
	struct cli c = { .noun = noun->name };
	struct err_text why;
	char line[160];

	if (cli_opt_parse(tables, &argc, argv, &why) != ERR_OK) {
		cli_fail("%s", why.s);
		return 2;
	}
	if (wants_help) {
		verb_usage(noun, v, stdout);
		return 0;
	}
	c.is_json = strcmp(format, "json") == 0;
	if (!c.is_json && strcmp(format, "table") != 0) {
		cli_fail("unknown output format \"%s\": json or table", format);
		return 2;
	}
	c.argc = argc - 1;
	c.argv = argv + 1;
	if (c.argc >= v->args_min && c.argc <= v->args_max)
		return v->run(&c);
	if (c.argc > v->args_max)
		cli_fail("too much: \"%s\"; usage: %s", c.argv[v->args_max], verb_line(noun, v, line));
	else
		cli_fail("something is missing; usage: %s", verb_line(noun, v, line));
	return 2;
}

int
cli_main(const struct cli_noun *noun, int argc, char **argv)
{
	const struct cli_verb *v;

	if (*noun->verbs[0].name == 0)
		return verb_run(noun, &noun->verbs[0], argc, argv);
	if (argc < 2) {
		cli_usage(noun, stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		cli_usage(noun, stdout);
		return 0;
	}
	if ((v = verb_find(noun, argv[1])) == NULL)
		return verb_unknown(noun, argv[1]);
	return verb_run(noun, v, argc - 1, argv + 1);
}
