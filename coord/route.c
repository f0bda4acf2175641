/* Prefixes that nodes route. */
#include "coord/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int
route_cmp(const struct net_prefix *a, const struct net_prefix *b)
{
	int d = (int)a->ip.family - (int)b->ip.family;

	if (d == 0)
		d = memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));
	return d != 0 ? d : (int)a->bits - (int)b->bits;
}

bool
route_is_exit(const struct net_prefix *p)
{
	return p->bits == 0;
}

static bool
is_within(const struct net_prefix *p, const char *range)
{
	struct net_prefix r;

	ASSERT(net_prefix_parse(range, strlen(range), &r) == ERR_OK);
	return p->bits >= r.bits && net_prefix_has(&r, &p->ip);
}

enum err
route_check(const struct net_prefix *p, struct err_text *why)
{
	char text[NET_TEXT_MAX];

	if (is_within(p, "127.0.0.0/8") || is_within(p, "::1/128") || is_within(p, "224.0.0.0/4") ||
	    is_within(p, "ff00::/8"))
		return err_say(why, ERR_INVAL, "%s is no route: every host keeps loopback and multicast to "
		    "itself", net_prefix_put(p, text));
	if ((!is_within(p, "100.64.0.0/10") && !is_within(p, "fd7a:115c:a1e0::/48")) ||
	    is_within(p, "fd7a:115c:a1e0:b1a::/64"))
		return ERR_OK;
	return err_say(why, ERR_INVAL, "%s is no route: addresses of the nodes themselves come from there",
	    net_prefix_put(p, text));
}

void
route_list_fini(struct route_list *l)
{
	free(l->v);
	*l = (struct route_list){ .n = 0 };
}

void
route_list_add(struct route_list *l, const struct net_prefix *v, unsigned n)
{
	if (n == 0)
		return;
	if (l->n + n > l->_cap) {
		l->_cap = l->n + n > 2 * l->_cap ? l->n + n : 2 * l->_cap;
		l->v = obj_realloc(l->v, l->_cap * sizeof(*l->v));
	}
	memcpy(l->v + l->n, v, n * sizeof(*v));
	l->n += n;
}

static int
compare(const void *a, const void *b)
{
	return route_cmp(a, b);
}

void
route_list_tidy(struct route_list *l)
{
	unsigned kept = 0;

	if (l->n == 0)
		return;
	qsort(l->v, l->n, sizeof(*l->v), compare);
	for (unsigned i = 0; i < l->n; i++)
		if (kept == 0 || route_cmp(&l->v[kept - 1], &l->v[i]) != 0)
			l->v[kept++] = l->v[i];
	l->n = kept;
}

bool
route_list_has(const struct net_prefix *v, unsigned n, const struct net_prefix *p)
{
	return n > 0 && bsearch(p, v, n, sizeof(*v), compare) != NULL;
}

bool
route_list_eq(const struct net_prefix *a, unsigned na, const struct net_prefix *b, unsigned nb)
{
	unsigned i = 0;

	if (na != nb)
		return false;
	while (i < na && route_cmp(&a[i], &b[i]) == 0)
		i++;
	return i == na;
}

void
route_list_put(struct buf *b, const struct net_prefix *v, unsigned n)
{
	struct json_writer w;

	json_w_init(&w, b);
	json_w_prefixes(&w, NULL, v, n);
}

enum err
route_list_parse(const char *json, struct route_list *out)
{
	struct net_prefix p;
	json_t *root = NULL, *v;
	size_t i;
	enum err rc = ERR_INVAL;

	if (json_parse(json, strlen(json), &root, NULL) != ERR_OK || !json_is_array(root))
		goto out;
	*out = (struct route_list){ .n = 0 };
	json_array_foreach(root, i, v)
		if (json_is_string(v) && net_prefix_parse(json_string_value(v), json_string_length(v), &p) ==
		    ERR_OK)
			route_list_add(out, &p, 1);
	route_list_tidy(out);
	rc = ERR_OK;
out:
	json_decref(root);
	return rc;
}
