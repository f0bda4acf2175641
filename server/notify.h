/*
 * Tells systemd how far we are (Type=notify): one datagram of "NAME=VALUE" lines to the Unix socket that
 * $NOTIFY_SOCKET names; sd_notify(3) describes them. Without that variable nothing happens. Main thread.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Every socket answers. */
void notify_ready(void);
/* A SIGHUP is being carried out; notify_ready ends that. */
void notify_reloading(void);
void notify_stopping(void);

#endif
