/* Names: one detached thread per look-up. Whoever is last to change the state frees it. */
#include "base/lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum lookup_state { LOOKUP_RUNS, LOOKUP_DONE, LOOKUP_UNWANTED };

struct lookup {
	atomic_int state;
	int rc;				/* getaddrinfo's; from DONE on */
	struct addrinfo *found;		/* owned; the same */
	char host[254], port[8];
};

static void
lookup_free(struct lookup *lk)
{
	if (lk->found != NULL)
		freeaddrinfo(lk->found);
	free(lk);
}

static void *
lookup_main(void *arg)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct lookup *lk = arg;

	lk->rc = getaddrinfo(lk->host, lk->port, &hints, &lk->found);
	if (atomic_exchange(&lk->state, LOOKUP_DONE) == LOOKUP_UNWANTED)
		lookup_free(lk);
	return NULL;
}

bool
lookup_is_done(const struct lookup *lk, const struct addrinfo **found, const char **why)
{
	if (atomic_load(&lk->state) != LOOKUP_DONE)
		return false;
	*found = lk->found;
	if (lk->rc != 0)
		*why = gai_strerror(lk->rc);
	return true;
}

void
lookup_drop(struct lookup *lk)
{
	if (lk != NULL && atomic_exchange(&lk->state, LOOKUP_UNWANTED) == LOOKUP_DONE)
		lookup_free(lk);
}

struct lookup *
lookup_new(const char *host, uint16_t port)
{
	struct lookup *lk = obj_alloc(sizeof *lk);
	pthread_attr_t detached;
	sigset_t all, old;
	pthread_t thread;
	int e;

	atomic_init(&lk->state, LOOKUP_RUNS);
	snprintf(lk->host, sizeof lk->host, "%s", host);
	snprintf(lk->port, sizeof lk->port, "%u", (unsigned)port);
	ASSERT(pthread_attr_init(&detached) == 0);
	ASSERT(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are for the main thread */
	e = pthread_create(&thread, &detached, lookup_main, lk);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&detached);
	if (e == 0)
		return lk;
	lookup_free(lk);
	return NULL;
}
