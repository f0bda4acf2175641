/*
 * One child process of the coordinator's loop: started without a shell, its output read line by
 * line, bounded in time. Its standard input is empty; of our descriptors it has none, and of our
 * environment all but the variables that configure us (they may hold secrets).
 */
#ifndef SERVER_CHILD_H
#define SERVER_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct child;
struct event_base;

#define CHILD_LINE_MAX	400	/* of a longer line the rest is dropped */
#define CHILD_LINES_MAX	200	/* of more the rest is dropped */

struct child_end {
	bool is_timed_out;	/* killed by us */
	int code;		/* exit status; -1: ended by a signal */
};

struct child_spec {
	const char *const *argv;	/* argv[0] is looked up in PATH; ends with NULL */
	const char *const *env;		/* "NAME=value" besides; ends with NULL; NULL: none */
	unsigned timeout_ms;
	/* One line of its standard output or error, without the newline and control characters. */
	void (*line)(void *arg, const char *text);
	/* It has ended; the last call. c is freed behind it. */
	void (*done)(void *arg, const struct child_end *end);
	void *arg;
};

/* Starts it. ERR_NOTFOUND: there is no such program; ERR_IO; both with *why. */
enum err child_start(struct event_base *base, const struct child_spec *spec, struct child **out,
	struct err_text *why) MUST_USE;
/* Kills it, with every process it has started; no call any more. NULL is fine. */
void child_free(struct child *c);

#endif
