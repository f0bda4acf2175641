/*
 * Sizes: K3s gives every node a /24 of IPv4 and a /64 of IPv6 for its pods (node-cidr-mask-size
 * of kube-controller-manager), which splits a range into at most 2^16 of them; kube-apiserver
 * takes service ranges of at most 2^20 addresses.
 */
#include "coord/cluster.h"

#include <stdio.h>
#include <string.h>

#define FIRST_OCTET	42	/* as K3s has it by default: 10.42.0.0/16 pods, 10.43.0.0/16 services */
#define LEAST_OCTET	16	/* below are networks that people have at home */

static const struct { const char *word; uint8_t family, bits_min, bits_max; } ranges[CLUSTER_RANGES] = {
	[CLUSTER_POD4] = { "pod", 4, 8, 24 },
	[CLUSTER_POD6] = { "pod", 6, 48, 64 },
	[CLUSTER_SERVICE4] = { "service", 4, 12, 28 },
	[CLUSTER_SERVICE6] = { "service", 6, 108, 124 },
};

bool
cluster_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner)
{
	return outer->ip.family != 0 && outer->ip.family == inner->ip.family && outer->bits <= inner->bits &&
	    net_prefix_has(outer, &inner->ip);
}

bool
cluster_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b)
{
	return cluster_prefix_covers(a, b) || cluster_prefix_covers(b, a);
}

enum err
cluster_name_check(const char *name, struct err_text *why)
{
	size_t n = strlen(name);

	if (n == 0 || n >= CLUSTER_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n ||
	    name[0] == '-' || name[n - 1] == '-')
		return err_say(why, ERR_INVAL, "\"%.60s\" is no name of a cluster: 1-%d characters of "
		    "a-z 0-9 and '-', no '-' at either end", name, CLUSTER_NAME_MAX - 1);
	return ERR_OK;
}

/* Hosts keep these to themselves: this host, loopback, link-local, multicast. */
static bool
is_special(const struct net_prefix *p)
{
	static const struct net_prefix special[] = {
		{ { 4, { 0 } }, 8 }, { { 4, { 127 } }, 8 }, { { 4, { 169, 254 } }, 16 }, { { 4, { 224 } }, 3 },
		{ { 6, { 0 } }, 8 }, { { 6, { 0xfe, 0x80 } }, 10 }, { { 6, { 0xff } }, 8 },
	};

	for (unsigned i = 0; i < COUNT_OF(special); i++)
		if (cluster_prefix_overlaps(p, &special[i]))
			return true;
	return false;
}

static enum err
range_check(const struct cluster *c, enum cluster_range r, struct err_text *why)
{
	const struct net_prefix *p = &c->range[r];
	char text[NET_TEXT_MAX], other[NET_TEXT_MAX];

	if (p->ip.family == 0)
		return ERR_OK;
	if (p->ip.family != ranges[r].family || p->bits < ranges[r].bits_min || p->bits > ranges[r].bits_max)
		return err_say(why, ERR_INVAL, "%s cannot be the %s range: K3s takes IPv%d prefixes "
		    "from /%d to /%d",
		    net_prefix_put(p, text), ranges[r].word, ranges[r].family, ranges[r].bits_min,
		    ranges[r].bits_max);
	if (is_special(p))
		return err_say(why, ERR_INVAL, "%s cannot be the %s range: hosts use it for themselves "
		    "(loopback, link-local, multicast)", net_prefix_put(p, text), ranges[r].word);
	for (unsigned i = 0; i < (unsigned)r; i++)
		if (cluster_prefix_overlaps(p, &c->range[i]))
			return err_say(why, ERR_INVAL, "the %s range %s overlaps the cluster's %s range %s",
			    ranges[r].word, net_prefix_put(p, text), ranges[i].word,
			    net_prefix_put(&c->range[i], other));
	for (unsigned i = 0; i < c->n_lan; i++)
		if (cluster_prefix_overlaps(p, &c->lan[i]))
			return err_say(why, ERR_INVAL, "the %s range %s overlaps the cluster's own network %s",
			    ranges[r].word, net_prefix_put(p, text), net_prefix_put(&c->lan[i], other));
	return ERR_OK;
}

enum err
cluster_ranges_check(const struct cluster *c, struct err_text *why)
{
	enum err rc = ERR_OK;

	for (int r = 0; rc == ERR_OK && r < CLUSTER_RANGES; r++)
		rc = range_check(c, (enum cluster_range)r, why);
	return rc;
}

enum err
cluster_check(const struct cluster *c, struct err_text *why)
{
	enum err rc = cluster_name_check(c->name, why);

	if (rc == ERR_OK && !tag_is_valid(c->tag))
		rc = err_say(why, ERR_INVAL, "\"%.64s\" is no tag: write tag:name, letters, digits and '-',"
		    " beginning with a letter", c->tag);
	if (rc == ERR_OK)
		rc = cluster_ranges_check(c, why);
	if (rc == ERR_OK && (c->range[CLUSTER_POD4].ip.family == 0 ||
	    c->range[CLUSTER_SERVICE4].ip.family == 0))
		rc = err_say(why, ERR_INVAL, "a cluster has IPv4 ranges for pods and services");
	if (rc == ERR_OK && (c->range[CLUSTER_POD6].ip.family == 0) !=
	    (c->range[CLUSTER_SERVICE6].ip.family == 0))
		rc = err_say(why, ERR_INVAL, "a dual-stack cluster has IPv6 ranges for pods and for services");
	return rc;
}

static bool
is_free(const struct ipset *taken, unsigned octet, struct net_prefix *out)
{
	struct net_prefix p = { .ip = { .family = 4, .b = { 10, (uint8_t)octet } }, .bits = 16 };

	if (ipset_overlaps_prefix(taken, &p))
		return false;
	*out = p;
	return true;
}

enum err
cluster_pick4(enum cluster_range r, const struct ipset *taken, const struct net_prefix *beside,
	struct net_prefix *out, struct err_text *why)
{
	unsigned is_service = r == CLUSTER_SERVICE4;

	ASSERT(ranges[r].family == 4);
	if (beside != NULL && beside->ip.family == 4 && beside->bits == 16 && beside->ip.b[0] == 10 &&
	    beside->ip.b[1] < 255 && is_free(taken, beside->ip.b[1] + 1u, out))
		return ERR_OK;
	for (unsigned octet = FIRST_OCTET; octet < 256; octet += 2)
		if (is_free(taken, octet + is_service, out))
			return ERR_OK;
	for (unsigned octet = LEAST_OCTET; octet < FIRST_OCTET; octet += 2)
		if (is_free(taken, octet + is_service, out))
			return ERR_OK;
	return err_say(why, ERR_FULL, "no /16 of 10.0.0.0/8 is free for %ss: name a range with --%s-cidr",
	    ranges[r].word, ranges[r].word);
}

void
cluster_pick6(enum cluster_range r, const uint8_t random[5], struct net_prefix *out)
{
	ASSERT(ranges[r].family == 6);
	*out = (struct net_prefix){ .ip = { .family = 6, .b = { 0xfd } } };
	memcpy(out->ip.b + 1, random, 5);	/* RFC 4193, 3.2: global ID */
	out->ip.b[6] = r == CLUSTER_POD6 ? 0x42 : 0x43;
	out->bits = r == CLUSTER_POD6 ? 56 : 112;
}

void
cluster_prefixes_put(struct buf *b, const struct net_prefix *const *v, unsigned n)
{
	char text[NET_TEXT_MAX];
	bool needs_comma = false;

	for (unsigned i = 0; i < n; i++) {
		if (v[i]->ip.family == 0)
			continue;
		buf_str(b, needs_comma ? "," : "");
		buf_str(b, net_prefix_put(v[i], text));
		needs_comma = true;
	}
}
