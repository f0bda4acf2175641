/*
 * Workers: threads with one libevent loop each, their turns, slots and stop. A base is touched by
 * its own thread only (before start: by the main thread), so it is made without locks.
 */
#include "base/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/obj.h"

/* What mbox_post accepts; each message is some hundred bytes. */
#define WORKER_MAIL_MAX		65536
#define WORKER_STOPS_MAX	8
/* Hooks a turn runs beyond four times what was asked when they began: hooks that ask each other for
 * ever must not stop the loop. */
#define WORKER_FLUSH_SLACK	1024

#define GROUP_MAGIC		0x6a77f02bu
#define CALL_MAGIC		0x0b9ce441u
#define SLOT_NONE		UINT32_MAX

struct worker_slot {
	void *object;		/* NULL: free */
	uint32_t generation;	/* never 0; grows when the slot is given back */
	uint32_t next_free;
};

struct worker_stop {
	void (*fn)(struct worker *w, void *arg);
	void *arg;
};

struct worker_group {
	uint32_t magic;
	unsigned n;
	bool is_stopped;
	struct worker workers[];
};

struct worker_call_msg {
	uint32_t magic;
	struct mbox_msg msg;
	void (*fn)(struct worker *w, void *arg);
	void *arg;
	void (*discard)(void *arg);
};

static _Thread_local const struct worker *worker_self;

static void
worker_check(const struct worker *w)
{
	OBJ_CHECK(w, WORKER_MAGIC);
	ASSERT(!w->_is_started || worker_self == w);
}

/* --- turns ------------------------------------------------------------------------------------ */

int64_t
worker_now_ms(struct worker *w)
{
	if (w->_is_now_stale) {
		w->now_ms = clock_mono_ms();
		w->_is_now_stale = false;
	}
	return w->now_ms;
}

static void
worker_on_batch(void *arg)
{
	struct worker *w = arg;

	(void)worker_now_ms(w);
}

static void
hooks_remove(struct worker_hooks *h, struct worker_flush *f)
{
	TAILQ_REMOVE(&h->list, f, _link);
	f->_is_queued = false;
	h->n--;
}

static struct worker_flush *
hooks_pop(struct worker_hooks *h)
{
	struct worker_flush *f = TAILQ_FIRST(&h->list);

	if (f != NULL)
		hooks_remove(h, f);
	return f;
}

static void
worker_turn_end(struct worker *w)
{
	size_t budget = w->_flush.n * 4 + WORKER_FLUSH_SLACK;
	struct worker_flush *f;
	struct worker_limbo *l;

	(void)worker_now_ms(w);
	while (budget-- > 0 && (f = hooks_pop(&w->_flush)) != NULL)
		f->fn(f);
	while ((l = TAILQ_FIRST(&w->_limbo)) != NULL) {
		TAILQ_REMOVE(&w->_limbo, l, _link);
		l->free_fn(l);
	}
}

void
worker_turn(struct worker *w, bool may_wait)
{
	size_t n_again;
	int flags = EVLOOP_ONCE;

	worker_check(w);
	n_again = w->_again.n;
	if (!may_wait || n_again != 0 || w->_flush.n != 0)
		flags |= EVLOOP_NONBLOCK;
	w->_turn++;
	/* libevent 2.1 has no hook between its wait and the first callback: so the time is read
	 * here, and once more by whoever asks first after the wait. */
	w->now_ms = clock_mono_ms();
	w->_is_now_stale = true;
	(void)event_base_loop(w->base, flags);
	while (n_again-- > 0) {
		struct worker_flush *f = hooks_pop(&w->_again);

		if (f == NULL)
			break;
		(void)worker_now_ms(w);
		f->fn(f);
	}
	worker_turn_end(w);
}

/* The end of a worker: modules close what they have, mail is discarded, limbo is emptied. */
static void
worker_finish(struct worker *w)
{
	w->_is_now_stale = true;
	for (unsigned i = 0; i < WORKER_STOPS_MAX && w->_stops[i].fn != NULL; i++)
		w->_stops[i].fn(w, w->_stops[i].arg);
	worker_turn_end(w);
	mbox_close(w->mbox);
	worker_turn_end(w);
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	OBJ_CHECK(w, WORKER_MAGIC);
	worker_self = w;
	while (!w->_is_stopping)
		worker_turn(w, true);
	worker_finish(w);
	return NULL;
}

static void
worker_stop_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct worker *w = loop_arg;

	(void)m;
	OBJ_CHECK(w, WORKER_MAGIC);
	w->_is_stopping = true;
}

static void
worker_stop_discard(struct mbox_msg *m)
{
	(void)m;
}

/* --- the group -------------------------------------------------------------------------------- */

static void
worker_fini(struct worker *w)
{
	mbox_free(w->mbox);
	if (w->base != NULL)
		event_base_free(w->base);
	io_stage_free(w->stage);
	free(w->scratch);
	free(w->_slots);
	free(w->_stops);
	w->magic = 0;
}

static enum err
worker_init(struct worker *w, uint16_t index, struct err_text *why)
{
	struct event_config *cfg = event_config_new();

	w->magic = WORKER_MAGIC;
	w->index = index;
	w->scratch = obj_alloc(WORKER_SCRATCH_BYTES);
	w->stage = io_stage_new();
	w->_stops = obj_alloc(WORKER_STOPS_MAX * sizeof *w->_stops);
	w->_free_slot = SLOT_NONE;
	w->_stop_msg.deliver = worker_stop_deliver;
	w->_stop_msg.discard = worker_stop_discard;
	w->now_ms = clock_mono_ms();
	TAILQ_INIT(&w->_limbo);
	TAILQ_INIT(&w->_flush.list);
	TAILQ_INIT(&w->_again.list);
	atomic_init(&w->_n_conns, 0);
	if (cfg != NULL && event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0)
		w->base = event_base_new_with_config(cfg);
	if (cfg != NULL)
		event_config_free(cfg);
	if (w->base == NULL)
		return err_say(why, ERR_IO, "cannot make an event loop: %s", strerror(errno));
	w->mbox = mbox_new(w->base, w, WORKER_MAIL_MAX);
	if (w->mbox == NULL)
		return err_say(why, ERR_IO, "cannot make a mailbox: %s", strerror(errno));
	mbox_on_batch(w->mbox, worker_on_batch);
	return ERR_OK;
}

enum err
worker_group_new(unsigned n, struct worker_group **out, struct err_text *why)
{
	struct worker_group *g;

	ASSERT(n >= 1 && n <= WORKER_MAX);
	g = obj_alloc(sizeof *g + n * sizeof g->workers[0]);
	g->magic = GROUP_MAGIC;
	for (unsigned i = 0; i < n; i++) {
		enum err rc = worker_init(&g->workers[i], (uint16_t)i, why);

		g->n = i + 1;
		if (rc != ERR_OK) {
			worker_group_free(g);
			return rc;
		}
	}
	*out = g;
	return ERR_OK;
}

/* Signals are for the main thread: the new thread blocks all from its first instruction on. */
static enum err
worker_start(struct worker *w, struct err_text *why)
{
	sigset_t all, old;
	char name[16];
	int e;

	sigfillset(&all);
	w->_is_started = true;
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&w->_thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e != 0) {
		w->_is_started = false;
		return err_say(why, ERR_IO, "cannot start a thread: %s", strerror(e));
	}
	snprintf(name, sizeof name, "fl-worker-%u", (unsigned)w->index);
	pthread_setname_np(w->_thread, name);
	return ERR_OK;
}

enum err
worker_group_start(struct worker_group *g, struct err_text *why)
{
	OBJ_CHECK(g, GROUP_MAGIC);
	for (unsigned i = 0; i < g->n; i++) {
		enum err rc = worker_start(&g->workers[i], why);

		if (rc != ERR_OK) {
			worker_group_stop(g);
			return rc;
		}
	}
	return ERR_OK;
}

void
worker_group_stop(struct worker_group *g)
{
	OBJ_CHECK(g, GROUP_MAGIC);
	if (g->is_stopped)
		return;
	g->is_stopped = true;
	for (unsigned i = 0; i < g->n; i++)
		if (g->workers[i]._is_started)
			mbox_post_always(g->workers[i].mbox, &g->workers[i]._stop_msg);
	for (unsigned i = 0; i < g->n; i++) {
		struct worker *w = &g->workers[i];

		if (w->_is_started) {
			ASSERT(pthread_join(w->_thread, NULL) == 0);
			w->_is_started = false;
		} else if (w->mbox != NULL) {
			worker_finish(w);
		}
	}
}

void
worker_group_free(struct worker_group *g)
{
	if (g == NULL)
		return;
	worker_group_stop(g);
	for (unsigned i = 0; i < g->n; i++)
		worker_fini(&g->workers[i]);
	g->magic = 0;
	free(g);
}

unsigned
worker_group_count(const struct worker_group *g)
{
	OBJ_CHECK(g, GROUP_MAGIC);
	return g->n;
}

struct worker *
worker_group_at(struct worker_group *g, unsigned index)
{
	OBJ_CHECK(g, GROUP_MAGIC);
	ASSERT(index < g->n);
	return &g->workers[index];
}

struct worker *
worker_group_least(struct worker_group *g)
{
	struct worker *least = worker_group_at(g, 0);
	int32_t n_least = atomic_load_explicit(&least->_n_conns, memory_order_relaxed);

	for (unsigned i = 1; i < g->n; i++) {
		struct worker *w = &g->workers[i];
		int32_t n = atomic_load_explicit(&w->_n_conns, memory_order_relaxed);

		if (n < n_least) {
			least = w;
			n_least = n;
		}
	}
	return least;
}

unsigned
worker_group_conns(const struct worker_group *g)
{
	int64_t n = 0;

	OBJ_CHECK(g, GROUP_MAGIC);
	for (unsigned i = 0; i < g->n; i++)
		n += atomic_load_explicit(&g->workers[i]._n_conns, memory_order_relaxed);
	return n > 0 ? (unsigned)n : 0;
}

void
worker_conns_add(struct worker *w, int n)
{
	OBJ_CHECK(w, WORKER_MAGIC);
	atomic_fetch_add_explicit(&w->_n_conns, n, memory_order_relaxed);
}

void
worker_on_stop(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
	unsigned i = 0;

	OBJ_CHECK(w, WORKER_MAGIC);
	ASSERT(!w->_is_started);
	while (i < WORKER_STOPS_MAX && w->_stops[i].fn != NULL)
		i++;
	ASSERT(i < WORKER_STOPS_MAX);
	w->_stops[i] = (struct worker_stop){ .fn = fn, .arg = arg };
}

/* --- calls from other threads ----------------------------------------------------------------- */

static void
worker_call_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct worker_call_msg *c = CONTAINER_OF(m, struct worker_call_msg, msg);

	OBJ_CHECK(c, CALL_MAGIC);
	c->fn(loop_arg, c->arg);
	c->magic = 0;
	free(c);
}

static void
worker_call_discard(struct mbox_msg *m)
{
	struct worker_call_msg *c = CONTAINER_OF(m, struct worker_call_msg, msg);

	OBJ_CHECK(c, CALL_MAGIC);
	if (c->discard != NULL)
		c->discard(c->arg);
	c->magic = 0;
	free(c);
}

void
worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg,
	void (*discard)(void *arg))
{
	struct worker_call_msg *c = obj_alloc(sizeof *c);

	OBJ_CHECK(w, WORKER_MAGIC);
	*c = (struct worker_call_msg){
		.msg = { .deliver = worker_call_deliver, .discard = worker_call_discard },
		.magic = CALL_MAGIC, .fn = fn, .arg = arg, .discard = discard,
	};
	mbox_post_always(w->mbox, &c->msg);
}

/* --- slots ------------------------------------------------------------------------------------ */

static void
worker_slots_grow(struct worker *w)
{
	uint32_t n = w->_n_slots == 0 ? 64 : w->_n_slots * 2;

	ASSERT(n > w->_n_slots);
	w->_slots = obj_realloc(w->_slots, n * sizeof *w->_slots);
	for (uint32_t i = w->_n_slots; i < n; i++)
		w->_slots[i] = (struct worker_slot){
			.generation = 1, .next_free = i + 1 < n ? i + 1 : SLOT_NONE,
		};
	w->_free_slot = w->_n_slots;
	w->_n_slots = n;
}

struct conn_ref
worker_slot_take(struct worker *w, void *object)
{
	struct worker_slot *s;
	uint32_t i;

	worker_check(w);
	ASSERT(object != NULL);
	if (w->_free_slot == SLOT_NONE)
		worker_slots_grow(w);
	i = w->_free_slot;
	s = &w->_slots[i];
	w->_free_slot = s->next_free;
	s->object = object;
	return (struct conn_ref){ .worker = w->index, .slot = i, .generation = s->generation };
}

void *
worker_find(struct worker *w, struct conn_ref ref)
{
	worker_check(w);
	if (ref.generation == 0 || ref.worker != w->index || ref.slot >= w->_n_slots ||
	    w->_slots[ref.slot].generation != ref.generation)
		return NULL;
	return w->_slots[ref.slot].object;
}

void
worker_slot_give(struct worker *w, struct conn_ref ref)
{
	struct worker_slot *s;

	ASSERT(worker_find(w, ref) != NULL);
	s = &w->_slots[ref.slot];
	s->object = NULL;
	if (++s->generation == 0)
		s->generation = 1;
	s->next_free = w->_free_slot;
	w->_free_slot = ref.slot;
}

/* --- limbo and hooks -------------------------------------------------------------------------- */

void
worker_limbo_put(struct worker *w, struct worker_limbo *l)
{
	worker_check(w);
	ASSERT(l->free_fn != NULL);
	TAILQ_INSERT_TAIL(&w->_limbo, l, _link);
}

static struct worker_hooks *
hooks_of(struct worker *w, const struct worker_flush *f)
{
	return f->_is_again ? &w->_again : &w->_flush;
}

static void
hooks_add(struct worker *w, struct worker_flush *f, bool is_again)
{
	worker_check(w);
	ASSERT(f->fn != NULL);
	if (f->_is_queued) {
		ASSERT(f->_is_again == is_again);
		return;
	}
	f->_is_queued = true;
	f->_is_again = is_again;
	TAILQ_INSERT_TAIL(&hooks_of(w, f)->list, f, _link);
	hooks_of(w, f)->n++;
}

void
worker_flush_ask(struct worker *w, struct worker_flush *f)
{
	hooks_add(w, f, false);
}

void
worker_again(struct worker *w, struct worker_flush *f)
{
	hooks_add(w, f, true);
}

void
worker_flush_cancel(struct worker *w, struct worker_flush *f)
{
	worker_check(w);
	if (f->_is_queued)
		hooks_remove(hooks_of(w, f), f);
}

bool
worker_flush_is_asked(const struct worker_flush *f)
{
	return f->_is_queued;
}
