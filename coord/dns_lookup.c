/* One look-up at a time (base/lookup has a thread each), polled while it runs. */
#include "coord/dns_lookup.h"

#include <event2/event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/lookup.h"

#define LOOKUP_MAGIC	0xd5100c09u
#define POLL_MS		25

struct name {
	char *name;
	struct dns_ips ips;		/* last that were found */
	char problem[DNS_PROBLEM_MAX];	/* of the last try; "" = none */
	int64_t due_ms;
	bool is_wanted;
};

struct dns_lookup {
	uint32_t magic;
	struct event *timer;
	struct name *names;		/* owned */
	unsigned n;
	struct lookup *running;		/* owned; of the name running_name */
	char *running_name;
	void (*changed)(void *arg);
	void *arg;
};

static struct name *
name_find(struct dns_lookup *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->names[i].name, name) == 0)
			return &l->names[i];
	return NULL;
}

static void
timer_set(struct dns_lookup *l, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(l->timer, &tv);
}

static bool
ips_same(const struct dns_ips *a, const struct dns_ips *b)
{
	bool is_same = a->n == b->n;

	for (unsigned i = 0; is_same && i < a->n; i++) {	/* resolvers turn the order round */
		bool is_there = false;

		for (unsigned k = 0; k < b->n; k++)
			is_there |= net_ip_eq(&a->v[i], &b->v[k]);
		is_same = is_there;
	}
	return is_same;
}

static void
take_result(struct dns_lookup *l, struct name *nm, const struct addrinfo *found, const char *why)
{
	struct dns_ips ips = { .n = 0 };
	char problem[DNS_PROBLEM_MAX] = "";
	bool is_changed;

	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
		struct net_addr addr;

		net_addr_from_sockaddr(a->ai_addr, &addr);
		dns_ips_add(&ips, &addr.ip);
	}
	if (ips.n == 0)
		snprintf(problem, sizeof(problem), "%.50s cannot be looked up: %.30s", nm->name,
		    why != NULL ? why : "no address");
	nm->due_ms = clock_mono_ms() + (ips.n > 0 ? DNS_LOOKUP_AGAIN_MS : DNS_LOOKUP_RETRY_MS);
	is_changed = strcmp(problem, nm->problem) != 0 || (ips.n > 0 && !ips_same(&ips, &nm->ips));
	memcpy(nm->problem, problem, sizeof(problem));
	if (ips.n > 0 && is_changed)
		nm->ips = ips;
	if (!is_changed)
		return;
	if (problem[0] != 0)
		log_warn(LOG_COORD, "the target of a CNAME record is not found", "name", nm->name, "err",
		    why != NULL ? why : "no address", "kept", LOG_NUM(nm->ips.n));
	l->changed(l->arg);
}

/* false: it still runs. */
static bool
poll_running(struct dns_lookup *l)
{
	const struct addrinfo *found = NULL;
	const char *why = NULL;
	struct name *nm;

	if (l->running == NULL)
		return true;
	if (!lookup_is_done(l->running, &found, &why))
		return false;
	if ((nm = name_find(l, l->running_name)) != NULL)
		take_result(l, nm, found, why);
	lookup_drop(l->running);
	l->running = NULL;
	free(l->running_name);
	l->running_name = NULL;
	return true;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_lookup *l = arg;
	struct name *next = NULL;
	int64_t now = clock_mono_ms();

	(void)fd;
	(void)what;
	OBJ_CHECK(l, LOOKUP_MAGIC);
	if (!poll_running(l)) {
		timer_set(l, POLL_MS);
		return;
	}
	for (unsigned i = 0; i < l->n; i++)
		if (next == NULL || l->names[i].due_ms < next->due_ms)
			next = &l->names[i];
	if (next == NULL)
		return;
	if (next->due_ms > now) {
		timer_set(l, next->due_ms - now);
		return;
	}
	if ((l->running = lookup_new(next->name, 0)) != NULL)
		l->running_name = obj_strdup(next->name);
	else
		next->due_ms = now + DNS_LOOKUP_RETRY_MS;
	timer_set(l, POLL_MS);
}

struct dns_lookup *
dns_lookup_new(struct event_base *base, void (*changed)(void *arg), void *arg)
{
	struct dns_lookup *l = obj_alloc(sizeof(*l));

	l->magic = LOOKUP_MAGIC;
	l->changed = changed;
	l->arg = arg;
	l->timer = event_new(base, -1, 0, on_timer, l);
	ASSERT(l->timer != NULL);
	return l;
}

void
dns_lookup_free(struct dns_lookup *l)
{
	if (l == NULL)
		return;
	OBJ_CHECK(l, LOOKUP_MAGIC);
	event_free(l->timer);
	lookup_drop(l->running);
	free(l->running_name);
	for (unsigned i = 0; i < l->n; i++)
		free(l->names[i].name);
	free(l->names);
	l->magic = 0;
	free(l);
}

void
dns_lookup_begin(struct dns_lookup *l)
{
	for (unsigned i = 0; i < l->n; i++)
		l->names[i].is_wanted = false;
}

bool
dns_lookup_find(void *arg, const char *name, struct dns_ips *out, char problem[DNS_PROBLEM_MAX])
{
	struct dns_lookup *l = arg;
	struct name *nm;

	OBJ_CHECK(l, LOOKUP_MAGIC);
	if ((nm = name_find(l, name)) == NULL) {
		if (l->n == DNS_LOOKUP_NAMES_MAX) {
			snprintf(problem, DNS_PROBLEM_MAX, "only %d names of outside are looked up",
			    DNS_LOOKUP_NAMES_MAX);
			return false;
		}
		l->names = obj_realloc(l->names, (l->n + 1) * sizeof(*l->names));
		nm = &l->names[l->n++];
		*nm = (struct name){ .name = obj_strdup(name) };
		snprintf(nm->problem, sizeof(nm->problem), "%.60s is being looked up", name);
	}
	nm->is_wanted = true;
	for (unsigned i = 0; i < nm->ips.n; i++)
		dns_ips_add(out, &nm->ips.v[i]);
	if (nm->ips.n == 0)
		memcpy(problem, nm->problem, DNS_PROBLEM_MAX);
	return nm->ips.n > 0;
}

void
dns_lookup_end(struct dns_lookup *l)
{
	unsigned kept = 0;
	bool is_due = false;

	for (unsigned i = 0; i < l->n; i++) {
		if (!l->names[i].is_wanted) {
			free(l->names[i].name);
			continue;
		}
		is_due |= l->names[i].due_ms == 0;
		l->names[kept++] = l->names[i];
	}
	l->n = kept;
	if (is_due)
		timer_set(l, 0);
}
