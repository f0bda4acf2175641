/* The coordinator's loop: libevent, one mailbox, three signals. */
#include "server/coordinator.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define COORDINATOR_MAGIC	0xc00d1a70u
/* Requests of workers that may wait here; beyond it they are answered 429 or 503. */
#define COORDINATOR_MBOX_LIMIT	65536

struct coordinator {
	uint32_t magic;
	bool is_ending;
	struct event_base *base;
	struct mbox *mbox;
	struct event *on_int, *on_term, *on_hup;
	void (*hup_fn)(void *arg);
	void *hup_arg;
};

static void
on_end(evutil_socket_t sig, short what, void *arg)
{
	struct coordinator *c = arg;

	(void)what;
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	log_info(LOG_SERVER, "stopping", "signal", sig == SIGINT ? "INT" : "TERM");
	c->is_ending = true;
	event_base_loopbreak(c->base);
}

static void
on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct coordinator *c = arg;

	(void)sig;
	(void)what;
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	if (c->hup_fn != NULL)
		c->hup_fn(c->hup_arg);
}

static struct event *
signal_event(struct coordinator *c, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(c->base, sig, fn, c);

	if (ev != NULL && event_add(ev, NULL) != 0) {
		event_free(ev);
		ev = NULL;
	}
	return ev;
}

enum err
coordinator_new(struct coordinator **out, struct err_text *why)
{
	struct coordinator *c = obj_alloc(sizeof(*c));

	c->magic = COORDINATOR_MAGIC;
	signal(SIGPIPE, SIG_IGN);
	c->base = event_base_new();
	if (c->base != NULL) {
		c->on_int = signal_event(c, SIGINT, on_end);
		c->on_term = signal_event(c, SIGTERM, on_end);
		c->on_hup = signal_event(c, SIGHUP, on_hup);
		c->mbox = mbox_new(c->base, c, COORDINATOR_MBOX_LIMIT);
	}
	if (c->on_int == NULL || c->on_term == NULL || c->on_hup == NULL || c->mbox == NULL) {
		coordinator_free(c);
		return err_say(why, ERR_IO, "cannot make the event loop: %s", strerror(errno));
	}
	*out = c;
	return ERR_OK;
}

void
coordinator_free(struct coordinator *c)
{
	if (c == NULL)
		return;
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	if (c->mbox != NULL) {
		mbox_close(c->mbox);
		mbox_free(c->mbox);
	}
	if (c->on_int != NULL)
		event_free(c->on_int);
	if (c->on_term != NULL)
		event_free(c->on_term);
	if (c->on_hup != NULL)
		event_free(c->on_hup);
	if (c->base != NULL)
		event_base_free(c->base);
	c->magic = 0;
	free(c);
}

struct event_base *
coordinator_base(struct coordinator *c)
{
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	return c->base;
}

struct mbox *
coordinator_mbox(struct coordinator *c)
{
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	return c->mbox;
}

void
coordinator_on_hup(struct coordinator *c, void (*fn)(void *arg), void *arg)
{
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	c->hup_fn = fn;
	c->hup_arg = arg;
}

void
coordinator_end(struct coordinator *c, unsigned ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	OBJ_CHECK(c, COORDINATOR_MAGIC);
	ASSERT(event_base_loopexit(c->base, &tv) == 0);
}

void
coordinator_run(struct coordinator *c)
{
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	if (!c->is_ending)
		event_base_dispatch(c->base);
}

void
coordinator_run_until(struct coordinator *c, const bool *is_done)
{
	OBJ_CHECK(c, COORDINATOR_MAGIC);
	while (!*is_done && !c->is_ending)
		event_base_loop(c->base, EVLOOP_ONCE);
}
