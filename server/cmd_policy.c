/* fairlead policy: who may reach what. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"
#include "server/cmd_policy_text.h"

static const char *comment, *confirm_within, *if_version, *version_wanted, *file;

/* --- requests --------------------------------------------------------------------------------- */

/* {"text": …} of the file; of no file (NULL) an empty object. NULL: said already. */
static json_t *
body_of(const char *path)
{
	struct buf text = { .len = 0 };
	json_t *body = json_object(), *v;

	if (path == NULL)
		return body;
	if (cmd_policy_read(path, &text) != 0) {
		buf_fini(&text);
		json_decref(body);
		return NULL;
	}
	v = json_stringn((const char *)text.p, text.len);
	buf_fini(&text);
	if (v == NULL) {
		cli_fail("%s is not UTF-8", path);
		json_decref(body);
		return NULL;
	}
	json_object_set_new(body, "text", v);
	return body;
}

/* A whole number. false: said. */
static bool
number_parse(const char *text, int64_t *out)
{
	int64_t v = decimal_parse(text);

	if (v < 0) {
		cli_fail("\"%.60s\" is no version: a number, as fairlead policy history lists them", text);
		return false;
	}
	*out = v;
	return true;
}

/* The flags of saving into the body, which it returns. NULL: said, and dropped. */
static json_t *
save_flags(json_t *body)
{
	struct err_text why;
	int64_t seconds = 0, version = 0;

	if (body == NULL)
		return NULL;
	if (confirm_within != NULL && cli_duration_parse(confirm_within, &seconds, &why) != ERR_OK) {
		cli_fail("--confirm-within: %s", why.s);
		goto bad;
	}
	if (if_version != NULL && !number_parse(if_version, &version))
		goto bad;
	if (seconds != 0)
		json_object_set_new(body, "confirmWithinSeconds", json_integer(seconds));
	if (if_version != NULL)
		json_object_set_new(body, "ifVersion", json_integer(version));
	if (comment != NULL)
		json_object_set_new(body, "comment", json_string(comment));
	return body;
bad:
	json_decref(body);
	return NULL;
}

static void
print_saved(const struct cli *c, const json_t *v)
{
	int64_t version = json_get_int(v, "version", 0);

	(void)c;
	cli_print_faults("warning: ", json_object_get(v, "warnings"));
	if (json_get_bool(v, "isUnchanged", false))
		printf("The policy is as it was: version %" PRId64 ".\n", version);
	else
		printf("Version %" PRId64 " of the policy is in force.\n", version);
	if (json_is_string(json_object_get(v, "confirmBy")))
		printf("It is taken back at %s unless you confirm it:\n\n"
		    "  fairlead policy confirm %" PRId64 "\n",
		    json_get_str(v, "confirmBy", ""), version);
}

static int
save(const struct cli *c, const char *method, const char *path, json_t *body_taken)
{
	return body_taken == NULL ? 2 : cli_ask(c, method, path, body_taken, print_saved);
}

/* --- verbs ------------------------------------------------------------------------------------ */

/* The text of a version; NULL: of the one in force. 0, or the exit code; what is wrong is said. */
static int
fetch(const char *version, json_t **out)
{
	int64_t n = 0;
	char path[64] = "/policy";

	if (version != NULL && !number_parse(version, &n))
		return 2;
	if (version != NULL)
		snprintf(path, sizeof(path), "/policy/versions/%" PRId64, n);
	return cli_call("GET", path, NULL, out);
}

static int
policy_get(struct cli *c)
{
	json_t *v;
	int code = fetch(version_wanted, &v);

	if (code != 0)
		return code;
	if (c->is_json) {
		cli_print_json(v);
	} else {
		const json_t *text = json_object_get(v, "text");
		fwrite(json_string_value(text), 1, json_string_length(text), stdout);
		if (json_is_string(json_object_get(v, "problem")))
			cli_fail("warning: %s", json_get_str(v, "problem", ""));
	}
	json_decref(v);
	return 0;
}

static int
policy_set(struct cli *c)
{
	return save(c, "PUT", "/policy", save_flags(body_of(c->argv[0])));
}

static int
policy_rollback(struct cli *c)
{
	int64_t version;

	if (!number_parse(c->argv[0], &version))
		return 2;
	return save(c, "POST", "/policy/rollback", save_flags(json_pack("{s:I}", "version",
	    (json_int_t)version)));
}

static void
print_confirmed(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("Version %" PRId64 " of the policy stays.\n", json_get_int(v, "version", 0));
}

static int
policy_confirm(struct cli *c)
{
	int64_t version = 0;
	json_t *body = json_object();

	if (c->argc > 0 && !number_parse(c->argv[0], &version)) {
		json_decref(body);
		return 2;
	}
	if (c->argc > 0)
		json_object_set_new(body, "version", json_integer(version));
	return cli_ask(c, "POST", "/policy/confirm", body, print_confirmed);
}

/* Both of check and test: good is 0. */
static int
check(const struct cli *c, const char *path, bool is_about_tests)
{
	json_t *v, *body = body_of(path);
	int code = body == NULL ? 2 : cli_call("POST", "/policy/check", body, &v);

	if (code != 0)
		return code;
	bool is_ok = json_get_bool(v, "ok", false);
	if (c->is_json) {
		cli_print_json(v);
	} else {
		cli_print_faults("", json_object_get(v, "errors"));
		cli_print_faults("warning: ", json_object_get(v, "warnings"));
		if (json_get_int(v, "leftOff", 0) > 0)
			fprintf(stderr, "and %" PRId64 " more\n", json_get_int(v, "leftOff", 0));
		if (is_ok && is_about_tests)
			printf("%" PRId64 " tests passed.\n", json_get_int(v, "tests", 0));
		else if (is_ok)
			printf("The policy is good.\n");
	}
	json_decref(v);
	return is_ok ? 0 : 1;
}

static int
policy_check(struct cli *c)
{
	return check(c, c->argv[0], false);
}

static int
policy_test(struct cli *c)
{
	return check(c, c->argc > 0 ? c->argv[0] : NULL, true);
}

static const struct cli_column history_columns[] = {
	{ .head = "VERSION", .member = "version" },
	{ .head = "WHEN", .member = "made", .is_time = true },
	{ .head = "WHO", .member = "author" },
	{ .head = "BYTES", .member = "bytes" },
	{ .head = "COMMENT", .member = "comment" },
};

static int
policy_history(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/policy/versions", .array = "versions",
	    .columns = history_columns, .n_columns = COUNT_OF(history_columns),
	    .none = "No policy was ever set: every device reaches every other one." });
}

static int
policy_diff(struct cli *c)
{
	json_t *a = NULL, *b = NULL;
	int code = fetch(c->argv[0], &a);

	if (code == 0)
		code = fetch(c->argc > 1 ? c->argv[1] : NULL, &b);
	if (code == 0)
		code = cmd_policy_diff(a, b);
	json_decref(a);
	json_decref(b);
	return code;
}

/* The lines that the answer has for people. */
static void
print_text(const struct cli *c, const json_t *v)
{
	(void)c;
	fputs(json_get_str(v, "text", ""), stdout);
}

static int
policy_explain(struct cli *c)
{
	json_t *body = body_of(file);

	if (body == NULL)
		return 2;
	json_object_set_new(body, "src", json_string(c->argv[0]));
	json_object_set_new(body, "dst", json_string(c->argv[1]));
	return cli_ask(c, "POST", "/policy/explain", body, print_text);
}

static int
policy_plan(struct cli *c)
{
	return cli_make(c, "/policy/plan", body_of(c->argv[0]), print_text);
}

/* In the editor of the person; what was refused is kept for the next try. */
static int
policy_edit(struct cli *c)
{
	char path[] = "/tmp/fairlead-policy-XXXXXX", number[24];
	json_t *v = NULL;
	int code = fetch(NULL, &v);

	if (code != 0)
		return code;
	const json_t *text = json_object_get(v, "text");
	int edited = cmd_policy_edit(path, json_string_value(text), json_string_length(text));
	if (edited < 0) {
		code = 1;
	} else if (edited == 0) {
		printf("Nothing was changed.\n");
	} else {
		snprintf(number, sizeof(number), "%" PRId64, json_get_int(v, "version", 0));
		if_version = number;
		code = save(c, "PUT", "/policy", save_flags(body_of(path)));
	}
	if (code != 0 && edited > 0)
		fprintf(stderr, "Your text is kept in %s: mend it, then fairlead policy set %s\n", path, path);
	else if (edited >= 0)
		unlink(path);
	json_decref(v);
	return code;
}

static const struct cli_opt get_opts[] = {
	{ "version", 0, CLI_STRING, &version_wanted, "N", "an older one" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_opt save_opts[] = {
	{ "confirm-within", 0, CLI_STRING, &confirm_within, "TIME",
	  "taken back by itself unless confirmed by then: 5m" },
	{ "if-version", 0, CLI_STRING, &if_version, "N", "only if version N is in force" },
	{ "comment", 'm', CLI_STRING, &comment, "TEXT", "what it is for; the history shows it" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_opt explain_opts[] = {
	{ "file", 0, CLI_STRING, &file, "FILE", "under this policy, not the one in force" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "get", "show", "", 0, 0, "Prints the policy in force", get_opts, policy_get },
	{ "set", NULL, "FILE", 1, 1, "Checks a policy and puts it in force; FILE - is standard input",
	  save_opts, policy_set },
	{ "edit", NULL, "", 0, 0, "Opens the policy in $EDITOR, then sets it", save_opts, policy_edit },
	{ "check", "validate", "FILE", 1, 1, "Says whether a policy is good, with its tests", NULL,
	  policy_check },
	{ "test", NULL, "[FILE]", 0, 1, "Runs the tests of the policy in force, or of FILE", NULL,
	  policy_test },
	{ "plan", NULL, "FILE", 1, 1, "Says which devices would gain or lose what", NULL, policy_plan },
	{ "explain", NULL, "SRC DST:PORT", 2, 2, "Says why SRC reaches DST, or what would have to change",
	  explain_opts, policy_explain },
	{ "history", "versions", "", 0, 0, "Lists the versions, newest first", NULL, policy_history },
	{ "diff", NULL, "N [M]", 1, 2, "Compares version N with M, or with the one in force", NULL,
	  policy_diff },
	{ "rollback", NULL, "N", 1, 1, "Puts the text of version N in force again", save_opts,
	  policy_rollback },
	{ "confirm", NULL, "[N]", 0, 1, "Keeps what was set with --confirm-within", NULL, policy_confirm },
};

static const struct cli_noun noun = {
	"policy", "Who may reach what; docs/policy.md is about its language.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_policy = {
	.name = "policy", .noun = &noun, .summary = "who may reach what: set, check, explain, history, …",
};
