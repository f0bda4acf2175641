/* The conversation as a state machine; a deadline for each state. */
#include "server/handover.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/datadir.h"
#include "server/handover_spawn.h"
#include "server/handover_wire.h"
#include "server/notify.h"
#include "web/flapi.h"

#define HANDOVER_MAGIC	0x4a4d0e41u
#define RECLAIM_EVERY_MS 10
#define BACKLOG		4

enum state {
	IDLE,
	GREETED,	/* somebody is there; nothing said */
	OFFERED,	/* it has the sockets, and makes itself ready */
	PAUSING,	/* we write what is left */
	ABORTING,	/* the same, but it has gone meanwhile */
	GIVEN,		/* it has the database */
	RECLAIMING,	/* it has failed: lock and database come back */
	LEFT		/* it serves */
};

static const struct handover_times usual = {
	.hello_ms = 20000, .begin_ms = 300000, .pause_ms = 30000, .load_ms = 120000, .reclaim_ms = 10000,
};

struct handover {
	uint32_t magic;
	struct event_base *base;	/* borrowed */
	const char *data_dir;		/* borrowed */
	const struct handover_hooks *hooks;	/* borrowed */
	const struct handover_times *times;	/* borrowed */
	int *lock_fd;
	bool has_manager;
	enum state state;
	int listener;
	struct event *ev_listen, *ev_conn, *timer;
	int conn;			/* -1: none */
	pid_t pid;			/* of the new one; 0: not known yet */
	char version[64];
	struct http_req *req;		/* waits for the end; NULL: nobody */
	int64_t began_ms, paused_ms;
	struct err_text why;		/* why it failed */
};

static void
wait_ms(struct handover *h, int64_t ms)
{
	const struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (ms % 1000) * 1000 };

	ASSERT(event_add(h->timer, &tv) == 0);
}

static void
conn_close(struct handover *h)
{
	if (h->ev_conn != NULL)
		event_free(h->ev_conn);
	h->ev_conn = NULL;
	if (h->conn >= 0)
		close(h->conn);
	h->conn = -1;
}

/* --- the socket in the data directory ----------------------------------------------------------- */

static void
unlisten(struct handover *h, bool removes)
{
	struct sockaddr_un sa;
	int dir_fd = -1;

	if (h->ev_listen != NULL)
		event_free(h->ev_listen);
	h->ev_listen = NULL;
	if (h->listener < 0)
		return;
	close(h->listener);
	h->listener = -1;
	if (removes && handover_wire_address(h->data_dir, &sa, &dir_fd) == ERR_OK)
		unlink(sa.sun_path);
	if (dir_fd >= 0)
		close(dir_fd);
}

static void on_connect(evutil_socket_t fd, short what, void *arg);

/* Whoever has the lock has the socket: one that is there is left over. */
static enum err
listen_again(struct handover *h, struct err_text *why)
{
	struct sockaddr_un sa;
	int dir_fd = -1;
	enum err rc = handover_wire_address(h->data_dir, &sa, &dir_fd);

	if (rc == ERR_OK) {
		unlink(sa.sun_path);
		h->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (h->listener < 0 || fchmod(h->listener, 0600) != 0 ||
		    bind(h->listener, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
		    listen(h->listener, BACKLOG) != 0)
			rc = ERR_IO;
	}
	if (rc != ERR_OK)
		err_say(why, rc, "cannot listen on %s/" HANDOVER_SOCKET ": %s", h->data_dir, strerror(errno));
	if (dir_fd >= 0)
		close(dir_fd);
	if (rc != ERR_OK) {
		unlisten(h, false);
		return rc;
	}
	h->ev_listen = event_new(h->base, h->listener, EV_READ | EV_PERSIST, on_connect, h);
	ASSERT(h->ev_listen != NULL && event_add(h->ev_listen, NULL) == 0);
	return ERR_OK;
}

/* --- how it ends -------------------------------------------------------------------------------- */

static void
reply(struct handover *h, bool is_ok)
{
	struct buf body = { .p = NULL };
	struct json_writer w;

	if (h->req == NULL)
		return;
	if (!is_ok) {
		http_reply_error(h->req, 503, "%s", h->why.s);
		h->req = NULL;
		return;
	}
	json_w_init(&w, &body);
	json_w_obj_open(&w, NULL);
	json_w_int(&w, "pid", h->pid);
	json_w_str(&w, "version", h->version);
	json_w_int(&w, "oldPid", getpid());
	json_w_str(&w, "oldVersion", FAIRLEAD_VERSION);
	json_w_int(&w, "pausedMs", clock_mono_ms() - h->paused_ms);
	json_w_int(&w, "ms", clock_mono_ms() - h->began_ms);
	json_w_obj_close(&w);
	http_reply_json_take(h->req, 200, &body);
	h->req = NULL;
}

/* As before: nobody was refused, nothing written by others. */
static void
end_failed(struct handover *h)
{
	log_error(LOG_SERVER, "the new server did not take over: this one goes on", "pid", LOG_NUM(h->pid),
	    "err", h->why.s);
	event_del(h->timer);
	h->state = IDLE;
	reply(h, false);
}

static void
leave_failed(struct handover *h, const struct err_text *cause)
{
	char text[sizeof(h->why.s)];

	snprintf(text, sizeof(text), "%s", h->why.s);
	err_say(&h->why, ERR_IO, "%s; and this server cannot go on either: %s", text, cause->s);
	log_error(LOG_SERVER, "ending", "err", h->why.s);
	h->state = LEFT;
	reply(h, false);
	h->hooks->leave(h->hooks->arg, false);
}

static void
resume(struct handover *h)
{
	struct err_text why = { "" };

	if (h->hooks->resume(h->hooks->arg, &why) != ERR_OK) {
		leave_failed(h, &why);
		return;
	}
	h->hooks->accept(h->hooks->arg, true);
	end_failed(h);
}

/* One try to get the lock back. The new one may still be ending. */
static void
reclaim(struct handover *h)
{
	struct err_text why = { "" };
	enum err rc = datadir_open(h->data_dir, h->lock_fd, &why);

	if (rc == ERR_OK) {
		if (listen_again(h, &why) != ERR_OK)
			log_warn(LOG_SERVER, "no other server can take over from this one", "err", why.s);
		resume(h);
	} else if (rc == ERR_EXISTS && clock_mono_ms() - h->paused_ms < h->times->reclaim_ms) {
		wait_ms(h, RECLAIM_EVERY_MS);
	} else {
		leave_failed(h, &why);
	}
}

/* It will not be. */
static void
fail(struct handover *h, const char *why)
{
	err_say(&h->why, ERR_IO, "%s", why);
	if (h->conn >= 0 && h->ev_conn != NULL)
		(void)!handover_wire_send(h->conn, HANDOVER_FAILED, why, NULL, 0);
	conn_close(h);
	switch (h->state) {
	case GREETED:
	case OFFERED:
		end_failed(h);
		break;
	case PAUSING:
		h->state = ABORTING;	/* until handover_paused */
		h->hooks->accept(h->hooks->arg, true);
		event_del(h->timer);
		break;
	case GIVEN:
		h->state = RECLAIMING;
		h->paused_ms = clock_mono_ms();
		reclaim(h);
		break;
	case IDLE:
	case ABORTING:
	case RECLAIMING:
	case LEFT:
		break;
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct handover *h = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (h->state == RECLAIMING) {
		reclaim(h);
	} else if (h->state == PAUSING) {
		fail(h, "the old server could not write its last changes in time: its disk does not answer");
	} else if (h->state == GIVEN) {
		/* It has the database and says nothing: without it nobody would have one. */
		if (h->pid > 0)
			kill(h->pid, SIGKILL);
		fail(h, "the new server took the database and did not start to serve in time; it was killed");
	} else {
		fail(h, "the new server did not answer in time");
	}
}

/* --- the conversation --------------------------------------------------------------------------- */

static void
on_hello(struct handover *h, const struct handover_msg *m)
{
	int fds[INHERIT_MAX];
	char who[HANDOVER_TEXT_MAX];
	const char *version;
	pid_t pid;

	if (handover_wire_who_parse(m, &pid, &version) != ERR_OK) {
		fail(h, "these two versions cannot hand over to each other: stop the old server, then start "
		    "the new one");
		return;
	}
	if (h->pid == 0)
		h->pid = pid;
	snprintf(h->version, sizeof(h->version), "%s", version);
	unsigned n = h->hooks->sockets(h->hooks->arg, fds, INHERIT_MAX);
	handover_wire_who(who);
	if (handover_wire_send(h->conn, HANDOVER_OFFER, who, fds, n) != ERR_OK) {
		fail(h, "the new server went away");
		return;
	}
	h->state = OFFERED;
	wait_ms(h, h->times->begin_ms);
	log_info(LOG_SERVER, "a new server makes itself ready", "pid", LOG_NUM(h->pid), "version", h->version);
}

static void
on_give(struct handover *h)
{
	h->state = PAUSING;
	h->paused_ms = clock_mono_ms();
	wait_ms(h, h->times->pause_ms);
	h->hooks->accept(h->hooks->arg, false);
	h->hooks->pause(h->hooks->arg);
}

void
handover_paused(struct handover *h)
{
	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (h->state == ABORTING) {
		resume(h);
		return;
	}
	ASSERT(h->state == PAUSING);
	unlisten(h, true);
	datadir_close(h->lock_fd);
	h->state = GIVEN;
	wait_ms(h, h->times->load_ms);
	if (handover_wire_send(h->conn, HANDOVER_YOURS, NULL, NULL, 0) != ERR_OK)
		fail(h, "the new server went away");
}

/* From its S on the new one may write: whatever happens, we do not any more. */
static void
on_loaded(struct handover *h)
{
	notify_main_pid(h->pid);
	if (handover_wire_send(h->conn, HANDOVER_SERVE, NULL, NULL, 0) != ERR_OK) {
		notify_main_pid(getpid());
		fail(h, "the new server ended when it was about to serve");
		return;
	}
	h->state = LEFT;
	event_del(h->timer);
	log_info(LOG_SERVER, "handed over", "pid", LOG_NUM(h->pid), "version", h->version, "paused_ms",
	    LOG_NUM(clock_mono_ms() - h->paused_ms));
	reply(h, true);
	h->hooks->leave(h->hooks->arg, true);
}

static void
on_msg(struct handover *h, const struct handover_msg *m)
{
	char text[HANDOVER_TEXT_MAX + 64];

	if (m->type == HANDOVER_FAILED) {
		snprintf(text, sizeof(text), "the new server failed: %s", m->text);
		fail(h, text);
	} else if (h->state == GREETED && m->type == HANDOVER_HELLO) {
		on_hello(h, m);
	} else if (h->state == OFFERED && m->type == HANDOVER_GIVE) {
		on_give(h);
	} else if (h->state == GIVEN && m->type == HANDOVER_LOADED) {
		on_loaded(h);
	} else {
		fail(h, "the new server said something out of turn");
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct handover *h = arg;
	struct handover_msg m;
	enum err rc = handover_wire_recv(fd, 0, &m);

	(void)what;
	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (rc == ERR_AGAIN)
		return;
	if (h->state == LEFT) {		/* it closes when it has seen that we serve no more */
		conn_close(h);
		return;
	}
	if (rc != ERR_OK) {
		fail(h, "the new server ended before it could serve; its output says why");
		return;
	}
	for (unsigned i = 0; i < m.n_fds; i++)
		close(m.fds[i]);
	on_msg(h, &m);
}

static void
begin(struct handover *h, int fd, pid_t pid)
{
	h->conn = fd;
	h->pid = pid;
	snprintf(h->version, sizeof(h->version), "-");
	h->began_ms = clock_mono_ms();
	h->state = GREETED;
	h->ev_conn = event_new(h->base, fd, EV_READ | EV_PERSIST, on_readable, h);
	ASSERT(h->ev_conn != NULL && event_add(h->ev_conn, NULL) == 0);
	wait_ms(h, h->times->hello_ms);
}

/* May that process take over now? NULL: yes. */
static const char *
refusal(const struct handover *h, const struct ucred *cred)
{
	if (cred->uid != geteuid() && cred->uid != 0)
		return "the running server belongs to another user";
	if (h->state != IDLE)
		return "another server is taking over already";
	if (h->has_manager)
		return "the running server belongs to a service manager: use fairlead restart";
	return NULL;
}

static void
on_connect(evutil_socket_t listener, short what, void *arg)
{
	struct handover *h = arg;
	struct ucred cred;
	socklen_t n = sizeof(cred);
	const char *why;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0) {
		close(fd);
		return;
	}
	if ((why = refusal(h, &cred)) != NULL) {
		log_warn(LOG_SERVER, "a server that wants to take over is refused", "pid", LOG_NUM(cred.pid),
		    "err", why);
		(void)!handover_wire_send(fd, HANDOVER_FAILED, why, NULL, 0);
		close(fd);
		return;
	}
	begin(h, fd, cred.pid);
}

/* --- POST /restart ------------------------------------------------------------------------------ */

static void
restart_post(struct http_req *q)
{
	struct handover *h = q->arg;
	struct err_text why = { "" };
	int fd = -1;

	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (q->peer == NULL || q->peer->origin != HTTP_FROM_UNIX) {
		http_reply_error(q, 403, "restart it on the server itself, with fairlead restart");
		return;
	}
	if (getpid() == 1) {
		http_reply_error(q, 409, "this server is the first process of a container, which ends with it: "
		    "restart the container");
		return;
	}
	if (h->state != IDLE) {
		http_reply_error(q, 409, "another server is taking over already");
		return;
	}
	enum err rc = handover_spawn(&fd, &why);
	if (rc != ERR_OK) {
		http_reply_err(q, rc, &why);
		return;
	}
	log_info(LOG_SERVER, "restarting");
	h->req = q;
	begin(h, fd, 0);
}

static const struct http_route routes[] = {
	{ "POST", FLAPI "/restart", HTTP_WRITE, false, restart_post },
};

/* --- life --------------------------------------------------------------------------------------- */

enum err
handover_new(const struct handover_params *p, struct handover **out, struct err_text *why)
{
	struct handover *h = obj_alloc(sizeof(*h));
	enum err rc;

	h->magic = HANDOVER_MAGIC;
	h->base = p->base;
	h->data_dir = p->data_dir;
	h->hooks = p->hooks;
	h->times = p->times != NULL ? p->times : &usual;
	h->lock_fd = p->lock_fd;
	h->has_manager = p->has_manager;
	h->listener = h->conn = -1;
	h->timer = evtimer_new(h->base, on_timer, h);
	ASSERT(h->timer != NULL);
	if ((rc = listen_again(h, why)) != ERR_OK) {
		handover_free(h);
		return rc;
	}
	if (p->http != NULL)
		http_routes_for(p->http, routes, COUNT_OF(routes), h);
	*out = h;
	return ERR_OK;
}

void
handover_free(struct handover *h)
{
	if (h == NULL)
		return;
	OBJ_CHECK(h, HANDOVER_MAGIC);
	if (h->state != LEFT && h->conn >= 0)
		(void)!handover_wire_send(h->conn, HANDOVER_FAILED, "the old server was told to stop", NULL, 0);
	err_say(&h->why, ERR_CLOSED, "the server is stopping");
	reply(h, false);
	conn_close(h);
	unlisten(h, *h->lock_fd >= 0);
	event_free(h->timer);
	h->magic = 0;
	free(h);
}
