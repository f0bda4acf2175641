/* fairlead dns: names and resolvers of nodes. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *comment;

enum kind { DNS_FLAG, DNS_LIST, DNS_SERVERS };

static const struct {
	const char *name, *member;
	enum kind kind;
	const char *help;
} settings[] = {
	{ "magic-dns", "magicDNS", DNS_FLAG, "nodes resolve each other's names" },
	{ "override-local-dns", "overrideLocalDNS", DNS_FLAG,
	  "nameservers replace the nodes' own resolvers" },
	{ "nameservers", "nameservers", DNS_SERVERS, "addresses or https:// URLs, for other names" },
	{ "search-domains", "searchPaths", DNS_LIST, "tried behind short names, after the base domain" },
	{ "no-dns-tags", "noDNSTags", DNS_LIST, "nodes with one of these tags keep their own resolver" },
};

/* "a, b (also with an exit node)"; "none" for an empty list. */
static void
put_list(const json_t *list, struct buf *out)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		buf_str(out, i > 0 ? ", " : "");
		buf_str(out, json_is_string(v) ? json_string_value(v) : json_get_str(v, "address", "?"));
		if (json_get_bool(v, "useWithExitNode", false))
			buf_str(out, " (also with an exit node)");
	}
	if (json_array_size(list) == 0)
		buf_str(out, "none");
}

static bool
is_changed(const json_t *dns, const char *member)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(dns, "changed"), i, v)
		if (strcmp(json_string_value(v), member) == 0)
			return true;
	return false;
}

static void
print_line(const json_t *dns, const char *name, const char *member)
{
	const json_t *v = json_object_get(dns, member);
	struct buf text = { .len = 0 };

	if (json_is_boolean(v))
		buf_str(&text, json_is_true(v) ? "on" : "off");
	else
		put_list(v, &text);
	printf("%-20s%s%s\n", name, buf_cstr(&text), is_changed(dns, member) ? "  (changed)" : "");
	buf_fini(&text);
}

static void
print_split(const json_t *dns)
{
	json_t *split = json_object_get(dns, "splitDNS"), *list;
	const char *domain;

	if (json_object_size(split) == 0)
		printf("%-20snone%s\n", "split DNS", is_changed(dns, "splitDNS") ? "  (changed)" : "");
	json_object_foreach(split, domain, list) {
		struct buf text = { .len = 0 };

		put_list(list, &text);
		printf("%-20s%s: %s%s\n", "split DNS", domain, buf_cstr(&text),
		    is_changed(dns, "splitDNS") ? "  (changed)" : "");
		buf_fini(&text);
	}
}

static void
print_all(const struct cli *c, const json_t *v)
{
	const json_t *file = json_object_get(v, "recordsFile");
	const char *problem = json_get_str(file, "problem", NULL);

	(void)c;
	printf("%-20s%s\n", "base domain", json_get_str(v, "baseDomain", "?"));
	for (size_t i = 0; i < COUNT_OF(settings); i++)
		print_line(v, settings[i].name, settings[i].member);
	print_split(v);
	printf("%-20s%zu (fairlead dns records)\n", "records", json_array_size(json_object_get(v, "records")));
	if (file != NULL)
		printf("%-20s%s\n", "file of records", json_get_str(file, "path", "?"));
	if (problem != NULL)
		printf("%-20s%s\n", "", problem);
}

static int
dns_get(struct cli *c)
{
	return cli_ask(c, "GET", "/dns", NULL, print_all);
}

static int
patch(struct cli *c, json_t *body)
{
	return body == NULL ? cli_fail("a word is not UTF-8") : cli_ask(c, "PATCH", "/dns", body, print_all);
}

/* Index; COUNT_OF(settings): none, and that is said. */
static size_t
find(const char *name)
{
	size_t i = 0;

	while (i < COUNT_OF(settings) && strcmp(settings[i].name, name) != 0)
		i++;
	if (i == COUNT_OF(settings))
		cli_fail("there is no setting \"%.60s\": fairlead dns get lists them", name);
	return i;
}

/* on, off; NULL: neither, and that is said. */
static json_t *
flag_parse(const char *name, const char *word)
{
	if (strcmp(word, "on") == 0 || strcmp(word, "true") == 0)
		return json_true();
	if (strcmp(word, "off") == 0 || strcmp(word, "false") == 0)
		return json_false();
	cli_fail("%s: \"%.60s\" is neither on nor off", name, word);
	return NULL;
}

/* The words, each perhaps with commas, but for "none". */
static json_t *
list_parse(int n, char **words, const char *prefix)
{
	json_t *body = json_object(), *list;

	for (int i = 0; i < n; i++)
		if (strcmp(words[i], "none") != 0)
			cli_words_add(body, "list", words[i], prefix);
	list = json_incref(json_object_get(body, "list"));
	json_decref(body);
	return list != NULL ? list : json_array();
}

static int
dns_set(struct cli *c)
{
	size_t i = find(c->argv[0]);
	json_t *v;

	if (i == COUNT_OF(settings))
		return 2;
	if (settings[i].kind == DNS_FLAG && c->argc > 2) {
		cli_fail("%s is one word: on or off", settings[i].name);
		return 2;
	}
	v = settings[i].kind == DNS_FLAG ? flag_parse(settings[i].name, c->argv[1]) :
	    list_parse(c->argc - 1, c->argv + 1,
	    strcmp(settings[i].member, "noDNSTags") == 0 ? "tag:" : "");
	return v == NULL ? 2 : patch(c, json_pack("{s:o}", settings[i].member, v));
}

static int
dns_reset(struct cli *c)
{
	json_t *body = json_object();
	bool is_all = c->argc == 0 || strcmp(c->argv[0], "all") == 0;
	size_t i = is_all || strcmp(c->argv[0], "split") == 0 ? 0 : find(c->argv[0]);

	if (i == COUNT_OF(settings)) {
		json_decref(body);
		return 2;
	}
	if (is_all || strcmp(c->argv[0], "split") == 0)
		json_object_set_new(body, "splitDNS", json_null());
	for (size_t k = 0; k < COUNT_OF(settings); k++)
		if (is_all || (strcmp(c->argv[0], "split") != 0 && k == i))
			json_object_set_new(body, settings[k].member, json_null());
	return patch(c, body);
}

static int
dns_split(struct cli *c)
{
	json_t *v = NULL, *all;
	int code = cli_call("GET", "/dns", NULL, &v);

	if (code != 0)
		return code;
	all = json_incref(json_object_get(v, "splitDNS"));
	json_decref(v);
	json_object_del(all, c->argv[0]);
	json_object_set_new(all, c->argv[0], list_parse(c->argc - 1, c->argv + 1, ""));
	return patch(c, json_pack("{s:o}", "splitDNS", all));
}

static void
put_note(const json_t *record, int64_t now_unix_s, struct buf *out)
{
	const char *problem = json_get_str(record, "problem", NULL);

	(void)now_unix_s;
	buf_str(out, problem != NULL ? problem : json_get_str(record, "comment", ""));
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "NAME", .member = "name" },
	{ .head = "TYPE", .member = "type" },
	{ .head = "VALUE", .member = "value" },
	{ .head = "FROM", .member = "source" },
	{ .head = "NOTE", .put = put_note },
};

static int
dns_records(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/dns/records", .array = "records",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "There are no records: fairlead dns add NAME TYPE VALUE" });
}

static void
print_made(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("Record %s %s %s is made (id %s).\n", json_get_str(v, "name", "?"),
	    json_get_str(v, "type", "?"), json_get_str(v, "value", "?"), json_get_str(v, "id", "?"));
}

static int
dns_add(struct cli *c)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:s*}", "name", c->argv[0], "type", c->argv[1], "value",
	    c->argv[2], "comment", comment);

	return body == NULL ? cli_fail("a word is not UTF-8") : cli_make(c, "/dns/records", body, print_made);
}

static int
dns_remove(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/dns/records/", .kind = "Record",
		.done = "is removed" };

	return cli_change(c, &how, NULL);
}

static const struct cli_opt add_opts[] = {
	{ "comment", 0, CLI_STRING, &comment, "TEXT", "what it is for" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "get", "show", "", 0, 0, "Shows what nodes are told", NULL, dns_get },
	{ "set", NULL, "NAME VALUE...", 2, 64, "Changes a setting; a list may be none", NULL, dns_set },
	{ "split", NULL, "DOMAIN ADDR...", 2, 17, "Names below the domain are looked up there; none: no more",
	  NULL, dns_split },
	{ "reset", NULL, "[NAME]", 0, 1, "A setting, \"split\", or all, is as configured again", NULL,
	  dns_reset },
	{ "records", "list", "", 0, 0, "Lists further names", NULL, dns_records },
	{ "add", NULL, "NAME TYPE VALUE", 3, 3, "Adds a name: A, AAAA or CNAME", add_opts, dns_add },
	{ "remove", "rm", "ID", 1, 1, "Removes a name that was added", NULL, dns_remove },
};

static const struct cli_noun noun = {
	"dns", "DNS: resolvers, search domains and further names of nodes.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_dns = {
	.name = "dns", .noun = &noun, .summary = "DNS: get, set, split, reset, records, add, remove",
};
