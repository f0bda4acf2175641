/* Questions to the old server, one after the other. */
#include "server/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/datadir.h"
#include "server/handover_wire.h"

#define TAKEOVER_MAGIC	0x7a4e04e4u
#define OFFER_MS	10000	/* a loop's turn is a millisecond */
#define YOURS_MS	35000	/* it gives up after 30 s */
#define SERVE_MS	10000
#define LOCK_MS		10000
#define LOCK_EVERY_MS	10

struct takeover {
	uint32_t magic;
	int fd;
	pid_t pid;
	bool is_ours;			/* nothing goes back */
	const char *data_dir;		/* borrowed */
};

static int
given_fd(void)
{
	const char *text = getenv(HANDOVER_ENV);
	char *end;
	long fd = text != NULL ? strtol(text, &end, 10) : -1;

	return text != NULL && *text != '\0' && *end == '\0' && fd > 2 && fd < 1 << 20 ? (int)fd : -1;
}

void
takeover_say_failed(const struct err_text *why)
{
	if (given_fd() >= 0)
		(void)!handover_wire_send(given_fd(), HANDOVER_FAILED, why->s, NULL, 0);
}

/* -1: nobody listens. */
static enum err
connect_to(const char *data_dir, int *out, struct err_text *why)
{
	struct sockaddr_un sa;
	int dir_fd = -1, failure = 0;
	enum err rc = ERR_OK;

	*out = -1;
	if (handover_wire_address(data_dir, &sa, &dir_fd) != ERR_OK)
		return ERR_OK;		/* no directory yet */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		failure = errno;
	if (failure != 0 && failure != ENOENT && failure != ECONNREFUSED)
		rc = err_say(why, failure == EACCES ? ERR_DENIED : ERR_IO, "the running server cannot be asked"
		    " (%s/" HANDOVER_SOCKET "): %s", data_dir, strerror(failure));
	if (failure != 0 && fd >= 0)
		close(fd);
	if (dir_fd >= 0)
		close(dir_fd);
	if (failure == 0)
		*out = fd;
	return rc;
}

/* The answer of that type. ERR_CLOSED: the old one has died. */
static enum err
answer(struct takeover *t, enum handover_type type, int wait_ms, struct handover_msg *m, struct err_text *why)
{
	enum err rc = handover_wire_recv(t->fd, wait_ms, m);

	if (rc == ERR_CLOSED)
		return err_say(why, rc, "the running server ended meanwhile");
	if (rc == ERR_AGAIN)
		return err_say(why, ERR_BUSY, "the running server (process %ld) does not answer: nothing has "
		    "changed; look at it, or stop it and start this one", (long)t->pid);
	if (rc == ERR_OK && m->type == HANDOVER_FAILED)
		return err_say(why, ERR_DENIED, "%s", m->text);
	if (rc == ERR_OK && m->type == type)
		return ERR_OK;
	return err_say(why, ERR_UNSUPPORTED, "the running server speaks another form of hand-over: stop it, "
	    "then start this one");
}

static enum err
ask(struct takeover *t, struct handover_msg *m, struct err_text *why)
{
	char who[HANDOVER_TEXT_MAX];
	const char *version;
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0)
		t->pid = cred.pid;
	handover_wire_who(who);
	/* An error shows in the answer. */
	(void)!handover_wire_send(t->fd, HANDOVER_HELLO, who, NULL, 0);
	enum err rc = answer(t, HANDOVER_OFFER, OFFER_MS, m, why);
	if (rc != ERR_OK)
		return rc;
	for (unsigned i = 0; i < m->n_fds; i++)
		inherit_add_take(m->fds[i]);
	if (handover_wire_who_parse(m, &t->pid, &version) != ERR_OK)
		return err_say(why, ERR_UNSUPPORTED, "the running server speaks another form of hand-over: "
		    "stop it, then start this one");
	log_info(LOG_SERVER, "taking over", "pid", LOG_NUM(t->pid), "version", version, "sockets",
	    LOG_NUM(m->n_fds));
	return ERR_OK;
}

static void
sleep_ms(int64_t ms)
{
	const struct timespec ts = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* One try: *out stays NULL when nobody listens. */
static enum err
begin(const char *data_dir, struct takeover **out, struct err_text *why)
{
	struct takeover *t = obj_alloc(sizeof(*t));
	struct handover_msg *m = obj_alloc(sizeof(*m));
	enum err rc = ERR_OK;

	t->magic = TAKEOVER_MAGIC;
	t->data_dir = data_dir;
	t->fd = given_fd();
	unsetenv(HANDOVER_ENV);
	if (t->fd < 0)
		rc = connect_to(data_dir, &t->fd, why);
	if (rc == ERR_OK && t->fd >= 0)
		rc = ask(t, m, why);
	/* Ended between our look and our question: as if there had been none. */
	if (rc == ERR_CLOSED)
		rc = ERR_OK;
	else if (rc == ERR_OK && t->fd >= 0)
		*out = t;
	free(m);
	if (*out == NULL)
		takeover_free(t, why);
	return rc;
}

enum err
takeover_begin(const char *data_dir, struct takeover **out, int *lock_fd, struct err_text *why)
{
	int64_t end_ms = clock_mono_ms() + LOCK_MS;
	enum err rc;

	*out = NULL;
	/* Nobody listens, yet the lock is held: between two servers, or one that is starting or ending. */
	while ((rc = begin(data_dir, out, why)) == ERR_OK && *out == NULL &&
	    (rc = datadir_open(data_dir, lock_fd, why)) == ERR_EXISTS && clock_mono_ms() < end_ms)
		sleep_ms(LOCK_EVERY_MS);
	return rc;
}

enum err
takeover_database(struct takeover *t, int *lock_fd, struct err_text *why)
{
	struct handover_msg *m = obj_alloc(sizeof(*m));
	int64_t end_ms;
	enum err rc;

	OBJ_CHECK(t, TAKEOVER_MAGIC);
	(void)!handover_wire_send(t->fd, HANDOVER_GIVE, NULL, NULL, 0);
	rc = answer(t, HANDOVER_YOURS, YOURS_MS, m, why);
	free(m);
	if (rc != ERR_OK && rc != ERR_CLOSED)
		return rc;
	/* Who dies frees its lock a moment after it has closed its sockets. */
	end_ms = clock_mono_ms() + LOCK_MS;
	while ((rc = datadir_open(t->data_dir, lock_fd, why)) == ERR_EXISTS && clock_mono_ms() < end_ms)
		sleep_ms(LOCK_EVERY_MS);
	return rc;
}

enum err
takeover_serve(struct takeover *t, struct err_text *why)
{
	struct handover_msg *m = obj_alloc(sizeof(*m));
	enum err rc;

	OBJ_CHECK(t, TAKEOVER_MAGIC);
	(void)!handover_wire_send(t->fd, HANDOVER_LOADED, NULL, NULL, 0);
	rc = answer(t, HANDOVER_SERVE, SERVE_MS, m, why);
	free(m);
	/* A server that has died takes nothing back: the lock is ours. */
	if (rc == ERR_CLOSED)
		rc = ERR_OK;
	t->is_ours = rc == ERR_OK;
	return rc;
}

void
takeover_free(struct takeover *t, const struct err_text *why)
{
	if (t == NULL)
		return;
	OBJ_CHECK(t, TAKEOVER_MAGIC);
	if (!t->is_ours && t->fd >= 0 && why != NULL && why->s[0] != '\0')
		(void)!handover_wire_send(t->fd, HANDOVER_FAILED, why->s, NULL, 0);
	if (t->fd >= 0)
		close(t->fd);
	t->magic = 0;
	free(t);
}
