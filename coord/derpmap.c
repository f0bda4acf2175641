/*
 * The DERP map: the region of this server with its relay, and others.
 *
 * IPv6 is always stated: without it clients send IPv6 STUN probes that cannot succeed and wait
 * three seconds for them. A host that is a literal of one family excludes the other, so that no
 * client asks DNS for it.
 */
#include "coord/derpmap.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "coord/region.h"

#define HTTP_PORT	80

static bool
is_set(const char *s)
{
	return s != NULL && s[0] != '\0';
}

static void
put_node(struct json_writer *w, unsigned region_id, const struct region_node *n)
{
	char literal[NET_TEXT_MAX] = "", other[NET_TEXT_MAX];
	uint8_t family = region_host_family(n->host, literal);
	const char *v4 = n->ipv4, *v6 = n->ipv6;

	if (!is_set(v4))
		v4 = family == 4 ? literal : family == 6 ? "none" : NULL;
	if (!is_set(v6))
		v6 = family == 6 ? literal : "none";
	json_w_obj_open(w, NULL);
	json_w_str(w, "Name", n->name);
	json_w_int(w, "RegionID", region_id);
	json_w_str(w, "HostName", family != 0 ? literal : n->host);
	if (is_set(n->cert_name))
		json_w_str(w, "CertName", n->cert_name);
	if (v4 != NULL)
		json_w_str(w, "IPv4", v4);
	json_w_str(w, "IPv6", v6);
	if (n->stun_port < 0)
		json_w_int(w, "STUNPort", -1);
	else if (n->stun_port != REGION_STUN_PORT)
		json_w_int(w, "STUNPort", n->stun_port);
	if (n->derp_port != REGION_DERP_PORT)
		json_w_int(w, "DERPPort", n->derp_port);
	/* Clients probe port 80 by address only. */
	if (n->can_port80 && v4 != NULL && region_host_family(v4, other) == 4)
		json_w_bool(w, "CanPort80", true);
	json_w_obj_close(w);
}

static void
open_region(struct json_writer *w, unsigned id, const char *code, const char *name)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", id);
	json_w_obj_open(w, key);
	json_w_int(w, "RegionID", id);
	json_w_str(w, "RegionCode", code);
	json_w_str(w, "RegionName", name);
	json_w_arr_open(w, "Nodes");
}

static void
close_region(struct json_writer *w)
{
	json_w_arr_close(w);
	json_w_obj_close(w);
}

static void
put_nodes(struct json_writer *w, const struct region *r)
{
	for (unsigned i = 0; i < r->n_nodes; i++)
		put_node(w, r->id, &r->nodes[i]);
}

static void
put_own(struct json_writer *w, const struct derpmap_params *p)
{
	struct region_node n = {
		.derp_port = p->derp_port,
		.stun_port = p->stun_port == 0 ? -1 : p->stun_port,
		.can_port80 = p->http_port == HTTP_PORT,
	};

	snprintf(n.name, sizeof(n.name), "%ua", p->region_id);
	snprintf(n.host, sizeof(n.host), "%s", p->host);
	snprintf(n.cert_name, sizeof(n.cert_name), "%s", is_set(p->pin) ? p->pin : "");
	snprintf(n.ipv4, sizeof(n.ipv4), "%s", is_set(p->ipv4) ? p->ipv4 : "");
	snprintf(n.ipv6, sizeof(n.ipv6), "%s", is_set(p->ipv6) ? p->ipv6 : "");
	open_region(w, p->region_id, p->region_code, p->region_name);
	put_node(w, p->region_id, &n);
	for (unsigned i = 0; i < p->n_more; i++)
		if (p->more[i]->id == p->region_id)
			put_nodes(w, p->more[i]);
	close_region(w);
}

void
derpmap_put(struct buf *b, const struct derpmap_params *p)
{
	bool has_own = p->derp_port != 0 && is_set(p->host);
	struct json_writer w;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "omitDefaultRegions", true);
	json_w_obj_open(&w, "Regions");
	if (has_own)
		put_own(&w, p);
	for (unsigned i = 0; i < p->n_more; i++) {
		const struct region *r = p->more[i];

		if (r->n_nodes == 0 || (has_own && r->id == p->region_id))
			continue;
		open_region(&w, r->id, r->code, r->name);
		put_nodes(&w, r);
		close_region(&w);
	}
	json_w_obj_close(&w);
	json_w_obj_close(&w);
}
