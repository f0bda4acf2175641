/* Address ranges as bitmaps; the resting addresses in the order in which they were given back. */
#include "coord/ipam.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/obj.h"
#include "base/wire.h"

#define POOL_BITS_MAX	22	/* addresses looked at: all of 100.64.0.0/10, as many of IPv6 */
#define WORD_BITS	64u

struct resting {
	uint32_t offset;
	int64_t since_unix_s;
};

struct pool {
	struct net_prefix range;
	uint32_t size;			/* addresses, from the first of the range on */
	uint32_t n_usable;		/* that are not reserved */
	uint32_t n_taken;		/* of those: used, promised or resting */
	uint32_t lowest;		/* no free one below */
	uint64_t *taken;		/* bitmap, also of what is reserved for ever */
	struct resting *rest;		/* queue, oldest first: [rest_head, rest_head + rest_n) */
	size_t rest_head, rest_n, rest_cap;
};

/* Nodes alike. */
struct kin {
	uint64_t key;
	unsigned n;			/* that came so far */
	bool has_block4, has_block6;	/* the newest is in a block of the kin */
	uint32_t at4, at6;		/* of the newest */
};

struct ipam {
	struct pool v4, v6;
	struct map kins;		/* struct kin, owned */
};

static const char *const reserved[] = {
	"100.100.100.0/24", "100.115.92.0/23",
	"fd7a:115c:a1e0::/128", "fd7a:115c:a1e0::53/128", "fd7a:115c:a1e0:b1a::/64",
	"fd7a:115c:a1e0:ab12:4843:cd96:6200::/104", "fd7a:115c:a1e0:efe3::/64",
};

static unsigned
family_bits(const struct net_ip *ip)
{
	return ip->family == 4 ? 32 : 128;
}

static bool
bit_get(const struct pool *p, uint32_t offset)
{
	return (p->taken[offset / WORD_BITS] >> (offset % WORD_BITS)) & 1;
}

static void
bit_set(struct pool *p, uint32_t offset)
{
	p->taken[offset / WORD_BITS] |= (uint64_t)1 << (offset % WORD_BITS);
}

static void
bit_clear(struct pool *p, uint32_t offset)
{
	p->taken[offset / WORD_BITS] &= ~((uint64_t)1 << (offset % WORD_BITS));
	if (offset < p->lowest)
		p->lowest = offset;
}

/* The last 32 bits of an address. */
static uint32_t
low_word(const struct net_ip *ip)
{
	return wire_u32be(ip->family == 4 ? ip->b : ip->b + 12);
}

static struct net_ip
address_at(const struct pool *p, uint32_t offset)
{
	struct net_ip ip = p->range.ip;

	/* The range's host bits are zero: no carry. */
	wire_put_u32be(ip.family == 4 ? ip.b : ip.b + 12, low_word(&ip) + offset);
	return ip;
}

/* Offset of the address in the pool; false: outside. */
static bool
offset_of(const struct pool *p, const struct net_ip *ip, uint32_t *offset)
{
	if (!net_prefix_has(&p->range, ip))
		return false;
	if (ip->family == 6 && memcmp(ip->b, p->range.ip.b, 12) != 0)
		return false;
	*offset = low_word(ip) - low_word(&p->range.ip);
	return *offset < p->size;
}

static void
reserve_prefix(struct pool *p, const struct net_prefix *r)
{
	uint32_t first = 0, n = p->size;

	if (net_prefix_has(&p->range, &r->ip)) {
		if (!offset_of(p, &r->ip, &first))
			return;
		unsigned host_bits = family_bits(&r->ip) - r->bits;
		if (host_bits < POOL_BITS_MAX)
			n = (uint32_t)1 << host_bits;
	} else if (!net_prefix_has(r, &p->range.ip)) {
		return;
	}
	for (uint32_t i = first; i < p->size && i - first < n; i++)
		bit_set(p, i);
}

static enum err
pool_init(struct pool *p, const char *range, const char *within, struct err_text *why)
{
	struct net_prefix outer, r;

	ASSERT(net_prefix_parse(within, strlen(within), &outer) == ERR_OK);
	if (net_prefix_parse(range, strlen(range), &p->range) != ERR_OK ||
	    p->range.bits < outer.bits || !net_prefix_has(&outer, &p->range.ip))
		return err_say(why, ERR_INVAL, "prefixes: \"%s\" is no prefix within %s", range,
		    within);
	unsigned host_bits = family_bits(&p->range.ip) - p->range.bits;
	p->size = (uint32_t)1 << (host_bits < POOL_BITS_MAX ? host_bits : POOL_BITS_MAX);
	p->taken = calloc(p->size / WORD_BITS + 1, sizeof(uint64_t));
	ASSERT(p->taken != NULL);
	bit_set(p, 0);
	if (p->range.ip.family == 4)
		bit_set(p, p->size - 1);
	for (size_t i = 0; i < COUNT_OF(reserved); i++) {
		ASSERT(net_prefix_parse(reserved[i], strlen(reserved[i]), &r) == ERR_OK);
		reserve_prefix(p, &r);
	}
	for (uint32_t i = 0; i < p->size; i++)
		p->n_usable += !bit_get(p, i);
	if (p->n_usable == 0)
		return err_say(why, ERR_INVAL, "prefixes: no address of %s can be given to a node",
		    range);
	return ERR_OK;
}

enum err
ipam_new(const char *v4, const char *v6, struct ipam **out, struct err_text *why)
{
	struct ipam *a = obj_alloc(sizeof(*a));

	MAP_INIT(&a->kins, struct kin, key);
	enum err rc = pool_init(&a->v4, v4, "100.64.0.0/10", why);

	if (rc == ERR_OK)
		rc = pool_init(&a->v6, v6, "fd7a:115c:a1e0::/48", why);
	if (rc != ERR_OK) {
		ipam_free(a);
		return rc;
	}
	*out = a;
	return ERR_OK;
}

void
ipam_free(struct ipam *a)
{
	struct kin *k;
	size_t cursor = 0;

	if (a == NULL)
		return;
	while ((k = map_next(&a->kins, &cursor)) != NULL)
		free(k);
	map_fini(&a->kins);
	free(a->v4.taken);
	free(a->v4.rest);
	free(a->v6.taken);
	free(a->v6.rest);
	free(a);
}

static struct resting
rest_pop(struct pool *p)
{
	struct resting r = p->rest[p->rest_head];

	p->rest_head++;
	p->rest_n--;
	return r;
}

/* The queue is in order of time; what comes late goes to where it belongs. */
static void
rest_push(struct pool *p, struct resting r)
{
	struct resting *at;

	if (p->rest_head + p->rest_n == p->rest_cap && p->rest_head > p->rest_n) {
		memmove(p->rest, p->rest + p->rest_head, p->rest_n * sizeof(*p->rest));
		p->rest_head = 0;
	}
	if (p->rest_head + p->rest_n == p->rest_cap) {
		p->rest_cap = p->rest_cap == 0 ? 16 : 2 * p->rest_cap;
		p->rest = obj_realloc(p->rest, p->rest_cap * sizeof(*p->rest));
	}
	at = p->rest + p->rest_head + p->rest_n++;
	for (; at > p->rest + p->rest_head && at[-1].since_unix_s > r.since_unix_s; at--)
		*at = at[-1];
	*at = r;
}

/* Is a range used up, even of resting ones? */
static bool
pool_is_full(const struct pool *p)
{
	return p->n_taken - p->rest_n == p->n_usable;
}

/* Those that rested long enough are free. */
static void
pool_wake(struct pool *p, int64_t now_unix_s)
{
	while (p->rest_n > 0 && p->rest[p->rest_head].since_unix_s + IPAM_REST_S <= now_unix_s) {
		bit_clear(p, rest_pop(p).offset);
		p->n_taken--;
	}
}

/* The pool is not full. */
static struct net_ip
pool_take(struct pool *p, int64_t now_unix_s)
{
	pool_wake(p, now_unix_s);
	if (p->n_taken == p->n_usable)	/* stays taken, by somebody else from now on */
		return address_at(p, rest_pop(p).offset);

	uint32_t word = p->lowest / WORD_BITS;
	while (p->taken[word] == UINT64_MAX)
		word++;
	uint32_t offset = word * WORD_BITS + (uint32_t)__builtin_ctzll(~p->taken[word]);
	ASSERT(offset < p->size);
	bit_set(p, offset);
	p->n_taken++;
	p->lowest = offset + 1;
	return address_at(p, offset);
}

static enum err
say_full(int family, struct err_text *why)
{
	return err_say(why, ERR_FULL, "no address is left in the %s range: remove nodes, or configure "
	    "a larger prefix", family == 4 ? "IPv4" : "IPv6");
}

enum err
ipam_reserve_one(struct ipam *a, int family, int64_t now_unix_s, struct net_ip *out,
	struct err_text *why)
{
	struct pool *p = family == 4 ? &a->v4 : &a->v6;

	if (pool_is_full(p))
		return say_full(family, why);
	*out = pool_take(p, now_unix_s);
	return ERR_OK;
}

enum err
ipam_reserve(struct ipam *a, int64_t now_unix_s, struct net_ip *ip4, struct net_ip *ip6,
	struct err_text *why)
{
	if (pool_is_full(&a->v4) || pool_is_full(&a->v6))
		return say_full(pool_is_full(&a->v4) ? 4 : 6, why);
	*ip4 = pool_take(&a->v4, now_unix_s);
	*ip6 = pool_take(&a->v6, now_unix_s);
	return ERR_OK;
}

/* Beside the newest of a kin: in its block of 64, else the first of the last block of which nothing is
 * taken. */
static struct net_ip
pool_take_beside(struct pool *p, int64_t now_unix_s, uint32_t *at, bool *has_block)
{
	uint32_t n_words = p->size / WORD_BITS, word = *at / WORD_BITS;

	pool_wake(p, now_unix_s);
	if (!*has_block || (word < n_words && p->taken[word] == UINT64_MAX))
		for (word = n_words; word-- > 0 && p->taken[word] != 0; )
			;
	if (word >= n_words)	/* a range of less than a block, or no block is left */
		return pool_take(p, now_unix_s);
	*has_block = true;
	*at = word * WORD_BITS + (uint32_t)__builtin_ctzll(~p->taken[word]);
	bit_set(p, *at);
	p->n_taken++;
	return address_at(p, *at);
}

enum err
ipam_reserve_kin(struct ipam *a, uint64_t kin, int64_t now_unix_s, struct net_ip *ip4,
	struct net_ip *ip6, struct err_text *why)
{
	struct kin *k = map_find(&a->kins, &kin);

	if (k == NULL || k->n < IPAM_KIN_FEW || pool_is_full(&a->v4) || pool_is_full(&a->v6))
		return ipam_reserve(a, now_unix_s, ip4, ip6, why);
	*ip4 = pool_take_beside(&a->v4, now_unix_s, &k->at4, &k->has_block4);
	*ip6 = pool_take_beside(&a->v6, now_unix_s, &k->at6, &k->has_block6);
	return ERR_OK;
}

void
ipam_note_kin(struct ipam *a, uint64_t kin, const struct net_ip *ip4, const struct net_ip *ip6)
{
	struct kin *k = map_find(&a->kins, &kin);
	uint32_t at;

	if (kin == 0)
		return;
	if (k == NULL) {
		k = obj_alloc(sizeof(*k));
		k->key = kin;
		map_put(&a->kins, k);
	}
	if (k->n++ >= IPAM_KIN_FEW)
		k->has_block4 = k->has_block6 = true;
	if (offset_of(&a->v4, ip4, &at))
		k->at4 = at;
	if (offset_of(&a->v6, ip6, &at))
		k->at6 = at;
}

static struct pool *
pool_of(struct ipam *a, const struct net_ip *ip)
{
	return ip->family == 4 ? &a->v4 : &a->v6;
}

void
ipam_unreserve(struct ipam *a, const struct net_ip *ip)
{
	struct pool *p = pool_of(a, ip);
	uint32_t offset;

	if (offset_of(p, ip, &offset) && bit_get(p, offset)) {
		bit_clear(p, offset);
		p->n_taken--;
	}
}

/* An address that is reserved by now, but was given out by an older configuration, is not
 * counted. */
static bool
is_usable_offset(const struct pool *p, uint32_t offset)
{
	struct net_ip ip = address_at(p, offset);
	struct net_prefix r;

	if (offset == 0 || (ip.family == 4 && offset == p->size - 1))
		return false;
	for (size_t i = 0; i < COUNT_OF(reserved); i++) {
		ASSERT(net_prefix_parse(reserved[i], strlen(reserved[i]), &r) == ERR_OK);
		if (net_prefix_has(&r, &ip))
			return false;
	}
	return true;
}

/* Takes the address out of the queue of resting ones; since when it rested, or 0: it does not. */
static int64_t
rest_remove(struct pool *p, uint32_t offset)
{
	struct resting *first = p->rest + p->rest_head;

	for (size_t i = 0; i < p->rest_n; i++) {
		int64_t since = first[i].since_unix_s;

		if (first[i].offset != offset)
			continue;
		memmove(first + i, first + i + 1, (p->rest_n - i - 1) * sizeof(*first));
		p->rest_n--;
		return since;
	}
	return 0;
}

/* The lowest free one of [first, end); without one, the longest rested. */
static bool
pool_take_within(struct pool *p, uint32_t first, uint32_t end, struct net_ip *out)
{
	for (uint32_t i = first; i < end; i++) {
		if (i % WORD_BITS == 0 && p->taken[i / WORD_BITS] == UINT64_MAX) {
			i += WORD_BITS - 1;
		} else if (!bit_get(p, i)) {
			bit_set(p, i);
			p->n_taken++;
			*out = address_at(p, i);
			return true;
		}
	}
	for (size_t k = 0; k < p->rest_n; k++) {
		uint32_t offset = p->rest[p->rest_head + k].offset;

		if (offset < first || offset >= end)
			continue;
		rest_remove(p, offset);		/* stays taken, by somebody else from now on */
		*out = address_at(p, offset);
		return true;
	}
	return false;
}

/* Which offsets of the pool lie in the prefix; false: none. */
static bool
pool_part(const struct pool *p, const struct net_prefix *part, uint32_t *first, uint32_t *end)
{
	*first = 0;
	*end = p->size;
	if (net_prefix_has(part, &p->range.ip) && part->bits <= p->range.bits)
		return true;
	if (!offset_of(p, &part->ip, first))
		return false;
	*end = *first + ((uint32_t)1 << (family_bits(&part->ip) - part->bits));
	return true;
}

enum err
ipam_reserve_within(struct ipam *a, const struct net_prefix *v4, unsigned n, int64_t now_unix_s,
	struct net_ip *ip4, struct net_ip *ip6, struct err_text *why)
{
	char text[NET_TEXT_MAX];

	if (pool_is_full(&a->v6))
		return say_full(6, why);
	pool_wake(&a->v4, now_unix_s);
	for (unsigned i = 0; i < n; i++) {
		uint32_t first, end;

		if (!pool_part(&a->v4, &v4[i], &first, &end) || !pool_take_within(&a->v4, first, end, ip4))
			continue;
		*ip6 = pool_take(&a->v6, now_unix_s);
		return ERR_OK;
	}
	return err_say(why, ERR_FULL, "no address of %s%s is left for this device: remove devices, or "
	    "give it a larger ipPool in the policy", net_prefix_put(&v4[0], text),
	    n > 1 ? " (or its other pools)" : "");
}

enum err
ipam_reserve_exact(struct ipam *a, const struct net_ip *ip, struct ipam_hold *out,
	struct err_text *why)
{
	struct pool *p = pool_of(a, ip);
	char text[NET_TEXT_MAX], first[NET_TEXT_MAX], last[NET_TEXT_MAX];
	int64_t since = 0;
	uint32_t offset;

	net_ip_put(ip, text);
	if (!offset_of(p, ip, &offset)) {
		struct net_ip low = address_at(p, 0), high = address_at(p, p->size - 1);

		return err_say(why, ERR_INVAL, "%s is not among the addresses that are given out here: "
		    "%s to %s", text, net_ip_put(&low, first), net_ip_put(&high, last));
	}
	if (!is_usable_offset(p, offset))
		return err_say(why, ERR_INVAL, "%s is reserved for other purposes", text);
	if (bit_get(p, offset) && (since = rest_remove(p, offset)) == 0)
		return err_say(why, ERR_EXISTS, "%s belongs to a node already, or is promised to one",
		    text);
	p->n_taken += since == 0;
	bit_set(p, offset);
	*out = (struct ipam_hold){ .ip = *ip, .rested_unix_s = since };
	return ERR_OK;
}

void
ipam_use(struct ipam *a, const struct net_ip *ip)
{
	struct pool *p = pool_of(a, ip);
	uint32_t offset;

	if (offset_of(p, ip, &offset) && !bit_get(p, offset)) {
		bit_set(p, offset);
		p->n_taken++;
	}
}

void
ipam_release(struct ipam *a, const struct net_ip *ip, int64_t released_unix_s)
{
	struct pool *p = pool_of(a, ip);
	uint32_t offset;

	if (!offset_of(p, ip, &offset) || !is_usable_offset(p, offset))
		return;
	ipam_use(a, ip);	/* loaded from the history */
	rest_push(p, (struct resting){ .offset = offset, .since_unix_s = released_unix_s });
}

size_t
ipam_free_count(const struct ipam *a, int family)
{
	const struct pool *p = family == 4 ? &a->v4 : &a->v6;

	return p->n_usable - p->n_taken + p->rest_n;
}

void
ipam_give_back(struct ipam *a, const struct ipam_hold *h)
{
	if (h->ip.family != 0 && h->rested_unix_s != 0)
		ipam_release(a, &h->ip, h->rested_unix_s);
	else if (h->ip.family != 0)
		ipam_unreserve(a, &h->ip);
}
