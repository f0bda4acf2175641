/* The login server from outside: name, addresses, certificate, key, clock, port 80. */
#include "server/doctor_client.h"

#include <inttypes.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "coord/noise_client.h"
#include "server/address.h"

#define ADDRESSES_MAX	8
#define RELAYS_MAX	24	/* at each address; two probes each */
#define CERT_WARN_S	(14 * 86400)
#define CERT_WARN_PART	4	/* of its life; they are renewed when a third is left */
#define CLOCK_WARN_S	30
#define CLOCK_FAIL_S	300	/* certificates, keys and logins are good or not by the clock */
#define KEY_PATH	"/key?v=113"

/* One address of the login server, and what came of it. */
struct client_address {
	struct doctor_target target;
	bool is_without_route;
	enum err rc;
	struct err_text why;
	long status;			/* of the answer; 0: none */
	double seconds;
};

/* --- certificate -------------------------------------------------------------------------------- */

enum doctor_level
doctor_cert_say(const struct doctor_cert *c, const char *name, const char *host,
    struct doctor_report *r)
{
	int64_t now = clock_wall_s(), left_s = c->until_unix_s - now;
	char at[CLOCK_RFC3339_BYTES], span[CLI_TIME_MAX];

	if (!c->is_shown) {
		doctor_bad(r, DOCTOR_FAIL, name, "no certificate was shown");
		doctor_todo(r, "is this port served by fairlead?");
	} else if (c->until_unix_s <= now) {
		doctor_bad(r, DOCTOR_FAIL, name, "expired at %s", clock_rfc3339(c->until_unix_s, at));
		doctor_todo(r, "renew it: nodes refuse to talk to this server; by ACME the log says why"
		    " it was not renewed; after new files `systemctl reload fairlead` is not needed,"
		    " but does no harm");
	} else if (c->from_unix_s > now + CLOCK_WARN_S) {
		doctor_bad(r, DOCTOR_FAIL, name, "is not valid before %s", clock_rfc3339(c->from_unix_s,
		    at));
		doctor_todo(r, "is the clock of this machine right?");
	} else if (c->verify_error != X509_V_OK && c->is_self_signed) {
		doctor_bad(r, DOCTOR_FAIL, name, "self-signed (%s): nodes do not trust it", c->names);
		doctor_todo(r, "set tls_letsencrypt_hostname, or tls_cert_path and tls_key_path; or use"
		    " server_url: http://… (then only the first contact of a node is unprotected)");
	} else if (!c->is_named) {
		doctor_bad(r, DOCTOR_FAIL, name, "is for %s, not for %s", c->names, host);
		doctor_todo(r, "get one for %s, or make server_url a name that it is for", host);
	} else if (c->verify_error != X509_V_OK) {
		doctor_bad(r, DOCTOR_FAIL, name, "nodes do not trust it: %s (issued by %s)",
		    X509_verify_cert_error_string(c->verify_error), c->issuer);
		doctor_todo(r, "serve the whole chain (fullchain.pem); the root of a private authority"
		    " must be installed on every node");
	} else if (left_s < CERT_WARN_S &&
	    left_s < (c->until_unix_s - c->from_unix_s) / CERT_WARN_PART) {
		doctor_bad(r, DOCTOR_WARN, name, "ends in %s", cli_span_put(left_s, span));
		doctor_todo(r, "renew it; by ACME look into the log for why that has not happened, and"
		    " at port 80");
		return DOCTOR_WARN;
	} else {
		return DOCTOR_OK;
	}
	return DOCTOR_FAIL;
}

static void
probe_certificate(void *arg, struct doctor_report *r)
{
	const struct doctor_login *l = arg;
	struct doctor_stream *s = NULL;
	struct doctor_cert c;
	struct err_text why;
	char span[CLI_TIME_MAX];

	if (doctor_net_dial(&l->target, &c, &s, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "certificate", "%s", why.s);
		doctor_todo(r, "see connect");
	} else if (doctor_cert_say(&c, "certificate", l->target.host, r) == DOCTOR_OK) {
		doctor_ok(r, "certificate", "for %s, by %s, good for %s", c.names, c.issuer,
		    cli_span_put(c.until_unix_s - clock_wall_s(), span));
	}
	doctor_net_close(s);
}

/* --- one address -------------------------------------------------------------------------------- */

static void
probe_address(void *arg, struct doctor_report *r)
{
	struct client_address *a = arg;
	struct doctor_answer answer;
	struct net_ip own;

	(void)r;
	address_own(a->target.ip.family, &own);
	a->is_without_route = own.family == 0 && !net_ip_is_loopback(&a->target.ip);
	if (a->is_without_route)
		return;
	if ((a->rc = doctor_net_get(&a->target, KEY_PATH, NULL, &answer, &a->why)) != ERR_OK)
		return;
	a->status = answer.status;
	a->seconds = answer.seconds;
	buf_fini(&answer.body);
}

/* n_good: how many of them answer; clients find those, if slower. */
static void
say_address(const struct client_address *a, size_t n_good, struct doctor_report *r)
{
	enum doctor_level level = n_good > 0 ? DOCTOR_WARN : DOCTOR_FAIL;
	char name[DOCTOR_NAME_MAX], ip[NET_TEXT_MAX], where[320];

	snprintf(name, sizeof(name), "connect/%s", net_ip_put(&a->target.ip, ip));
	doctor_net_where(&a->target, where);
	if (a->is_without_route) {
		doctor_bad(r, DOCTOR_WARN, name, "not tried: this machine has no IPv%u",
		    a->target.ip.family);
		doctor_todo(r, "run `fairlead doctor --server` on a machine that has");
	} else if (a->rc != ERR_OK) {
		doctor_bad(r, level, name, "%s: %s", where, a->why.s);
		doctor_todo(r, "open %u/tcp in firewall and port forwarding, or take this address out"
		    " of the name; a server behind NAT may be out of its own reach only: try from"
		    " outside with `fairlead doctor --server`", a->target.port);
	} else if (a->status != 200) {
		doctor_bad(r, level, name, "%s answers with status %ld", where, a->status);
		doctor_todo(r, "is it fairlead that listens there? A proxy must pass on every path");
	} else {
		doctor_ok(r, name, "answers in %.0f ms", 1000 * a->seconds);
	}
}

static void
look_addresses(const struct doctor_target *t, const struct net_ip *ips, unsigned n,
    struct doctor_report *r)
{
	struct client_address list[ADDRESSES_MAX];
	struct doctor_probe probes[ADDRESSES_MAX];
	size_t n_good = 0;

	for (unsigned i = 0; i < n; i++) {
		list[i] = (struct client_address){ .target = *t };
		list[i].target.ip = ips[i];
		probes[i] = (struct doctor_probe){ probe_address, &list[i] };
	}
	doctor_probes_run(probes, n, r);
	for (unsigned i = 0; i < n; i++)
		n_good += list[i].status == 200;
	for (unsigned i = 0; i < n; i++)
		say_address(&list[i], n_good, r);
}

/* --- key, proxy, clock -------------------------------------------------------------------------- */

static void
say_key(const struct doctor_login *l, const struct doctor_answer *a, struct doctor_report *r)
{
	json_t *v = NULL;
	const char *text;
	struct machine_key key;

	if (a->status != 200 || json_parse(a->body.p, a->body.len, &v, NULL) != ERR_OK ||
	    (text = json_get_str(v, "publicKey", NULL)) == NULL ||
	    machine_key_parse(text, strlen(text), &key) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "key", "%s%s: status %ld, and no key", "GET ", KEY_PATH,
		    a->status);
		doctor_todo(r, "another program answers there, or a proxy that does not pass on every"
		    " path");
	} else if (!machine_key_is_zero(&l->own) && !machine_key_eq(&l->own, &key)) {
		doctor_bad(r, DOCTOR_FAIL, "key", "another server answers there: its key is not this"
		    " one's");
		doctor_todo(r, "server_url, DNS or a port forwarding leads to another machine");
	} else {
		doctor_ok(r, "key", "%s%s", text, machine_key_is_zero(&l->own) ? "" : ", which is this"
		    " server's");
	}
	json_decref(v);
}

static void
say_proxy(const struct doctor *d, const struct doctor_answer *a, struct doctor_report *r)
{
	const char *proxy = a->server[0] != 0 ? a->server : a->via;

	if (*proxy == 0)
		return;
	if (d->facts != NULL && json_get_int(d->facts, "trustedProxies", 0) == 0) {
		doctor_bad(r, DOCTOR_WARN, "proxy", "%s stands in front, and trusted_proxies is empty",
		    proxy);
		doctor_todo(r, "name its address in trusted_proxies: otherwise all nodes share the"
		    " limits of one source, and are shown with the proxy's address");
	} else {
		doctor_ok(r, "proxy", "%s stands in front; it must let connections be silent for 75 s"
		    " (nginx: proxy_read_timeout 1h)", proxy);
	}
}

static void
say_clock(int64_t theirs, struct doctor_report *r)
{
	int64_t off = theirs - clock_wall_s();

	if (theirs == 0)
		return;
	if (off > CLOCK_WARN_S || off < -CLOCK_WARN_S) {
		doctor_bad(r, off > CLOCK_FAIL_S || off < -CLOCK_FAIL_S ? DOCTOR_FAIL : DOCTOR_WARN,
		    "clock/server",
		    "the server's clock is %" PRId64 " s %s of this machine's", off > 0 ? off : -off,
		    off > 0 ? "ahead" : "behind");
		doctor_todo(r, "set both by NTP (timedatectl set-ntp true): certificates, keys and"
		    " logins are good or not by the clock");
	} else {
		doctor_ok(r, "clock/server", "the server's clock agrees with this machine's within %d"
		    " s", CLOCK_WARN_S);
	}
}

static void
probe_key(void *arg, struct doctor_report *r)
{
	const struct doctor_login *l = arg;
	struct doctor_answer a;
	struct err_text why;

	if (doctor_net_get(&l->target, KEY_PATH, NULL, &a, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "key", "GET %s: %s", KEY_PATH, why.s);
		doctor_todo(r, "see connect");
		return;
	}
	say_key(l, &a, r);
	say_proxy(l->d, &a, r);
	say_clock(a.date_unix_s, r);
	buf_fini(&a.body);
}

/* --- port 80 ------------------------------------------------------------------------------------ */

/* Clients try it first, and ask there whether a captive portal is in the way; ACME asks there, too. */
static void
probe_port80(void *arg, struct doctor_report *r)
{
	const struct doctor_login *l = arg;
	struct doctor_target t = l->target;
	bool is_needed = l->d->cfg != NULL && l->d->cfg->acme.hostname[0] != 0;
	struct doctor_answer a = { .status = 0 };
	struct err_text why;
	char token[17], field[64], want[64];

	t.is_tls = false;
	t.port = 80;
	rand_text(token, sizeof(token) - 1);
	snprintf(field, sizeof(field), "X-Tailscale-Challenge: %s", token);
	snprintf(want, sizeof(want), "response %s", token);
	if (doctor_net_get(&t, "/generate_204", field, &a, &why) != ERR_OK)
		doctor_bad(r, is_needed ? DOCTOR_FAIL : DOCTOR_WARN, "port80", "no answer on port 80:"
		    " %s", why.s);
	else if (a.status != 204 || strcmp(a.challenge, want) != 0)
		doctor_bad(r, is_needed ? DOCTOR_FAIL : DOCTOR_WARN, "port80",
		    "port 80 is not ours: /generate_204 has status %ld there", a.status);
	else
		doctor_ok(r, "port80", "answers /generate_204");
	if (a.status != 204 || strcmp(a.challenge, want) != 0)
		doctor_todo(r, "let 80/tcp reach fairlead too: nodes try it first (half a second on"
		    " every connection), and a certificate by ACME is not given without it");
	buf_fini(&a.body);
}

/* --- the login server --------------------------------------------------------------------------- */

/* false: there is nothing to try. */
static bool
say_url(const struct doctor *d, struct address_url *url, struct doctor_report *r)
{
	struct err_text why;
	struct net_ip ip;

	if (d->url == NULL)
		return false;
	if (address_url_parse(d->url, url, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "server-url", "%s", why.s);
		doctor_todo(r, "it looks like https://vpn.example.org");
		return false;
	}
	bool is_ip = net_ip_parse(url->host, strlen(url->host), &ip) == ERR_OK;
	if (strcmp(url->host, "localhost") == 0 || (is_ip && net_ip_is_loopback(&ip))) {
		doctor_bad(r, DOCTOR_WARN, "server-url", "%s is this machine for itself: no other node"
		    " reaches it",
		    d->url);
		doctor_todo(r, "set server_url to the name or address that nodes reach this machine"
		    " by");
	} else if (url->is_https && url->port != 443) {
		doctor_bad(r, DOCTOR_WARN, "server-url", "%s: some clients try port 443 all the same",
		    d->url);
		doctor_todo(r, "serve on port 443 if you can");
	} else if (!url->is_https && (!is_ip || !net_ip_is_private(&ip))) {
		doctor_bad(r, DOCTOR_WARN, "server-url", "%s: somebody in the middle could pose as this"
		    " server at a node's first contact", d->url);
		doctor_todo(r, "with a domain name set tls_letsencrypt_hostname and use https");
	} else {
		doctor_ok(r, "server-url", "%s", d->url);
	}
	return true;
}

static bool
say_resolve(const char *host, struct net_ip *ips, unsigned *n, struct doctor_report *r)
{
	struct buf b = { .len = 0 };
	struct err_text why;
	char text[NET_TEXT_MAX];

	if (doctor_net_resolve(host, ips, ADDRESSES_MAX, n, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "resolve", "%s: %s", host, why.s);
		doctor_todo(r, "make an A record (and AAAA, if the server has IPv6) for %s, or correct"
		    " server_url",
		    host);
		return false;
	}
	for (unsigned i = 0; i < *n; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", net_ip_put(&ips[i], text));
	doctor_ok(r, "resolve", "%s is %s", host, buf_cstr(&b));
	buf_fini(&b);
	return true;
}

/* The key of the server of this machine, if its file can be read. */
static void
own_key(const struct doctor *d, struct machine_key *out)
{
	struct private_key priv;
	char path[4200];

	memset(out, 0, sizeof(*out));
	if (d->data_dir == NULL)
		return;
	snprintf(path, sizeof(path), "%s/noise_private.key", d->data_dir);
	if (private_key_file(path, false, &priv, NULL) == ERR_OK)
		private_key_public(&priv, out->b);
	explicit_bzero(&priv, sizeof(priv));
}

void
doctor_client(const struct doctor *d, struct doctor_report *r)
{
	struct doctor_login l = { .d = d };
	struct net_ip ips[ADDRESSES_MAX];
	struct doctor_relay relays[RELAYS_MAX];
	struct doctor_probe probes[DOCTOR_PROBES_MAX];
	struct address_url url;
	unsigned n_ips = 0, n_relays = 0;
	size_t n = 0;

	if (!say_url(d, &url, r) || !say_resolve(url.host, ips, &n_ips, r))
		return;
	noise_client_init();
	own_key(d, &l.own);
	snprintf(l.target.host, sizeof(l.target.host), "%s", url.host);
	l.target.port = url.port;
	l.target.is_tls = url.is_https;
	look_addresses(&l.target, ips, n_ips, r);
	if (url.is_https)
		probes[n++] = (struct doctor_probe){ probe_certificate, &l };
	probes[n++] = (struct doctor_probe){ probe_key, &l };
	probes[n++] = (struct doctor_probe){ doctor_control, &l };
	probes[n++] = (struct doctor_probe){ doctor_websocket, &l };
	if (url.port == (url.is_https ? 443 : 80))
		probes[n++] = (struct doctor_probe){ probe_port80, &l };
	doctor_relays_find(d, &l.target, relays, COUNT_OF(relays), &n_relays, r);
	for (unsigned i = 0; i < n_relays; i++) {
		if (relays[i].has_derp)
			probes[n++] = (struct doctor_probe){ doctor_relay_probe, &relays[i] };
		if (relays[i].stun_port > 0)
			probes[n++] = (struct doctor_probe){ doctor_stun_probe, &relays[i] };
	}
	ASSERT(n <= COUNT_OF(probes));
	doctor_probes_run(probes, n, r);
}
