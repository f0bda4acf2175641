/*
 * Tells systemd how far we are (Type=notify): one datagram of "NAME=VALUE" lines to the Unix socket that
 * $NOTIFY_SOCKET names; sd_notify(3) describes them. Without that variable nothing happens. Main thread.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

/* Every socket answers. */
void notify_ready(void);
/* A SIGHUP is being carried out; notify_ready ends that. */
void notify_reloading(void);
void notify_stopping(void);
/* Process pid is the service from now on (this one tells so as long as it is). */
void notify_main_pid(pid_t pid);
/* Does systemd, or what acts like it, want to be told? */
bool notify_is_wanted(void);

#endif
