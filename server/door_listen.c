/*
 * Listening sockets and accepting. One socket per address and port, polled by every worker; who is
 * awake accepts and gives the descriptor to the worker with the fewest connections. Not
 * SO_REUSEPORT: with it a second server would bind the same port without an error.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/inherit.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/door_private.h"

#define LISTEN_BACKLOG		4096	/* the kernel's somaxconn caps it */
#define ACCEPTS_PER_TURN	32
#define ACCEPT_PAUSE_MS		200	/* without descriptors: others may close some meanwhile */

/* --- accepting -------------------------------------------------------------------------------- */

/* An accepted socket on its way to its worker. */
struct fresh {
	struct door *d;
	int fd;
	bool is_counted;
	struct net_addr peer;
};

static void
fresh_drop(const struct fresh *f, struct worker *w)
{
	close(f->fd);
	if (f->is_counted)
		door_source_drop(f->d->sources, &f->peer.ip);
	door_count(w, -1);
}

static void
fresh_arrive(struct worker *w, void *arg)
{
	struct fresh *f = arg;
	struct door_worker *dw = f->d->workers[w->index];

	if (dw->is_stopped)
		fresh_drop(f, w);
	else
		door_conn_start(dw, f->fd, &f->peer, f->is_counted);
	free(f);
}

/* The worker has stopped: its count is of no use to anybody any more. */
static void
fresh_discard(void *arg)
{
	struct fresh *f = arg;

	fresh_drop(f, worker_group_at(f->d->g, 0));
	free(f);
}

/* A token bucket that all workers share, kept as the time at which it will be full again. */
static bool
accept_is_due(struct door *d)
{
	const int64_t per_s = d->cfg->limits.accepts_per_s, burst = d->cfg->limits.accepts_burst;
	int64_t now_us, due_us = atomic_load_explicit(&d->accept_due_us, memory_order_relaxed), next_us;

	if (per_s == 0)
		return true;
	now_us = clock_mono_us();
	do {
		next_us = (due_us > now_us ? due_us : now_us) + 1000000 / per_s;
		if (next_us - now_us > burst * 1000000 / per_s)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&d->accept_due_us, &due_us, next_us,
	    memory_order_relaxed, memory_order_relaxed));
	return true;
}

/* Is there room for one more from this peer? Counts it. */
static bool
admit(struct door *d, const struct net_addr *peer, bool *is_counted)
{
	*is_counted = false;
	if (worker_group_conns(d->g) >= d->cfg->limits.conns) {
		door_say_full(d, "connections refused", "limits.conns is reached");
		return false;
	}
	if (!accept_is_due(d)) {
		door_say_full(d, "connections refused", "limits.accepts_per_s is reached");
		return false;
	}
	if (door_is_trusted(d, &peer->ip))
		return true;	/* many people behind one address */
	*is_counted = door_source_add(d->sources, &peer->ip, d->cfg->limits.half_open_per_source);
	return *is_counted;
}

static void
take_socket(struct door_worker *dw, int fd, const struct net_addr *peer)
{
	struct fresh f = { .d = dw->d, .fd = fd, .peer = *peer };

	metric_add(METRIC_DOOR_ACCEPTS, 1);
	if (!admit(dw->d, peer, &f.is_counted)) {
		metric_add(METRIC_DOOR_REFUSED, 1);
		close(fd);
		return;
	}
	struct worker *to = worker_group_least(dw->d->g);
	door_count(to, 1);
	if (to == dw->w) {
		door_conn_start(dw, fd, peer, f.is_counted);
		return;
	}
	struct fresh *copy = obj_alloc(sizeof(*copy));
	*copy = f;
	worker_call(to, fresh_arrive, copy, fresh_discard);
}

static void
accepts_del(struct door_worker *dw)
{
	for (unsigned i = 0; i < dw->d->n_listeners; i++)
		if (dw->accepts[i] != NULL)
			event_del(dw->accepts[i]);
}

static void
accepts_add(struct door_worker *dw)
{
	for (unsigned i = 0; !dw->is_paused && i < dw->d->n_listeners; i++)
		if (dw->accepts[i] != NULL)
			ASSERT(event_add(dw->accepts[i], NULL) == 0);
}

static void
accept_pause(struct door_worker *dw)
{
	const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };

	door_say_full(dw->d, "cannot accept", strerror(errno));
	accepts_del(dw);
	ASSERT(event_add(dw->resume, &pause) == 0);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct door_worker *dw = arg;

	(void)fd;
	(void)what;
	accepts_add(dw);
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct door_worker *dw = arg;

	(void)what;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t n = sizeof(sa);
		struct net_addr peer;
		int fd = accept4(listener, (struct sockaddr *)(void *)&sa, &n,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			net_addr_from_sockaddr((struct sockaddr *)(void *)&sa, &peer);
			take_socket(dw, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			accept_pause(dw);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void
pause_on_worker(struct worker *w, void *arg)
{
	struct door_worker *dw = arg;

	(void)w;
	dw->is_paused = true;
	accepts_del(dw);
}

static void
resume_on_worker(struct worker *w, void *arg)
{
	struct door_worker *dw = arg;

	(void)w;
	dw->is_paused = false;
	accepts_add(dw);
}

void
door_pause(struct door *d, bool is_paused)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	for (unsigned i = 0; i < worker_group_count(d->g); i++)
		worker_call(d->workers[i]->w, is_paused ? pause_on_worker : resume_on_worker,
		    d->workers[i], NULL);
}

unsigned
door_sockets(const struct door *d, int *out, unsigned max)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	unsigned n = 0;

	while (n < d->n_listeners && n < max) {
		out[n] = d->listeners[n].fd;
		n++;
	}
	return n;
}

void
door_listen_stop(struct door_worker *dw)
{
	for (unsigned i = 0; i < DOOR_LISTENERS_MAX; i++) {
		if (dw->accepts[i] != NULL)
			event_free(dw->accepts[i]);
		dw->accepts[i] = NULL;
	}
	if (dw->resume != NULL)
		event_free(dw->resume);
	dw->resume = NULL;
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* The sentence for a socket that cannot be had. */
static enum err
say_bind(const struct net_addr *a, int e, struct err_text *why)
{
	char ip[NET_TEXT_MAX];

	net_ip_put(&a->ip, ip);
	if (e == EADDRINUSE)
		return err_say(why, ERR_IO, "port %u on %s is in use by another program: stop "
		    "it, or choose another port", a->port, ip);
	if (e == EACCES)
		return err_say(why, ERR_IO, "port %u on %s may only be opened by root: start as "
		    "root, or choose a port above 1023", a->port, ip);
	if (e == EADDRNOTAVAIL)
		return err_say(why, ERR_IO, "%s is not an address of this machine (listening on "
		    "port %u)", ip, a->port);
	return err_say(why, ERR_IO, "cannot listen on port %u of %s: %s", a->port, ip, strerror(e));
}

static bool
is_any_v6(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return a->ip.family == 6 && memcmp(a->ip.b, zero, sizeof(zero)) == 0;
}

/* ERR_UNSUPPORTED: this machine has no IPv6 at all. a->port becomes the real one. */
static enum err
open_socket(struct net_addr *a, int *out, struct err_text *why)
{
	struct sockaddr_storage sa;
	socklen_t n = net_addr_to_sockaddr(a, &sa);
	const int one = 1;
	int fd = inherit_take_ip(SOCK_STREAM, a);

	if (fd >= 0) {
		*out = fd;
		return ERR_OK;
	}
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		return err_say(why, ERR_UNSUPPORTED, "this machine has no IPv6");
	if (fd < 0)
		return say_bind(a, errno, why);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    (a->ip.family == 6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
	    bind(fd, (struct sockaddr *)(void *)&sa, n) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
		int e = errno;

		close(fd);
		return say_bind(a, e, why);
	}
	n = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)(void *)&sa, &n) == 0)
		net_addr_from_sockaddr((struct sockaddr *)(void *)&sa, a);
	*out = fd;
	return ERR_OK;
}

static enum err
listen_on(struct door *d, struct net_addr *a, bool is_https, struct err_text *why)
{
	int fd = -1;
	enum err rc;
	char text[NET_TEXT_MAX];

	if (d->n_listeners == DOOR_LISTENERS_MAX)
		return err_say(why, ERR_LIMIT, "too many addresses to listen on");
	rc = open_socket(a, &fd, why);
	if (rc == ERR_UNSUPPORTED && is_any_v6(a)) {
		log_warn(LOG_DOOR, "not listening on IPv6", "addr", net_addr_put(a, text), "err",
		    "this machine has no IPv6");
		return ERR_OK;
	}
	if (rc != ERR_OK)
		return rc;
	d->listeners[d->n_listeners++] = (struct door_listener){ fd, is_https, *a };
	log_info(LOG_DOOR, "listening", "addr", net_addr_put(a, text), "for",
	    is_https ? "https" : "http");
	return ERR_OK;
}

static enum err
listen_item(struct door *d, const char *item, bool is_https, struct err_text *why)
{
	struct net_addr a;

	if (net_addr_parse(item, strlen(item), &a) != ERR_OK)
		return err_say(why, ERR_INVAL, "\"%s\" is not an address and port like "
		    "0.0.0.0:443 or [::]:443", item);
	return listen_on(d, &a, is_https, why);
}

static void
poll_listeners(struct door *d)
{
	for (unsigned k = 0; k < worker_group_count(d->g); k++) {
		struct door_worker *dw = d->workers[k];

		dw->resume = event_new(dw->w->base, -1, 0, on_resume, dw);
		ASSERT(dw->resume != NULL);
		for (unsigned i = 0; i < d->n_listeners; i++) {
			dw->accepts[i] = event_new(dw->w->base, d->listeners[i].fd,
			    EV_READ | EV_PERSIST, on_accept, dw);
			ASSERT(dw->accepts[i] != NULL && event_add(dw->accepts[i], NULL) == 0);
		}
	}
}

enum err
door_listen(struct door *d, struct err_text *why)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	const struct config *cfg = d->cfg;
	enum err rc = ERR_OK;

	ASSERT(d->n_listeners == 0);
	for (unsigned i = 0; rc == ERR_OK && i < cfg->listen_https.n; i++)
		rc = listen_item(d, cfg->listen_https.items[i], true, why);
	for (unsigned i = 0; rc == ERR_OK && i < cfg->listen_http.n; i++)
		rc = listen_item(d, cfg->listen_http.items[i], false, why);
	if (rc == ERR_OK)
		poll_listeners(d);
	return rc;
}
