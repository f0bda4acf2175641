/* A tailnet: made, started, freed; names; look-ups. Its changes are in tailnet_*.c, mutation.c
 * makes them. */
#include "coord/tailnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/ipam.h"
#include "coord/session.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_dns.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_quota.h"
#include "coord/tailnet_region.h"
#include "coord/tailnet_route.h"
#include "coord/tailnet_ssh.h"

#define REFUSAL_SOURCES_MAX 4096	/* addresses remembered for refused registrations */

struct tailnet *
tailnet_new(int64_t id, const char *name, const struct tailnet_deps *deps)
{
	struct tailnet *t = obj_alloc(sizeof(*t));
	struct err_text why = { "" };
	unsigned per_min = deps->cfg->limits.register_fail_per_min;

	t->magic = TAILNET_MAGIC;
	t->id = id;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->deps = *deps;
	MAP_INIT(&t->users, struct user, id);
	MAP_INIT(&t->users_by_name, struct user, name);
	MAP_INIT(&t->nodes, struct node, id);
	MAP_INIT(&t->nodes_by_key, struct node, node_key);
	MAP_INIT(&t->nodes_by_name, struct node, name);
	MAP_INIT(&t->authkeys, struct authkey, id);
	tailnet_settings_init(&t->settings);
	tailnet_creds_init(t);
	tailnet_dns_init(t);
	t->priv = obj_alloc(sizeof(*t->priv));
	tailnet_logins_init(t);
	tailnet_ssh_init(t);
	tailnet_policy_init(t);
	tailnet_cluster_init(t);
	tailnet_route_init(t);
	tailnet_region_init(t);
	tailnet_quota_init(t);
	MAP_INIT(&t->priv->machines, struct machine, key);
	MAP_INIT(&t->priv->names_held, struct name_hold, name);
	MAP_INIT(&t->priv->node_keys_held, struct registration, node_key);
	MAP_INIT(&t->priv->waiting, struct registration, wait);
	TAILQ_INIT(&t->priv->at_store);
	TAILQ_INIT(&t->priv->dirty);
	if (per_min > 0)
		t->priv->refusals = ratelimit_new(per_min / 60.0, per_min, REFUSAL_SOURCES_MAX);
	if (ipam_new(deps->cfg->prefixes.v4, deps->cfg->prefixes.v6, &t->ipam, &why) != ERR_OK)
		log_fatal(LOG_COORD, "no addresses for nodes", why.s);
	t->map = session_state_new(t);
	return t;
}

void
tailnet_free(struct tailnet *t)
{
	size_t at;
	struct node *n;
	struct user *u;
	struct authkey *k;
	struct machine *m;
	struct name_hold *h;

	if (t == NULL)
		return;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_timers_stop(t);
	tailnet_dns_fini(t);
	tailnet_cluster_fini(t);
	tailnet_creds_fini(t);
	tailnet_logins_fini(t);
	tailnet_ssh_fini(t);
	tailnet_register_fini(t);
	tailnet_route_fini(t);
	tailnet_region_fini(t);
	tailnet_quota_fini(t);
	for (at = 0; (n = map_next(&t->nodes, &at)) != NULL; )
		session_node_removed(t, n);
	session_state_free(t->map);
	metric_add(METRIC_NODES, -(int64_t)t->nodes.count);
	for (at = 0; (n = map_next(&t->nodes, &at)) != NULL; )
		node_free(n);
	for (at = 0; (u = map_next(&t->users, &at)) != NULL; )
		free(u);
	for (at = 0; (k = map_next(&t->authkeys, &at)) != NULL; )
		authkey_free(k);
	for (at = 0; (m = map_next(&t->priv->machines, &at)) != NULL; )
		free(m);
	for (at = 0; (h = map_next(&t->priv->names_held, &at)) != NULL; )
		free(h);
	map_fini(&t->users);
	map_fini(&t->users_by_name);
	map_fini(&t->nodes);
	map_fini(&t->nodes_by_key);
	map_fini(&t->nodes_by_name);
	map_fini(&t->authkeys);
	map_fini(&t->priv->machines);
	map_fini(&t->priv->names_held);
	map_fini(&t->priv->node_keys_held);
	map_fini(&t->priv->waiting);
	ratelimit_free(t->priv->refusals);
	ipam_free(t->ipam);
	tailnet_policy_fini(t);
	free(t->priv);
	t->magic = 0;
	free(t);
}

void
tailnet_start(struct tailnet *t)
{
	int64_t now = clock_wall_s();
	size_t at = 0;
	struct node *n;

	OBJ_CHECK(t, TAILNET_MAGIC);
	t->priv->is_started = true;
	t->priv->started_unix_s = now;
	while ((n = map_next(&t->nodes, &at)) != NULL) {
		if (n->is_authorized && !node_is_expired(n, now))
			t->deps.admit(t->deps.arg, &n->node_key);
	}
	tailnet_quota_start(t);
	tailnet_dns_start(t);
	tailnet_region_start(t);	/* before the first map */
	tailnet_policy_start(t);	/* who sees whom, before anybody is there */
	session_state_loaded(t);
	tailnet_cluster_start(t);
	tailnet_route_start(t);
	tailnet_timers_start(t);
	log_info(LOG_COORD, "tailnet loaded", "tailnet", t->name, "users",
	    LOG_NUM(t->users.count), "nodes", LOG_NUM(t->nodes.count));
}

bool
tailnet_name_is_free(const struct tailnet *t, const char name[DNS_LABEL_MAX])
{
	return map_find(&t->nodes_by_name, name) == NULL &&
	    map_find(&t->priv->names_held, name) == NULL;
}

bool
tailnet_name_hold(struct tailnet *t, const char name[DNS_LABEL_MAX])
{
	struct name_hold *h;

	if (!tailnet_name_is_free(t, name))
		return false;
	h = obj_alloc(sizeof(*h));
	memcpy(h->name, name, sizeof(h->name));
	map_put(&t->priv->names_held, h);
	return true;
}

/* With thousands of equal host names, counting up would be quadratic: doubles the step until a
 * free one is found, then halves back to one whose predecessor is taken. */
void
tailnet_name_take(struct tailnet *t, const char *base, char out[DNS_LABEL_MAX])
{
	unsigned taken, free_at = 1;

	dns_label_number(base, 0, out);
	if (tailnet_name_hold(t, out))
		return;
	for (taken = 0; ; taken = free_at, free_at *= 2) {
		dns_label_number(base, free_at, out);
		if (tailnet_name_is_free(t, out))
			break;
	}
	while (free_at - taken > 1) {
		unsigned middle = taken + (free_at - taken) / 2;

		dns_label_number(base, middle, out);
		if (tailnet_name_is_free(t, out))
			free_at = middle;
		else
			taken = middle;
	}
	dns_label_number(base, free_at, out);
	ASSERT(tailnet_name_hold(t, out));
}

void
tailnet_name_give(struct tailnet *t, const char name[DNS_LABEL_MAX])
{
	free(map_remove(&t->priv->names_held, name));
}

struct machine *
tailnet_machine_get(struct tailnet *t, const struct machine_key *key)
{
	struct machine *m = map_find(&t->priv->machines, key);

	if (m == NULL) {
		m = obj_alloc(sizeof(*m));
		m->key = *key;
		TAILQ_INIT(&m->waiting);
		map_put(&t->priv->machines, m);
	}
	return m;
}

void
tailnet_machine_drop(struct tailnet *t, struct machine *m)
{
	if (m->first != NULL || m->running != NULL || m->n_waiting > 0 || m->login != NULL)
		return;
	map_remove(&t->priv->machines, &m->key);
	free(m);
}

char *
tailnet_node_fqdn(const struct tailnet *t, const struct node *n, char out[320])
{
	snprintf(out, 320, "%s.%.250s.", n->name, t->deps.cfg->dns.base_domain);
	return out;
}

int64_t
tailnet_expiry_of_new(const struct tailnet *t, bool is_tagged, int64_t now_unix_s,
	int64_t asked_unix_s)
{
	int64_t days = tailnet_key_days(t);
	int64_t expiry = days == 0 ? 0 : now_unix_s + days * 86400;

	if (is_tagged)
		return 0;
	if (asked_unix_s > now_unix_s && (expiry == 0 || asked_unix_s < expiry))
		return asked_unix_s;
	return expiry;
}

int64_t
tailnet_expiry_again(const struct tailnet *t, const struct node *old, bool is_tagged,
	int64_t now_unix_s, int64_t asked_unix_s)
{
	return old->is_expiry_off ? 0 :
	    tailnet_expiry_of_new(t, is_tagged, now_unix_s, asked_unix_s);
}

struct user *
tailnet_user_find(struct tailnet *t, const char *name_or_id)
{
	char name[USER_NAME_MAX] = "";
	int64_t id = decimal_parse(name_or_id);
	struct user *u = NULL;

	if (strlen(name_or_id) < sizeof(name)) {
		memcpy(name, name_or_id, strlen(name_or_id));
		u = map_find(&t->users_by_name, name);
	}
	return u != NULL || id < 0 ? u : map_find(&t->users, &id);
}

static struct node *
node_by_ip(struct tailnet *t, const struct net_ip *ip)
{
	size_t at = 0;
	struct node *n;

	while ((n = map_next(&t->nodes, &at)) != NULL) {
		if (net_ip_eq(&n->ip4, ip) || net_ip_eq(&n->ip6, ip))
			return n;
	}
	return NULL;
}

struct node *
tailnet_node_find(struct tailnet *t, const char *which)
{
	const char *domain = t->deps.cfg->dns.base_domain;
	char name[DNS_LABEL_MAX] = "";
	size_t n = strlen(which), label = strcspn(which, ".");
	int64_t id = decimal_parse(which);
	struct net_ip ip;
	struct node *found;

	if (id >= 0 && (found = map_find(&t->nodes, &id)) != NULL)
		return found;
	if (net_ip_parse(which, n, &ip) == ERR_OK)
		return node_by_ip(t, &ip);
	if (label < n && which[n - 1] == '.')
		n--;
	if (label >= sizeof(name) || (label < n && (n - label - 1 != strlen(domain) ||
	    strncasecmp(which + label + 1, domain, n - label - 1) != 0)))
		return NULL;
	for (size_t i = 0; i < label; i++)
		name[i] = which[i] >= 'A' && which[i] <= 'Z' ? (char)(which[i] + 32) : which[i];
	return map_find(&t->nodes_by_name, name);
}
