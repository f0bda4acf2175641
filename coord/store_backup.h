/*
 * A copy of the database while the store writes to it: SQLite's backup API in steps, from a connection
 * of its own that reads one moment's state (a WAL reader neither waits for the writer nor makes it
 * wait). Any thread.
 */
#ifndef COORD_STORE_BACKUP_H
#define COORD_STORE_BACKUP_H

#include <stdatomic.h>

#include "base/err.h"

/* Copies the database at `from` to a new file at `to` (mode 0600, one file without -wal; nothing may
 * be there yet). What was committed before the call is in it, each transaction whole or not at all.
 * *stop becoming true ends it. ERR_IO, ERR_FULL, ERR_CLOSED (stopped) with *why; then nothing is
 * left at `to`. */
enum err store_backup(const char *from, const char *to, const atomic_bool *stop, struct err_text *why)
	MUST_USE;

/* Is the file a whole database of ours that this fairlead can open? ERR_INVAL, ERR_UNSUPPORTED (newer) or
 * ERR_IO with *why. Leaves it as it is. */
enum err store_backup_check(const char *path, struct err_text *why) MUST_USE;

#endif
