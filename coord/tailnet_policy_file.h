/*
 * A policy that is kept in a file (policy.path): read at the start, and again when it changes,
 * which is looked for every two seconds. A file that cannot be used leaves the last good policy in
 * force. Coordinator thread.
 */
#ifndef COORD_TAILNET_POLICY_FILE_H
#define COORD_TAILNET_POLICY_FILE_H

#include "coord/tailnet_policy_save.h"

/* After tailnet_start; nothing without policy.path. stop: before tailnet_free, with or without
 * start. */
void tailnet_policy_file_start(struct tailnet *t);
void tailnet_policy_file_stop(struct tailnet *t);
/* Looks now. The timer does; tests. */
void tailnet_policy_file_look(struct tailnet *t);

#endif
