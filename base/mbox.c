/*
 * Mailbox: a list under a mutex and an eventfd. The lock is held for a few instructions only: the
 * receiver takes the whole list and runs it outside. The eventfd is written only when the list was
 * empty, so a burst costs one wake-up.
 */
#include "base/mbox.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/obj.h"

/* Messages run before the loop gets its turn again: a flood delays packets by so much only. */
#define MBOX_PER_TURN	1024

#define MBOX_MAGIC	0x5d31b0c5u

struct mbox_list {
	struct mbox_msg *first, **last;
};

struct mbox {
	uint32_t magic;
	int efd;
	void *loop_arg;
	size_t limit;
	struct event *ev;		/* NULL once closed */
	void (*before_fn)(void *loop_arg);
	struct mbox_list running;	/* receiver only: taken, not delivered yet */
	atomic_size_t n;		/* posted and not handed out yet */
	pthread_mutex_t lock;
	struct mbox_list posted;	/* under lock */
	bool is_closed;			/* under lock */
};

static void
list_init(struct mbox_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void
list_append(struct mbox_list *l, struct mbox_msg *m)
{
	m->_next = NULL;
	*l->last = m;
	l->last = &m->_next;
}

/* First message, or NULL. */
static struct mbox_msg *
list_pop(struct mbox_list *l)
{
	struct mbox_msg *m = l->first;

	if (m == NULL)
		return NULL;
	l->first = m->_next;
	if (l->first == NULL)
		l->last = &l->first;
	m->_next = NULL;
	return m;
}

/* Moves all of from to the empty list to. */
static void
list_move(struct mbox_list *to, struct mbox_list *from)
{
	ASSERT(to->first == NULL);
	if (from->first == NULL)
		return;
	*to = *from;
	list_init(from);
}

static void
mbox_wake(struct mbox *mb)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(mb->efd, &one, sizeof one);
	while (n < 0 && errno == EINTR);
	/* EAGAIN: the counter is at its end, so the receiver is awake anyway. */
	ASSERT(n == (ssize_t)sizeof one || errno == EAGAIN);
}

static void
mbox_on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct mbox *mb = arg;
	uint64_t count;
	bool is_left;

	(void)what;
	OBJ_CHECK(mb, MBOX_MAGIC);
	/* Emptied before the list is taken: whoever posts to the empty list afterwards wakes. */
	ASSERT(read(fd, &count, sizeof count) > 0 || errno == EAGAIN || errno == EINTR);
	is_left = mb->running.first != NULL;
	if (!is_left) {
		pthread_mutex_lock(&mb->lock);
		list_move(&mb->running, &mb->posted);
		pthread_mutex_unlock(&mb->lock);
	}
	if (mb->before_fn != NULL)
		mb->before_fn(mb->loop_arg);
	for (unsigned i = 0; i < MBOX_PER_TURN; i++) {
		/* A delivery may close the mailbox; then nothing is left here. */
		struct mbox_msg *m = list_pop(&mb->running);

		if (m == NULL)
			break;
		atomic_fetch_sub_explicit(&mb->n, 1, memory_order_relaxed);
		m->deliver(m, mb->loop_arg);
	}
	/* With something left from last time the list was not taken, but its wake-up is used up. */
	if (mb->running.first != NULL || is_left)
		mbox_wake(mb);
}

struct mbox *
mbox_new(struct event_base *base, void *loop_arg, size_t limit)
{
	struct mbox *mb = obj_alloc(sizeof *mb);

	mb->magic = MBOX_MAGIC;
	mb->loop_arg = loop_arg;
	mb->limit = limit;
	list_init(&mb->running);
	list_init(&mb->posted);
	atomic_init(&mb->n, 0);
	mb->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (mb->efd < 0) {
		free(mb);
		return NULL;
	}
	ASSERT(pthread_mutex_init(&mb->lock, NULL) == 0);
	mb->ev = event_new(base, mb->efd, EV_READ | EV_PERSIST, mbox_on_wake, mb);
	if (mb->ev == NULL || event_add(mb->ev, NULL) != 0) {
		mbox_close(mb);
		mbox_free(mb);
		return NULL;
	}
	return mb;
}

void
mbox_on_batch(struct mbox *mb, void (*fn)(void *loop_arg))
{
	mb->before_fn = fn;
}

void
mbox_close(struct mbox *mb)
{
	struct mbox_list posted;
	struct mbox_msg *m;

	OBJ_CHECK(mb, MBOX_MAGIC);
	if (mb->ev != NULL)
		event_free(mb->ev);
	mb->ev = NULL;
	list_init(&posted);
	pthread_mutex_lock(&mb->lock);
	mb->is_closed = true;
	list_move(&posted, &mb->posted);
	pthread_mutex_unlock(&mb->lock);
	while ((m = list_pop(&mb->running)) != NULL)
		m->discard(m);
	while ((m = list_pop(&posted)) != NULL)
		m->discard(m);
}

void
mbox_free(struct mbox *mb)
{
	if (mb == NULL)
		return;
	OBJ_CHECK(mb, MBOX_MAGIC);
	ASSERT(mb->ev == NULL && mb->posted.first == NULL);
	close(mb->efd);
	pthread_mutex_destroy(&mb->lock);
	mb->magic = 0;
	free(mb);
}

static enum err
mbox_put(struct mbox *mb, struct mbox_msg *m, size_t limit)
{
	bool was_empty, is_closed;

	OBJ_CHECK(mb, MBOX_MAGIC);
	ASSERT(m->deliver != NULL && m->discard != NULL);
	pthread_mutex_lock(&mb->lock);
	is_closed = mb->is_closed;
	was_empty = mb->posted.first == NULL;
	if (!is_closed) {
		if (atomic_load_explicit(&mb->n, memory_order_relaxed) >= limit) {
			pthread_mutex_unlock(&mb->lock);
			return ERR_BUSY;
		}
		atomic_fetch_add_explicit(&mb->n, 1, memory_order_relaxed);
		list_append(&mb->posted, m);
	}
	pthread_mutex_unlock(&mb->lock);
	if (is_closed)
		m->discard(m);
	else if (was_empty)
		mbox_wake(mb);
	return ERR_OK;
}

enum err
mbox_post(struct mbox *mb, struct mbox_msg *m)
{
	return mbox_put(mb, m, mb->limit);
}

void
mbox_post_always(struct mbox *mb, struct mbox_msg *m)
{
	enum err rc = mbox_put(mb, m, SIZE_MAX);

	ASSERT(rc == ERR_OK);
}
