/* For test_flapi: changes of users, and those of nodes that decide how they join, in words; and tables that
 * are tested with a real tailnet. */
#ifndef TESTS_UNIT_FAKE_JOINS_H
#define TESTS_UNIT_FAKE_JOINS_H

#include "web/api_dns.h"
#include "web/flapi_clusters.h"
#include "web/flapi_quotas.h"
#include "web/flapi_regions.h"
#include "web/flapi_policy.h"

void
tailnet_user_create(struct tailnet *t, const struct actor *by, const struct tailnet_user_spec *s,
    tailnet_done_fn *done, void *arg)
{
	(void)t;
	snprintf(asked, sizeof(asked), "create user %s \"%s\" role %d by %.9s", s->name, s->display_name,
	    (int)s->role, by->name);	/* without the uid */
	finish(done, arg, (struct tailnet_result){ .id = bob.id });
}

void
tailnet_user_rename(struct tailnet *t, const struct actor *by, int64_t id, const char *name,
    tailnet_done_fn *done, void *arg)
{
	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "rename user %d %s", (int)id, name);
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
tailnet_user_set_role(struct tailnet *t, const struct actor *by, int64_t id, enum user_role role,
    tailnet_done_fn *done, void *arg)
{
	size_t len = strlen(asked);

	(void)t;
	(void)by;
	snprintf(asked + len, sizeof(asked) - len, "%srole of user %d %d", len > 0 ? "; " : "", (int)id,
	    (int)role);
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
tailnet_user_remove(struct tailnet *t, const struct actor *by, int64_t id, tailnet_done_fn *done, void *arg)
{
	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "remove user %d", (int)id);
	finish(done, arg, (struct tailnet_result){ .id = 999 });
}

struct user *
tailnet_user_find(struct tailnet *t, const char *which)
{
	(void)t;
	return strcmp(which, "ann") == 0 || strcmp(which, "1") == 0 ? &ann : strcmp(which,
	    "bob") == 0 ? &bob : NULL;
}

void
tailnet_node_set_authorized(struct tailnet *t, const struct actor *by, int64_t id, bool is_authorized,
    tailnet_done_fn *done, void *arg)
{
	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "node %d approved %d", (int)id, is_authorized);
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
tailnet_node_set_no_expiry(struct tailnet *t, const struct actor *by, int64_t id, bool is_disabled,
    tailnet_done_fn *done, void *arg)
{
	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "node %d never expires %d", (int)id, is_disabled);
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
tailnet_node_set_expiry(struct tailnet *t, const struct actor *by, int64_t id, int64_t expires_unix_s,
    tailnet_done_fn *done, void *arg)
{
	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "node %d expires %d", (int)id, (int)(expires_unix_s - NOW));
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
tailnet_node_set_ips(struct tailnet *t, const struct actor *by, int64_t id, const struct net_ip *ip4,
    const struct net_ip *ip6, tailnet_done_fn *done, void *arg)
{
	char text[NET_TEXT_MAX];

	(void)t;
	(void)by;
	snprintf(asked, sizeof(asked), "node %d ip %s %d", (int)id,
	    ip4->family != 0 ? net_ip_put(ip4, text) : "-", ip6->family);
	finish(done, arg, (struct tailnet_result){ .id = id });
}

void
flapi_logins_attach(struct http *h)
{
	(void)h;
}

void
flapi_ssh_attach(struct http *h)
{
	(void)h;
}

void
flapi_settings_attach(struct http *h)
{
	(void)h;
}

void
flapi_quotas_attach(struct http *h)
{
	(void)h;
}

void
flapi_put_quota(struct tailnet *t, const char *subject, const char *name, struct json_writer *w)
{
	(void)t;
	(void)subject;
	json_w_null(w, name);
}

void
flapi_regions_attach(struct http *h)
{
	(void)h;
}

void
flapi_relays_attach(struct http *h)
{
	(void)h;
}

void
flapi_put_relay(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	(void)t;
	(void)id;
	json_w_null(w, name);
}

void
flapi_put_region(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	(void)t;
	(void)id;
	json_w_null(w, name);
}

void
flapi_clusters_attach(struct http *h)
{
	(void)h;
}

void
flapi_put_conflicts(struct tailnet *t, const char *name, struct json_writer *w)
{
	(void)t;
	json_w_arr_open(w, name);
	json_w_arr_close(w);
}

void
flapi_policy_attach(struct http *h)
{
	(void)h;
}

const char *
tailnet_policy_problem(const struct tailnet *t)
{
	(void)t;
	return "version 3 is not understood";
}

enum err
tailnet_tag_tags_may(const struct tailnet *t, char *const *own, unsigned n_own, const char *tag,
    struct err_text *why)
{
	(void)t;
	(void)own;
	(void)n_own;
	(void)tag;
	(void)why;
	return ERR_OK;
}

void
flapi_dns_attach(struct http *h)
{
	(void)h;
}

#endif
