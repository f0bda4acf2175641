/*
 * Messages between a server and the one that takes its place, over a Unix socket of packets (SOCK_SEQPACKET)
 * that lies in the data directory, or that the old one gave to the new one at birth.
 *
 *   offset bytes
 *   0      1     type (enum handover_type)
 *   1      n     text, UTF-8, without NUL
 *
 * The new one asks, the old one answers:
 *
 *   new  H "1 PID VERSION"	the 1 is the form of what follows
 *   old  O "1 PID VERSION"	and every listening socket (SCM_RIGHTS); nothing has changed so far
 *   new  G			ready to begin: give me the database
 *   old  Y			everything is on disk, the database closed, its lock free; accepts nothing more
 *   new  L			everything is loaded, and nothing was written
 *   old  S			serve: I write no more, whatever happens, and end my connections
 *   any  F "why"		it does not work out; the old one goes on serving
 *
 * The old one goes on too when the new one closes before L: it takes lock and database back. Until S the
 * new one writes nothing but a migration that it has tried on a copy; and who has no lock never writes.
 */
#ifndef SERVER_HANDOVER_WIRE_H
#define SERVER_HANDOVER_WIRE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/inherit.h"

#define HANDOVER_FORM		1
#define HANDOVER_TEXT_MAX	400
#define HANDOVER_SOCKET		"handover.sock"	/* below the data directory */
#define HANDOVER_ENV		"FAIRLEAD_HANDOVER_FD"	/* the socket given at birth */

enum handover_type {
	HANDOVER_HELLO = 'H', HANDOVER_OFFER = 'O', HANDOVER_GIVE = 'G', HANDOVER_YOURS = 'Y',
	HANDOVER_LOADED = 'L', HANDOVER_SERVE = 'S', HANDOVER_FAILED = 'F'
};

struct handover_msg {
	enum handover_type type;
	char text[HANDOVER_TEXT_MAX];	/* with NUL; control characters are blanks */
	int fds[INHERIT_MAX];		/* the receiver's */
	unsigned n_fds;
};

/* Never waits. ERR_CLOSED, ERR_IO: the other side is gone or does not read. text may be NULL. */
enum err handover_wire_send(int fd, enum handover_type type, const char *text, const int *fds, unsigned n_fds)
	MUST_USE;
/* Waits at most wait_ms (0: not at all). ERR_AGAIN: nothing came; ERR_CLOSED: the other side has closed;
 * ERR_PROTO: no message of ours; then out has no descriptors. */
enum err handover_wire_recv(int fd, int wait_ms, struct handover_msg *out) MUST_USE;

/* "1 PID VERSION" of this process, into out of HANDOVER_TEXT_MAX. */
void handover_wire_who(char *out);
/* The other's. ERR_UNSUPPORTED: it speaks another form. version: rest of the text, borrowed. */
enum err handover_wire_who_parse(const struct handover_msg *m, pid_t *pid, const char **version) MUST_USE;

/* The address of the socket in this data directory; a path too long for it goes by way of *dir_fd, to be
 * closed after use unless it is -1. ERR_IO. */
struct sockaddr_un;
enum err handover_wire_address(const char *data_dir, struct sockaddr_un *out, int *dir_fd) MUST_USE;

#endif
