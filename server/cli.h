/*
 * What the subcommands that talk to a running server share: verbs by table with their flags and
 * help, requests to /api/fairlead/v1 over the Unix socket, and output as tables or JSON. One
 * command per process.
 */
#ifndef SERVER_CLI_H
#define SERVER_CLI_H

#include <jansson.h>

#include "server/cli_opt.h"
#include "server/cli_text.h"

/* A command under way. */
struct cli {
	const char *noun;
	int argc;			/* words behind the verb */
	char **argv;
	bool is_json;			/* -o json */
};

struct cli_verb {
	const char *name, *alias;	/* name "": the noun has only this one; alias may be NULL */
	const char *args;		/* in the help, "NAME NEW-NAME"; "" = none */
	int args_min, args_max;
	const char *summary;
	const struct cli_opt *opts;	/* NULL: none of its own */
	int (*run)(struct cli *c);	/* returns the exit code */
};

struct cli_noun {
	const char *name, *summary;
	const struct cli_verb *verbs;
	size_t n_verbs;
	bool is_local;			/* no server, so no --socket */
};

/* Runs argv[1] (a verb) of the noun; argv[0] is the noun. Prints help and complaints. Returns the exit code. */
int cli_main(const struct cli_noun *noun, int argc, char **argv);
void cli_usage(const struct cli_noun *noun, FILE *f);

/* One request. path behind /api/fairlead/v1; body may be NULL (taken). 0: *out (may be NULL) is the
 * answer, the caller's reference. Otherwise the exit code; the sentence is printed already. */
int cli_call(const char *method, const char *path, json_t *body_taken, json_t **out);
/* before + percent-encoded id + after; the caller frees it. */
char *cli_path(const char *before, const char *id, const char *after) MUST_USE;

/* Prints "fairlead: …" on stderr; returns 1. */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Faults of a text as the server lists them, one per line on stderr; NULL: none. */
void cli_print_faults(const char *before, const json_t *faults);
/* The answer as JSON for programs. Returns 0. */
int cli_print_json(const json_t *v);

/* A change of the object that is the command's first word, and what is said when it is done: "Node
 * web1 is now web2." is kind, that word, done, and a member of the answer. */
struct cli_change {
	const char *method;
	const char *path, *action;	/* "/nodes/" and "/expire"; action may be NULL */
	const char *kind, *done;
	const char *member;		/* NULL: done says all */
	const char *none;		/* instead of done when the member is empty; NULL: "none" behind it */
};
/* Asks for it and prints the answer. body may be NULL. Returns the exit code. */
int cli_change(const struct cli *c, const struct cli_change *how, json_t *body_taken);
/* The same with the body {member: value}; a value that is not UTF-8 is refused. */
int cli_patch(const struct cli *c, const struct cli_change *how, const char *value);

/* One request, and prints the answer: as JSON for programs, else print does. body may be NULL. Returns the
 * exit code. */
int cli_ask(const struct cli *c, const char *method, const char *path, json_t *body_taken,
	void (*print)(const struct cli *c, const json_t *answer));
/* The first word, or what is behind its last slash: people copy the address of a page. Borrowed. */
const char *cli_id_of(const struct cli *c);
/* Makes something: POST path. print says so to people. A body of NULL was refused already: exit code 2. */
int cli_make(const struct cli *c, const char *path, json_t *body_taken,
	void (*print)(const struct cli *c, const json_t *made));
/* "a,b c" becomes, or is appended to, the array in body; words without the prefix get it. Text NULL:
 * nothing. */
void cli_words_add(json_t *body, const char *member, const char *text, const char *prefix);
/* --expiration, unless NULL, into the body, which it returns. NULL: that is no time, which is said,
 * and the body is dropped. */
json_t *cli_expiry_set(json_t *body_taken, const char *expiration) MUST_USE;

/* A column of a list of objects, or a line of one. */
struct cli_column {
	const char *head;
	const char *member;		/* shown as it is: texts, numbers, yes and no, lists with commas */
	bool is_time;			/* as a distance; null is "never" */
	/* Instead of the member, unless NULL: appends the cell. */
	void (*put)(const json_t *object, int64_t now_unix_s, struct buf *out);
};
/* Prints the answer's array as a table, or `none` when it is empty; or the answer as JSON. Drops
 * the reference. Returns the exit code. */
int cli_print_list(const struct cli *c, json_t *answer_taken, const char *array,
	const struct cli_column *columns, unsigned n, const char *none);
/* The same with the answer to GET path; after, unless NULL, has more to say to people. */
struct cli_list {
	const char *path, *array;
	const struct cli_column *columns;
	unsigned n_columns;
	const char *none;
	void (*after)(const json_t *answer);
};
int cli_list(const struct cli *c, const struct cli_list *list);
/* The same for one object: "head: value" lines. */
int cli_print_object(const struct cli *c, json_t *answer_taken, const struct cli_column *columns,
	unsigned n);
/* The same with the answer to GET path + the command's first word. */
int cli_show(const struct cli *c, const char *path, const struct cli_column *columns, unsigned n);

/* Appends the cell of a member; as struct cli_column does. */
void cli_put_member(const json_t *object, const char *member, struct buf *out);
void cli_put_time(const json_t *object, const char *member, int64_t now_unix_s, struct buf *out);

#endif
