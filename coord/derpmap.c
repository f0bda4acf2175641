/*
 * The DERP map of one region with one relay, this server.
 *
 * IPv6 is always stated: without it clients send IPv6 STUN probes that cannot succeed and wait
 * three seconds for them. A host that is a literal of one family excludes the other, so that no
 * client asks DNS for it.
 */
#include "coord/derpmap.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/net.h"

#define HTTPS_PORT	443
#define STUN_PORT	3478
#define HTTP_PORT	80

/* "[::1]" is how URLs write it. */
static uint8_t
literal_family(const char *host, char text[NET_TEXT_MAX])
{
	struct net_ip ip;
	size_t n = strlen(host);

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (net_ip_parse(host, n, &ip) != ERR_OK)
		return 0;
	net_ip_put(&ip, text);
	return ip.family;
}

static bool
is_set(const char *s)
{
	return s != NULL && s[0] != '\0';
}

static void
put_node(struct json_writer *w, const struct derpmap_params *p)
{
	char literal[NET_TEXT_MAX] = "", other[NET_TEXT_MAX], name[16];
	uint8_t family = literal_family(p->host, literal);
	const char *v4 = p->ipv4, *v6 = p->ipv6;

	if (!is_set(v4))
		v4 = family == 4 ? literal : family == 6 ? "none" : NULL;
	if (!is_set(v6))
		v6 = family == 6 ? literal : "none";
	snprintf(name, sizeof(name), "%ua", p->region_id);
	json_w_obj_open(w, NULL);
	json_w_str(w, "Name", name);
	json_w_int(w, "RegionID", p->region_id);
	json_w_str(w, "HostName", family != 0 ? literal : p->host);
	if (is_set(p->pin))
		json_w_str(w, "CertName", p->pin);
	if (v4 != NULL)
		json_w_str(w, "IPv4", v4);
	json_w_str(w, "IPv6", v6);
	if (p->stun_port == 0)
		json_w_int(w, "STUNPort", -1);
	else if (p->stun_port != STUN_PORT)
		json_w_int(w, "STUNPort", p->stun_port);
	if (p->derp_port != HTTPS_PORT)
		json_w_int(w, "DERPPort", p->derp_port);
	/* Clients probe port 80 by address only. */
	if (p->http_port == HTTP_PORT && v4 != NULL && literal_family(v4, other) == 4)
		json_w_bool(w, "CanPort80", true);
	json_w_obj_close(w);
}

void
derpmap_put(struct buf *b, const struct derpmap_params *p)
{
	struct json_writer w;
	char key[16];

	snprintf(key, sizeof(key), "%u", p->region_id);
	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "omitDefaultRegions", true);
	json_w_obj_open(&w, "Regions");
	if (p->derp_port != 0 && is_set(p->host)) {
		json_w_obj_open(&w, key);
		json_w_int(&w, "RegionID", p->region_id);
		json_w_str(&w, "RegionCode", p->region_code);
		json_w_str(&w, "RegionName", p->region_name);
		json_w_arr_open(&w, "Nodes");
		put_node(&w, p);
		json_w_arr_close(&w);
		json_w_obj_close(&w);
	}
	json_w_obj_close(&w);
	json_w_obj_close(&w);
}
