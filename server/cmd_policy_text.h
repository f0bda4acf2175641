/* Files, editors and differences for fairlead policy. */
#ifndef SERVER_CMD_POLICY_TEXT_H
#define SERVER_CMD_POLICY_TEXT_H

#include <jansson.h>

#include "base/buf.h"

/* The whole file, "-" standard input. 0, or the exit code; what is wrong is said. */
int cmd_policy_read(const char *path, struct buf *out);
/* Prints what {"version", "text"} b changes in a, by diff(1); without diff both. Returns the
 * exit code. */
int cmd_policy_diff(const json_t *a, const json_t *b);
/* The text in a new file (path is a template of mkstemp) in the person's editor. 1: it is
 * different now, 0: it is not, -1: that cannot be done, which is said. */
int cmd_policy_edit(char *path, const char *text, size_t n);

#endif
