/* The relays of the DERP map as clients reach them: certificate or pin, upgrade and greeting, probes, STUN. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/wire.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "relay/stun.h"
#include "server/address.h"
#include "server/doctor_client.h"

#define STUN_TRIES	4
#define STUN_WAIT_MS	500
#define ADDRESSES_MAX	4
#define PIN_PREFIX	"sha256-raw:"

#define TODO_UPGRADE "let the proxy pass on Upgrade for /derp, unbuffered; better let 443/tcp reach fairlead" \
	" directly: a proxy slows the relay down"

/* --- the map ------------------------------------------------------------------------------------ */

struct finding {
	struct doctor_relay *out;
	unsigned max, *n;
	struct doctor_report *r;
};

/* One relay at each of its addresses, one of a family. */
static void
add_addresses(struct finding *f, const struct doctor_relay *node, const char *v4, const char *v6)
{
	const char *given[] = { v4, v6 };
	struct net_ip ips[ADDRESSES_MAX * 2];
	char text[NET_TEXT_MAX];
	bool is_resolved = false;
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		unsigned family = i == 0 ? 4 : 6, k = 0;
		struct net_ip ip = { .family = 0 };
		struct err_text why;

		if (strcmp(given[i], "none") == 0)
			continue;
		if (given[i][0] != 0 && net_ip_parse(given[i], strlen(given[i]), &ip) != ERR_OK)
			continue;
		if (given[i][0] == 0 && !is_resolved &&
		    doctor_net_resolve(node->derp.host, ips, COUNT_OF(ips), &n, &why) != ERR_OK) {
			doctor_bad(f->r, DOCTOR_FAIL, "relay", "%s: %s", node->derp.host, why.s);
			doctor_todo(f->r, "make a DNS record for %s, or name the address in derp.ipv4",
			    node->derp.host);
		}
		is_resolved = is_resolved || given[i][0] == 0;
		for (k = 0; given[i][0] == 0 && k < n && ip.family == 0; k++)
			if (ips[k].family == family)
				ip = ips[k];
		if (ip.family == 0 || *f->n == f->max)
			continue;
		struct doctor_relay *one = &f->out[(*f->n)++];
		*one = *node;
		one->ip = one->derp.ip = ip;
		snprintf(one->name, sizeof(one->name), "%.16s/%s", node->name, net_ip_put(&ip, text));
	}
}

static void
add_node(struct finding *f, const json_t *v)
{
	struct doctor_relay node = { .is_map_known = true };
	const char *cert = json_get_str(v, "CertName", "");
	int64_t stun = json_get_int(v, "STUNPort", 0), derp = json_get_int(v, "DERPPort", 0);

	snprintf(node.name, sizeof(node.name), "%s", json_get_str(v, "Name", "?"));
	snprintf(node.derp.host, sizeof(node.derp.host), "%s", json_get_str(v, "HostName", ""));
	if (strncmp(cert, PIN_PREFIX, strlen(PIN_PREFIX)) == 0)
		snprintf(node.pin, sizeof(node.pin), "%s", cert);
	else
		snprintf(node.derp.name, sizeof(node.derp.name), "%s", cert);
	node.derp.is_tls = true;
	node.derp.port = (uint16_t)(derp > 0 && derp <= UINT16_MAX ? derp : 443);
	node.stun_port = stun < 0 ? -1 : stun == 0 || stun > UINT16_MAX ? 3478 : (int)stun;
	node.has_derp = !json_get_bool(v, "STUNOnly", false);
	node.has_port80 = json_get_bool(v, "CanPort80", false);
	if (node.stun_port < 0) {
		doctor_bad(f->r, DOCTOR_WARN, "stun", "%s has no STUN", node.name);
		doctor_todo(f->r, "set listen_stun: without it nodes find no direct paths, everything"
		    " is relayed");
	}
	add_addresses(f, &node, json_get_str(v, "IPv4", ""), json_get_str(v, "IPv6", ""));
}

/* A server whose map is not known is asked where ours would be. */
static void
add_guess(struct finding *f, const struct doctor *d, const struct doctor_target *login)
{
	struct doctor_relay node = { .name = "guessed", .has_derp = true,
	    .stun_port = (int)d->stun_port };

	node.derp = *login;
	node.derp.port = login->is_tls ? login->port : 443;
	node.derp.is_tls = true;
	/* As coord/derpmap does: of a name IPv4 only. */
	add_addresses(f, &node, "", strchr(login->host, ':') != NULL ? "" : "none");
}

void
doctor_relays_find(const struct doctor *d, const struct doctor_target *login, struct doctor_relay *out,
    unsigned max, unsigned *n, struct doctor_report *r)
{
	struct finding f = { out, max, n, r };
	json_t *map = d->facts != NULL ? json_object_get(d->facts, "derpMap") : NULL;
	json_t *regions = map != NULL ? json_object_get(map, "Regions") : NULL, *region, *node;
	const char *id;
	size_t i;

	*n = 0;
	if (map == NULL) {
		add_guess(&f, d, login);
		return;
	}
	json_object_foreach(regions, id, region)
		json_array_foreach(json_object_get(region, "Nodes"), i, node)
			add_node(&f, node);
	if (json_object_size(regions) == 0) {
		doctor_bad(r, DOCTOR_FAIL, "relay", "nodes are told of no relay");
		doctor_todo(r, "set derp.enabled: true and listen_https: nodes that do not reach each"
		    " other directly have no way, and none finds its own address");
	} else if (*n == max) {
		doctor_bad(r, DOCTOR_WARN, "relay", "only %u addresses of relays are looked at", max);
		doctor_todo(r, "look at the others with `fairlead doctor --server` of each");
	}
}

/* Not reachable from here by any means. true: said. */
static bool
is_without_route(const struct doctor_relay *l, const char *name, struct doctor_report *r)
{
	struct net_ip own;

	address_own(l->ip.family, &own);
	if (own.family != 0 || net_ip_is_loopback(&l->ip))
		return false;
	doctor_bad(r, DOCTOR_WARN, name, "not tried: this machine has no IPv%u", l->ip.family);
	doctor_todo(r, "run `fairlead doctor --server` on a machine that has");
	return true;
}

/* --- DERP --------------------------------------------------------------------------------------- */

struct greeting {
	struct doctor_stream *s;
	struct buf in;
	struct private_key own;
	const char *why;		/* of the failure */
	bool is_refused;		/* after our key, which no node has: as it should be */
};

/* A frame's payload is at in.p + DERP_FRAME_HDR_BYTES. */
static enum err
take_frame(struct greeting *g, struct derp_frame_hdr *h)
{
	enum err rc = doctor_net_read(g->s, &g->in, DERP_FRAME_HDR_BYTES);

	if (rc != ERR_OK)
		return rc;
	if (derp_frame_parse(g->in.p, g->in.len, h) != ERR_OK ||
	    h->len_bytes > DERP_FRAME_KEY_MAX_BYTES)
		return ERR_PROTO;
	return doctor_net_read(g->s, &g->in, DERP_FRAME_HDR_BYTES + h->len_bytes);
}

/* ServerKey, ClientInfo, ServerInfo; *g->why when it ends before. */
static bool
greet(struct greeting *g)
{
	uint8_t key[KEY_BYTES], frame[DERP_HELLO_CLIENT_MAX_BYTES];
	struct derp_frame_hdr h;
	size_t n;
	enum err rc;

	g->why = "the relay's first frame does not come";
	if (take_frame(g, &h) != ERR_OK || h.type != DERP_FRAME_SERVER_KEY ||
	    derp_hello_key_parse(g->in.p + DERP_FRAME_HDR_BYTES, h.len_bytes, key) != ERR_OK)
		return false;
	buf_consume(&g->in, DERP_FRAME_HDR_BYTES + h.len_bytes);
	private_key_new(&g->own);
	g->why = "the connection breaks in the greeting";
	if (derp_hello_client_put(key, &g->own, NULL, frame, &n) != ERR_OK ||
	    doctor_net_write(g->s, frame, n) != ERR_OK)
		return false;
	rc = take_frame(g, &h);
	g->is_refused = rc == ERR_CLOSED || rc == ERR_IO;
	g->why = "what is sent to the relay does not arrive";
	return g->is_refused || (rc == ERR_OK && h.type == DERP_FRAME_SERVER_INFO);
}

static bool
upgrade(struct greeting *g, const struct doctor_relay *l, char text[160])
{
	struct buf request = { .len = 0 };
	size_t n_head = 0;
	enum err rc;
	long status = 0;

	buf_printf(&request, "GET /derp HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\n"
	    "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n", l->derp.host);
	rc = doctor_net_write(g->s, request.p, request.len);
	buf_fini(&request);
	if (rc == ERR_OK)
		rc = doctor_net_read_head(g->s, &g->in, &n_head);
	if (rc == ERR_OK)
		status = strtol((const char *)g->in.p + 8, NULL, 10);
	if (status == 101) {
		buf_consume(&g->in, n_head);
		return true;
	}
	if (rc == ERR_PROTO)
		snprintf(text, 160, "what answers is not HTTP/1.1");
	else if (rc != ERR_OK)
		snprintf(text, 160, "the upgrade is not answered%s", rc == ERR_AGAIN ? " within 5"
		    " seconds" : "");
	else if (status == 426)
		snprintf(text, 160, "the request arrived without its Upgrade field (status 426): a"
		    " proxy eats it");
	else if (status == 404)
		snprintf(text, 160, "no relay there (status 404)");
	else
		snprintf(text, 160, "the upgrade is answered with status %ld", status);
	return false;
}

/* What clients do where the relay's key is among the certificates: frames at once, without an answer. */
static bool
fast_start(struct greeting *g, const struct doctor_relay *l)
{
	struct buf request = { .len = 0 };
	enum err rc;

	buf_printf(&request, "GET /derp HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\n"
	    "Connection: Upgrade\r\nUpgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n", l->derp.host);
	rc = doctor_net_write(g->s, request.p, request.len);
	buf_fini(&request);
	return rc == ERR_OK;
}

static bool
cert_is_bad(const struct doctor_relay *l, const struct doctor_cert *c, const char *name,
    struct doctor_report *r)
{
	if (l->pin[0] != 0 && strcmp(l->pin, c->pin) != 0) {
		doctor_bad(r, DOCTOR_FAIL, name, "shows another certificate than the DERP map says");
		doctor_todo(r, "TLS must end at fairlead: a proxy in front, or another server, answers"
		    " there");
		return true;
	}
	/* Without the map a self-signed one may be what nodes are told. */
	if (l->pin[0] != 0 || (!l->is_map_known && c->is_self_signed))
		return false;
	return doctor_cert_say(c, name, l->derp.name[0] != 0 ? l->derp.name : l->derp.host,
	    r) == DOCTOR_FAIL;
}

/* The small answers that clients measure and probe with. */
static bool
answers_are_bad(const struct doctor_relay *l, const char *name, struct doctor_report *r)
{
	static const struct { const char *path; int status; bool is_port80; } asked[] = {
		{ "/derp/probe", 200, false }, { "/derp/latency-check", 200, false }, { "/generate_204",
		    204, true },
	};

	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		struct doctor_target t = l->derp;
		struct doctor_answer a = { .status = 0 };
		struct err_text why = { "" };

		if (asked[i].is_port80 && !l->has_port80)
			continue;
		if (asked[i].is_port80) {
			t.is_tls = false;
			t.port = 80;
		}
		enum err rc = doctor_net_get(&t, asked[i].path, NULL, &a, &why);
		buf_fini(&a.body);
		if (rc == ERR_OK && a.status == asked[i].status)
			continue;
		if (rc != ERR_OK)
			doctor_bad(r, DOCTOR_WARN, name, "%s%s: %s", asked[i].path,
			    asked[i].is_port80 ? " on port 80" :
			    "", why.s);
		else
			doctor_bad(r, DOCTOR_WARN, name, "%s is answered with status %ld",
			    asked[i].path, a.status);
		doctor_todo(r, "nodes without UDP choose their relay by it: let every path reach"
		    " fairlead");
		return true;
	}
	return false;
}

/* false: said. is_refused: whether it does not serve strangers. */
static bool
try_once(const struct doctor_relay *l, const char *name, bool is_fast, struct doctor_cert *cert,
    bool *is_refused,
    struct doctor_report *r)
{
	struct greeting g = { .why = NULL };
	struct err_text why;
	char where[320], text[160] = "";
	bool is_good = false;

	if (doctor_net_dial(&l->derp, cert, &g.s, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, name, "%s: %s", doctor_net_where(&l->derp, where), why.s);
		doctor_todo(r, "open %u/tcp: nodes that do not reach each other directly have no other"
		    " way (a server behind NAT may be out of its own reach only: try from outside)",
		    l->derp.port);
		goto out;
	}
	if (!is_fast && cert_is_bad(l, cert, name, r))
		goto out;
	if (!(is_fast ? fast_start(&g, l) : upgrade(&g, l, text)) || !greet(&g)) {
		doctor_bad(r, DOCTOR_FAIL, name, "%s%s", is_fast ? "fast start: " : "",
		    text[0] != 0 ? text :
		    g.why != NULL ? g.why : "it is not answered");
		doctor_todo(r, TODO_UPGRADE);
		goto out;
	}
	*is_refused = g.is_refused;
	is_good = true;
out:
	doctor_net_close(g.s);
	buf_fini(&g.in);
	explicit_bzero(&g.own, sizeof(g.own));
	return is_good;
}

void
doctor_relay_probe(void *relay, struct doctor_report *r)
{
	const struct doctor_relay *l = relay;
	struct doctor_cert cert, again;
	char name[DOCTOR_NAME_MAX];
	bool is_refused = false, is_fast = false;

	snprintf(name, sizeof(name), "relay/%s", l->name);
	if (is_without_route(l, name, r) || !try_once(l, name, false, &cert, &is_refused, r))
		return;
	is_fast = cert.has_derp_key;
	if ((is_fast && !try_once(l, name, true, &again, &is_refused, r)) || answers_are_bad(l, name,
	    r))
		return;
	doctor_ok(r, name, "relays%s; %s%s", is_fast ? ", with fast start" : " (TLS ends in front of"
	    " it)",
	    is_refused ? "admits nodes only" : "admits strangers",
	    l->pin[0] != 0 ? "; the certificate is the one of the map" : "");
}

/* --- STUN --------------------------------------------------------------------------------------- */

static void
say_mapped(const struct doctor_relay *l, const char *name, const struct net_addr *seen, int64_t took_ms,
    struct doctor_report *r)
{
	char text[NET_TEXT_MAX];

	net_addr_put(seen, text);
	if (net_ip_is_private(&seen->ip) && !net_ip_is_private(&l->ip)) {
		doctor_bad(r, DOCTOR_WARN, name, "sees this machine as %s: something in between hides"
		    " addresses", text);
		doctor_todo(r, "the forwarding of a container engine does so: run the container with"
		    " network_mode: host; otherwise nodes learn wrong addresses of themselves");
	} else {
		doctor_ok(r, name, "answers in %d ms, sees this machine as %s", (int)took_ms, text);
	}
}

void
doctor_stun_probe(void *relay, struct doctor_report *r)
{
	const struct doctor_relay *l = relay;
	struct net_addr to = { .ip = l->ip, .port = (uint16_t)l->stun_port }, seen;
	struct sockaddr_storage sa;
	uint8_t id[STUN_ID_BYTES], request[STUN_REQUEST_BYTES], got[512];
	char name[DOCTOR_NAME_MAX], text[NET_TEXT_MAX];
	socklen_t n_sa = net_addr_to_sockaddr(&to, &sa);
	int fd = -1, failure = 0;

	snprintf(name, sizeof(name), "stun/%s", l->name);
	if (is_without_route(l, name, r))
		return;
	rand_bytes(id, sizeof(id));
	stun_request_put(request, id);
	if ((fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, n_sa) != 0)
		failure = errno;
	int64_t begin_ms = clock_mono_ms();
	for (int i = 0; failure == 0 && i < STUN_TRIES; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (send(fd, request, sizeof(request), 0) < 0)
			failure = errno;
		if (failure != 0 || poll(&p, 1, STUN_WAIT_MS) <= 0)
			continue;
		ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		if (n < 0) {
			failure = errno;
		} else if (stun_answer_parse(got, (size_t)n, id, &seen) == ERR_OK) {
			say_mapped(l, name, &seen, clock_mono_ms() - begin_ms, r);
			goto out;
		}
	}
	doctor_bad(r, DOCTOR_FAIL, name, "%s: %s", net_addr_put(&to, text), failure == 0 ?
	    "no answer to STUN within 2 seconds" : strerror(failure));
	doctor_todo(r, "open %u/udp in firewall and port forwarding (Docker: publish \"%u:%u/udp\"):"
	    " without it nodes find no direct paths, everything is relayed", to.port, to.port, to.port);
out:
	if (fd >= 0)
		close(fd);
}
