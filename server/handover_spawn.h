/* Starts this program again, as a process of its own that takes this one's place. */
#ifndef SERVER_HANDOVER_SPAWN_H
#define SERVER_HANDOVER_SPAWN_H

#include "base/err.h"

/* Remembers by which path this program was started, so that a new version put there is found. Before the
 * working directory changes; main thread. */
void handover_spawn_remember(void);
/* The same command line with --takeover, same environment, output and working directory; *fd is our end of
 * its socket (handover_wire.h). It is no child of ours, so that whoever looks after us looks after it.
 * ERR_IO, ERR_NOTFOUND (the program is gone) with *why. Main thread. */
enum err handover_spawn(int *fd, struct err_text *why) MUST_USE;

#endif
