/*
 * Sockets that this process was given open: by a service manager (systemd's socket activation) or by the
 * server that it takes over from. Whoever would bind one asks here first. One set per process, as
 * descriptors are; main thread, before others are started.
 */
#ifndef BASE_INHERIT_H
#define BASE_INHERIT_H

#include "base/net.h"

#define INHERIT_MAX	200	/* every listener that a configuration can name */

/* Takes fd, a bound socket; it becomes non-blocking and is closed on exec. One that is none, or one too
 * many, is closed and logged. */
void inherit_add_take(int fd);
/* Adds the descriptors that $LISTEN_PID and $LISTEN_FDS name (sd_listen_fds(3)), and removes these
 * variables. */
void inherit_environment(void);

/* The one bound to *a (port 0: to any port of that address), of type SOCK_STREAM (listening) or
 * SOCK_DGRAM; the caller's from now on, *a has its real port. -1: none. */
int inherit_take_ip(int type, struct net_addr *a);
/* The listening Unix socket bound to path, if it is still there; as above. */
int inherit_take_unix(const char *path);
/* Those that nobody wanted: closed and logged, a Unix socket's file is removed. */
void inherit_close_rest(void);

#endif
