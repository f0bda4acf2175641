/*
 * The Unix socket of the fairlead command. Who may open it is the owner of the server: its mode is 0660, so
 * that is root, the server's own user, and its group.
 */
#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/log.h"
#include "web/http_private.h"

#define BACKLOG		64
#define ACCEPTS_PER_TURN 16
#define PAUSE_MS	200	/* without descriptors: others may be closed meanwhile */

static void on_accept(evutil_socket_t fd, short what, void *arg);

/* Waits for the next connection, or for the end of a pause. */
static enum err
wait_for(struct http *h, bool is_pause)
{
	const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };

	if (h->ev_unix != NULL)
		event_free(h->ev_unix);
	h->ev_unix = event_new(h->base, is_pause ? -1 : h->unix_fd, is_pause ? 0 : EV_READ | EV_PERSIST,
	    on_accept, h);
	return h->ev_unix != NULL && event_add(h->ev_unix, is_pause ? &pause : NULL) == 0 ? ERR_OK : ERR_IO;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	if (what & EV_TIMEOUT) {
		(void)wait_for(h, false);
		return;
	}
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct ucred cred;
		socklen_t n = sizeof(cred);
		int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				(void)wait_for(h, true);
			return;
		}
		if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0) {
			close(s);
			continue;
		}
		http_conn_add_take(h, s, &(struct http_peer){
			.origin = HTTP_FROM_UNIX, .uid = cred.uid,
		});
	}
}

/* ERR_OK: nothing is at path now. */
static enum err
make_room(const char *path, const struct sockaddr_un *sa, struct err_text *why)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? ERR_OK :
		    err_say(why, ERR_IO, "cannot use the socket %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_say(why, ERR_IO, "%s is in the way: it is not a socket", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_say(why, ERR_IO, "cannot make a socket: %s", strerror(errno));
	int failure = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ? 0 : errno;
	close(fd);
	if (failure != ECONNREFUSED)
		return err_say(why, ERR_EXISTS, "another server answers at the socket %s", path);
	if (unlink(path) != 0)
		return err_say(why, ERR_IO, "cannot remove the stale socket %s: %s", path, strerror(errno));
	return ERR_OK;
}

static void
make_directory(const char *path)
{
	char *copy = obj_strdup(path);

	(void)mkdir(dirname(copy), 0755);	/* if it fails, bind says why */
	free(copy);
}

enum err
http_listen_unix(struct http *h, const char *path, struct err_text *why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	enum err rc;

	OBJ_CHECK(h, HTTP_MAGIC);
	ASSERT(h->unix_fd < 0);
	if (strlen(path) >= sizeof(sa.sun_path))
		return err_say(why, ERR_IO, "the socket's path %s is too long", path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if ((h->unix_fd = inherit_take_unix(path)) >= 0) {
		if (lstat(path, &st) == 0)
			goto watch;
		close(h->unix_fd);
	}
	make_directory(path);
	if ((rc = make_room(path, &sa, why)) != ERR_OK)
		return rc;
	h->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* 0600 from its birth, whatever the umask is; wider only when it is ours. */
	if (h->unix_fd < 0 || fchmod(h->unix_fd, 0600) != 0 ||
	    bind(h->unix_fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || lstat(path, &st) != 0 ||
	    chmod(path, 0660) != 0 || listen(h->unix_fd, BACKLOG) != 0) {
		err_say(why, ERR_IO, "cannot listen on the socket %s: %s", path, strerror(errno));
		goto fail;
	}
watch:
	h->unix_path = obj_strdup(path);
	h->unix_inode = st.st_ino;
	if (wait_for(h, false) == ERR_OK)
		return ERR_OK;
	err_say(why, ERR_IO, "cannot watch the socket %s", path);
fail:
	http_unix_close(h);
	return ERR_IO;
}

void
http_unix_serve(struct http *h, bool is_serving)
{
	OBJ_CHECK(h, HTTP_MAGIC);
	ASSERT(h->ev_unix != NULL);
	ASSERT((is_serving ? event_add(h->ev_unix, NULL) : event_del(h->ev_unix)) == 0);
}

int
http_unix_socket(const struct http *h)
{
	OBJ_CHECK(h, HTTP_MAGIC);
	return h->unix_fd;
}

void
http_unix_leave(struct http *h)
{
	OBJ_CHECK(h, HTTP_MAGIC);
	free(h->unix_path);
	h->unix_path = NULL;
}

void
http_unix_close(struct http *h)
{
	struct stat st;

	if (h->ev_unix != NULL)
		event_free(h->ev_unix);
	h->ev_unix = NULL;
	if (h->unix_fd >= 0)
		close(h->unix_fd);
	h->unix_fd = -1;
	if (h->unix_path != NULL && lstat(h->unix_path, &st) == 0 && st.st_ino == h->unix_inode)
		unlink(h->unix_path);
	free(h->unix_path);
	h->unix_path = NULL;
}
