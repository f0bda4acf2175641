/* Quotas: one atomic time each, when all that was taken will have been paid for. */
#include "relay/quota.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/obj.h"

#define TURN_MIN_BYTES	2048u
#define TURNS_PER_S	64

struct quota {
	atomic_uint n_refs;
	_Atomic int64_t bytes_per_s;
	_Atomic int64_t paid_us;
};

struct quota_set {
	atomic_uint n_refs;
	unsigned n;
	struct quota *quotas[];		/* held */
};

struct quota *
quota_new(int64_t bytes_per_s)
{
	struct quota *q = obj_alloc(sizeof *q);

	atomic_init(&q->n_refs, 1);
	atomic_init(&q->bytes_per_s, bytes_per_s);
	atomic_init(&q->paid_us, 0);
	return q;
}

struct quota *
quota_hold(struct quota *q)
{
	if (q != NULL)
		atomic_fetch_add_explicit(&q->n_refs, 1, memory_order_relaxed);
	return q;
}

void
quota_drop(struct quota *q)
{
	if (q != NULL && atomic_fetch_sub_explicit(&q->n_refs, 1, memory_order_acq_rel) == 1)
		free(q);
}

void
quota_set_rate(struct quota *q, int64_t bytes_per_s)
{
	atomic_store_explicit(&q->bytes_per_s, bytes_per_s, memory_order_relaxed);
}

int64_t
quota_rate(const struct quota *q)
{
	return atomic_load_explicit(&q->bytes_per_s, memory_order_relaxed);
}

int64_t
quota_take_us(struct quota *q, size_t n, int64_t now_us)
{
	int64_t rate = quota_rate(q), old, next;

	if (rate <= 0)
		return 0;
	old = atomic_load_explicit(&q->paid_us, memory_order_relaxed);
	do {
		next = old > now_us - QUOTA_BURST_US ? old : now_us - QUOTA_BURST_US;
		next += (int64_t)n * 1000000 / rate;
		if (next > now_us + QUOTA_DEBT_MAX_US)
			next = now_us + QUOTA_DEBT_MAX_US;
	} while (!atomic_compare_exchange_weak_explicit(&q->paid_us, &old, next, memory_order_relaxed,
	    memory_order_relaxed));
	return next > now_us ? next - now_us : 0;
}

struct quota_set *
quota_set_new(struct quota *const *quotas, unsigned n)
{
	struct quota_set *s;

	ASSERT(n <= QUOTA_SET_MAX);
	if (n == 0)
		return NULL;
	s = obj_alloc(sizeof *s + n * sizeof(struct quota *));
	atomic_init(&s->n_refs, 1);
	s->n = n;
	for (unsigned i = 0; i < n; i++)
		s->quotas[i] = quota_hold(quotas[i]);
	return s;
}

struct quota_set *
quota_set_hold(struct quota_set *s)
{
	if (s != NULL)
		atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed);
	return s;
}

void
quota_set_drop(struct quota_set *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < s->n; i++)
		quota_drop(s->quotas[i]);
	free(s);
}

int64_t
quota_set_take_us(struct quota_set *s, size_t n, int64_t now_us)
{
	int64_t longest = 0;

	for (unsigned i = 0; i < s->n; i++) {
		int64_t us = quota_take_us(s->quotas[i], n, now_us);

		longest = us > longest ? us : longest;
	}
	return longest;
}

size_t
quota_set_turn_bytes(const struct quota_set *s, size_t max)
{
	size_t least = max;

	for (unsigned i = 0; i < s->n; i++) {
		int64_t rate = quota_rate(s->quotas[i]);

		if (rate > 0 && (size_t)(rate / TURNS_PER_S) < least)
			least = (size_t)(rate / TURNS_PER_S);
	}
	return least < TURN_MIN_BYTES ? TURN_MIN_BYTES : least;
}
