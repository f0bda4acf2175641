/* Packets with descriptors. */
#include "server/handover_wire.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(INHERIT_MAX * sizeof(int))];
};

enum err
handover_wire_send(int fd, enum handover_type type, const char *text, const int *fds, unsigned n_fds)
{
	char bytes[1 + HANDOVER_TEXT_MAX] = { (char)type };
	union control control = { 0 };
	struct iovec iov = { .iov_base = bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	ASSERT(n_fds <= INHERIT_MAX);
	snprintf(bytes + 1, HANDOVER_TEXT_MAX, "%s", text != NULL ? text : "");
	iov.iov_len = 1 + strlen(bytes + 1);
	if (n_fds > 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return ERR_OK;
	return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? ERR_CLOSED : ERR_IO;
}

static void
take_fds(struct msghdr *m, struct handover_msg *out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && out->n_fds < INHERIT_MAX; i++)
			memcpy(&out->fds[out->n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

static enum err
wait_readable(int fd, int wait_ms)
{
	int64_t end_ms = clock_mono_ms() + wait_ms;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int rc;

	do {
		int64_t left_ms = end_ms - clock_mono_ms();
		rc = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (rc < 0 && errno == EINTR);
	return rc > 0 ? ERR_OK : ERR_AGAIN;
}

enum err
handover_wire_recv(int fd, int wait_ms, struct handover_msg *out)
{
	char bytes[1 + HANDOVER_TEXT_MAX];
	union control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) - 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	enum err rc = wait_ms > 0 ? wait_readable(fd, wait_ms) : ERR_OK;

	if (rc != ERR_OK)
		return rc;
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	/* It closed before it had read all of ours: what it said last is there, behind that error. */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
	if (n == 0)
		return ERR_CLOSED;
	memset(out, 0, sizeof(*out));
	take_fds(&m, out);
	out->type = (enum handover_type)bytes[0];
	for (ssize_t i = 1; i < n; i++)
		out->text[i - 1] = iscntrl((unsigned char)bytes[i]) ? ' ' : bytes[i];
	if (strchr("HOGYLSF", bytes[0]) != NULL && bytes[0] != '\0' &&
	    (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		return ERR_OK;
	for (unsigned i = 0; i < out->n_fds; i++)
		close(out->fds[i]);
	out->n_fds = 0;
	return ERR_PROTO;
}

void
handover_wire_who(char *out)
{
	snprintf(out, HANDOVER_TEXT_MAX, "%d %ld %s", HANDOVER_FORM, (long)getpid(), FAIRLEAD_VERSION);
}

enum err
handover_wire_who_parse(const struct handover_msg *m, pid_t *pid, const char **version)
{
	long number;
	int form, at = 0;

	if (sscanf(m->text, "%d %ld %n", &form, &number, &at) != 2 || at == 0 || form != HANDOVER_FORM ||
	    number <= 0 || number > INT32_MAX)
		return ERR_UNSUPPORTED;
	*pid = (pid_t)number;
	*version = m->text + at;
	return ERR_OK;
}

enum err
handover_wire_address(const char *data_dir, struct sockaddr_un *out, int *dir_fd)
{
	*dir_fd = -1;
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (snprintf(out->sun_path, sizeof(out->sun_path), "%s/" HANDOVER_SOCKET, data_dir) <
	    (int)sizeof(out->sun_path))
		return ERR_OK;
	if ((*dir_fd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return ERR_IO;
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" HANDOVER_SOCKET, *dir_fd);
	return ERR_OK;
}
