/* Root is needed for ports below 1024 only: once they are bound, the process becomes config.user. */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H

#include "base/config.h"
#include "base/err.h"

/* Gives up new privileges for ever; when started as root with a user configured, gives that user the
 * files of the data directory and the directory of the Unix socket, and becomes it. ERR_IO, ERR_INVAL
 * (no such user) with *why. Main thread, before others are started. */
enum err privileges_drop(const struct config *cfg, struct err_text *why) MUST_USE;

#endif
