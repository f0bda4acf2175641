/* The datagrams. A name that starts with '@' is of the abstract namespace: a zero byte in its place. */
#include "server/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static void
send_text(const char *text)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	size_t n = name != NULL ? strlen(name) : 0;

	if (n < 2 || n > sizeof(sa.sun_path) || (name[0] != '/' && name[0] != '@'))
		return;
	memcpy(sa.sun_path, name, n);
	if (name[0] == '@')
		sa.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
	    (const struct sockaddr *)&sa, len) < 0)
		log_warn(LOG_SERVER, "systemd cannot be told", "err", strerror(errno));
	if (fd >= 0)
		close(fd);
}

void
notify_ready(void)
{
	send_text("READY=1\nSTATUS=serving\n");
}

void
notify_reloading(void)
{
	struct timespec now;
	char text[96];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	send_text(text);
}

void
notify_main_pid(pid_t pid)
{
	char text[64];

	snprintf(text, sizeof(text), "MAINPID=%ld\n", (long)pid);
	send_text(text);
}

bool
notify_is_wanted(void)
{
	const char *name = getenv("NOTIFY_SOCKET");

	return name != NULL && *name != '\0';
}

void
notify_stopping(void)
{
	send_text("STOPPING=1\nSTATUS=ending connections\n");
}
