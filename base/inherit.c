/* Sockets known by what they are bound to. */
#include "base/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define FIRST_FD	3	/* sd_listen_fds(3) */

struct inherited {
	int fd;
	int type;			/* SOCK_STREAM, SOCK_DGRAM */
	struct net_addr addr;		/* family 0: a Unix socket */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

static struct inherited set[INHERIT_MAX];
static unsigned n_set;

static bool
learn(int fd, struct inherited *out)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof(sa), n_type = sizeof(out->type);

	memset(out, 0, sizeof(*out));
	out->fd = fd;
	if (getsockname(fd, (struct sockaddr *)(void *)&sa, &n) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &out->type, &n_type) != 0)
		return false;
	net_addr_from_sockaddr((struct sockaddr *)(void *)&sa, &out->addr);
	if (sa.ss_family == AF_UNIX)
		memcpy(out->path, ((struct sockaddr_un *)(void *)&sa)->sun_path,
		    n - offsetof(struct sockaddr_un, sun_path));
	return out->addr.ip.family != 0 || out->path[0] != '\0';
}

void
inherit_add_take(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (n_set == INHERIT_MAX || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || !learn(fd, &set[n_set])) {
		log_warn(LOG_SERVER, "not a socket to listen on", "fd", LOG_NUM(fd));
		close(fd);
		return;
	}
	n_set++;
}

void
inherit_environment(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	if (pid != NULL && n != NULL && strtol(pid, NULL, 10) == (long)getpid()) {
		long count = strtol(n, NULL, 10);
		for (int i = 0; i < INHERIT_MAX && i < count; i++)
			inherit_add_take(FIRST_FD + i);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

static int
take(unsigned i)
{
	int fd = set[i].fd;

	set[i] = set[--n_set];
	return fd;
}

int
inherit_take_ip(int type, struct net_addr *a)
{
	for (unsigned i = 0; i < n_set; i++) {
		const struct inherited *s = &set[i];

		if (s->type != type || a->ip.family == 0 || !net_ip_eq(&s->addr.ip, &a->ip) ||
		    (a->port != 0 && a->port != s->addr.port))
			continue;
		a->port = s->addr.port;
		return take(i);
	}
	return -1;
}

int
inherit_take_unix(const char *path)
{
	struct stat st;

	for (unsigned i = 0; i < n_set; i++)
		if (set[i].type == SOCK_STREAM && strcmp(set[i].path, path) == 0 &&
		    lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
			return take(i);
	return -1;
}

void
inherit_close_rest(void)
{
	while (n_set > 0) {
		const struct inherited *s = &set[0];
		char text[NET_TEXT_MAX];

		log_info(LOG_SERVER, "no longer listening", "addr",
		    s->path[0] != '\0' ? s->path : net_addr_put(&s->addr, text));
		if (s->path[0] != '\0')
			unlink(s->path);
		close(take(0));
	}
}
