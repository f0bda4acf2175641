/* The data directory: made, checked and locked, so that two servers never share one. */
#ifndef SERVER_DATADIR_H
#define SERVER_DATADIR_H

#include "base/err.h"

/* Makes the directory (0700, with its parents) if needed, and locks <dir>/lock for this
 * process; *lock_fd is to be kept open until the end. ERR_EXISTS with *why: in use by another
 * server (its pid is named); ERR_IO with *why: cannot be made or written. */
enum err datadir_open(const char *dir, int *lock_fd, struct err_text *why) MUST_USE;
/* Frees the lock; *lock_fd is -1 then, and may be before. */
void datadir_close(int *lock_fd);

/* Below it: files of a restore that has not ended (a server refuses to start with them), and what stood
 * there before one (with the time behind it). */
#define DATADIR_RESTORE	"restore.part"
#define DATADIR_BEFORE	"before-restore-"

/* ERR_INVAL with *why: a restore into this directory was interrupted. */
enum err datadir_check(const char *dir, struct err_text *why) MUST_USE;

#endif
