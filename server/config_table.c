/* Every setting, its range and its check. */
#include "server/config_table.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/net.h"
#include "base/worker.h"
#include "coord/dns.h"
#include "coord/dns_spec.h"
#include "coord/quota_rule.h"
#include "coord/tag.h"
#include "relay/derp_mesh_target.h"

/* "name.example.org": labels of [a-z0-9-], at most 253 characters. */
static bool
is_domain(const char *text)
{
	size_t n = strlen(text), label = 0;

	if (n == 0 || n > 253)
		return false;
	for (const char *p = text; ; p++) {
		if (*p == '.' || *p == 0) {
			if (label == 0 || label > 63 || p[-1] == '-')
				return false;
			if (*p == 0)
				return true;
			label = 0;
			continue;
		}
		bool is_ok = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || (*p == '-' && label > 0);
		if (!is_ok)
			return false;
		label++;
	}
}

static bool
is_addr(const char *text)
{
	struct net_addr a;

	return net_addr_parse(text, strlen(text), &a) == ERR_OK;
}

static bool
is_addr_or_none(const char *text)
{
	return *text == 0 || is_addr(text);
}

static bool
is_prefix(const char *text)
{
	struct net_prefix p;

	return net_prefix_parse(text, strlen(text), &p) == ERR_OK;
}

/* Inside the outer prefix, and with room for some nodes. */
static bool
is_inside(const char *text, const char *outer_text, unsigned bits_max)
{
	struct net_prefix p, outer;

	return net_prefix_parse(text, strlen(text), &p) == ERR_OK &&
	    net_prefix_parse(outer_text, strlen(outer_text), &outer) == ERR_OK &&
	    p.bits >= outer.bits && p.bits <= bits_max && net_prefix_has(&outer, &p.ip);
}

static bool
is_prefix_v4(const char *text)
{
	return is_inside(text, "100.64.0.0/10", 29);
}

static bool
is_prefix_v6(const char *text)
{
	return is_inside(text, "fd7a:115c:a1e0::/48", 120);
}

static bool
is_split(const char *text)
{
	char domain[DNS_SPEC_NAME_MAX];

	return dns_spec_split_parse(text, domain) != NULL;
}

static bool
is_record(const char *text)
{
	struct dns_record r;

	if (dns_spec_record_parse(text, &r, NULL) != ERR_OK)
		return false;
	dns_record_fini(&r);
	return true;
}

static bool
is_ip_of(const char *text, uint8_t family)
{
	struct net_ip ip;

	return *text == 0 || strcmp(text, "none") == 0 ||
	    (net_ip_parse(text, strlen(text), &ip) == ERR_OK && ip.family == family);
}

static bool
is_ipv4(const char *text)
{
	return is_ip_of(text, 4);
}

static bool
is_ipv6(const char *text)
{
	return is_ip_of(text, 6);
}

static bool
is_host_or_none(const char *text)
{
	struct net_ip ip;

	return *text == 0 || is_domain(text) || net_ip_parse(text, strlen(text), &ip) == ERR_OK;
}

/* As a CA wants it: two labels at least. */
static bool
is_public_name_or_none(const char *text)
{
	struct net_ip ip;

	return *text == 0 || (is_domain(text) && strchr(text, '.') != NULL &&
	    net_ip_parse(text, strlen(text), &ip) != ERR_OK);
}

static bool
is_https_url(const char *text)
{
	return strncmp(text, "https://", 8) == 0 && text[8] != 0 && strpbrk(text, " \t@\"'<>\\") == NULL;
}

static bool
is_email_or_none(const char *text)
{
	const char *at = strchr(text, '@');

	return *text == 0 || (*text != '-' && at != NULL && at != text && at[1] != 0 &&
	    strpbrk(text, " ,:;<>?&\"\\") == NULL);
}

static bool
is_region_code(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= 16 && text[n] == 0;
}

static bool
is_given(const char *text)
{
	return *text != 0;
}

static bool
is_socket_path(const char *text)
{
	return *text == '/' && strlen(text) <= CONFIG_SOCKET_MAX_CHARS;
}

static bool
is_policy_mode(const char *text)
{
	return *text == 0 || strcmp(text, "file") == 0 || strcmp(text, "database") == 0;
}

static bool
is_log_level(const char *text)
{
	enum log_level l;

	return log_level_parse(text, &l);
}

static bool
is_mesh_target(const char *text)
{
	struct derp_mesh_target t;

	return derp_mesh_target_parse(text, &t) == ERR_OK;
}

static bool
is_quota(const char *text)
{
	struct quota_rule r = quota_rule_make(QUOTA_RULE_DEFAULT, 0);

	return quota_rule_rate_parse(text, &r.bytes_per_s, NULL) == ERR_OK &&
	    quota_rule_check(&r, NULL) == ERR_OK;
}

#define AT(member)	offsetof(struct config, member)
#define WANT_ADDR	"an address and port such as 0.0.0.0:443 or [::]:443"

/* Defaults of limits are those of base/config.h's comments; sizes in bytes, times by the unit in the name. */
const struct config_setting config_settings[] = {
	{ "", "server_url", CONFIG_TEXT, AT(server_url), .dflt = "", .arg = "URL",
	  .help = "what nodes use as login server, https://name[:port]; default: this machine's address" },
	{ "", "data_dir", CONFIG_TEXT, AT(data_dir), .dflt = NULL, .dflt_root = "/var/lib/fairlead",
	  .is_valid = is_given, .want = "a directory", .arg = "DIR",
	  .help = "database, keys and certificate" },
	{ "", "unix_socket", CONFIG_TEXT, AT(unix_socket), .dflt = NULL,
	  .dflt_root = "/run/fairlead/fairlead.sock", .is_valid = is_socket_path,
	  .want = "an absolute path of at most 107 characters", .arg = "PATH",
	  .help = "where the fairlead command reaches the server" },
	{ "", "user", CONFIG_TEXT, AT(user), .dflt = "", .arg = "NAME",
	  .help = "user to become after binding the ports; empty: stay" },
	{ "", "workers", CONFIG_UINT, AT(workers), 0, WORKER_MAX, .dflt = "0", .arg = "N",
	  .help = "I/O threads; 0: 1 with up to 2 CPUs, else CPUs - 1, at most 4" },
	{ "", "listen_https", CONFIG_LIST, AT(listen_https), .dflt = "0.0.0.0:8443,[::]:8443",
	  .dflt_root = "0.0.0.0:443,[::]:443", .is_valid = is_addr, .want = WANT_ADDR, .arg = "LIST",
	  .help = "TLS listeners; control, relay, API and console" },
	{ "", "listen_http", CONFIG_LIST, AT(listen_http), .dflt = "0.0.0.0:8080,[::]:8080",
	  .dflt_root = "0.0.0.0:80,[::]:80", .is_valid = is_addr, .want = WANT_ADDR, .arg = "LIST",
	  .help = "plain listeners; clients probe port 80" },
	{ "", "listen_stun", CONFIG_LIST, AT(listen_stun), .dflt = "0.0.0.0:3478,[::]:3478",
	  .is_valid = is_addr, .want = WANT_ADDR, .arg = "LIST", .help = "STUN listeners (UDP)" },
	{ "", "metrics_listen_addr", CONFIG_TEXT, AT(listen_metrics),
	  .dflt = "127.0.0.1:9090",
	  .is_valid = is_addr_or_none, .want = WANT_ADDR, .arg = "ADDR",
	  .help = "Prometheus metrics; empty: none" },
	{ "", "tls_cert_path", CONFIG_TEXT, AT(tls.cert_file), .dflt = "", .arg = "FILE",
	  .help = "certificate chain (PEM); empty: a self-signed certificate is made" },
	{ "", "tls_key_path", CONFIG_TEXT, AT(tls.key_file), .dflt = "", .arg = "FILE",
	  .help = "its private key (PEM)" },
	{ "", "tls_own_records", CONFIG_BOOL, AT(tls.has_own_records), .dflt = "true",
	  .help = "records of TLS 1.3 are sealed and opened by this server; false: by OpenSSL, at more CPU "
	  "and memory" },
	{ "", "tls_letsencrypt_hostname", CONFIG_TEXT, AT(acme.hostname), .dflt = "",
	  .is_valid = is_public_name_or_none, .want = "a domain name in lower case with a dot",
	  .arg = "NAME", .help = "get and renew a certificate for this name by ACME (HTTP-01 on port 80)" },
	{ "", "acme_url", CONFIG_TEXT, AT(acme.url),
	  .dflt = "https://acme-v02.api.letsencrypt.org/directory", .is_valid = is_https_url,
	  .want = "an https:// URL", .arg = "URL", .help = "directory of the certificate authority" },
	{ "", "acme_email", CONFIG_TEXT, AT(acme.email), .dflt = "", .is_valid = is_email_or_none,
	  .want = "an email address", .arg = "EMAIL",
	  .help = "contact given to the authority when the account is made" },
	{ "", "trusted_proxies", CONFIG_LIST, AT(trusted_proxies), .dflt = "", .is_valid = is_prefix,
	  .want = "an address or prefix such as 10.0.0.0/8 (host bits zero)", .arg = "LIST",
	  .help = "proxies whose X-Forwarded-For and PROXY headers count" },
	{ "", "proxy_protocol", CONFIG_BOOL, AT(proxy_protocol), .dflt = "false",
	  .help = "trusted proxies send a PROXY header (v1 or v2) first" },
	{ "", "audit_days", CONFIG_UINT, AT(audit_days), 1, 36500, .dflt = "365", .arg = "DAYS",
	  .help = "records of who changed what are kept so long" },
	{ "prefixes", "v4", CONFIG_TEXT, AT(prefixes.v4), .dflt = "100.64.0.0/10", .is_valid = is_prefix_v4,
	  .want = "a prefix inside 100.64.0.0/10, at most /29", .arg = "PREFIX",
	  .help = "nodes' IPv4 addresses come from here" },
	{ "prefixes", "v6", CONFIG_TEXT, AT(prefixes.v6), .dflt = "fd7a:115c:a1e0::/48",
	  .is_valid = is_prefix_v6, .want = "a prefix inside fd7a:115c:a1e0::/48, at most /120",
	  .arg = "PREFIX", .help = "nodes' IPv6 addresses come from here" },
	{ "policy", "mode", CONFIG_TEXT, AT(policy.mode), .dflt = "", .is_valid = is_policy_mode,
	  .want = "file or database", .arg = "WORD",
	  .help = "file or database; database: policy.path does not count; empty: as policy.path says" },
	{ "policy", "path", CONFIG_TEXT, AT(policy.path), .dflt = "", .arg = "FILE",
	  .help = "the policy is this file, read again when it changes; empty: the database has it" },
	{ "dns", "base_domain", CONFIG_TEXT, AT(dns.base_domain), .dflt = "tailnet.internal",
	  .is_valid = is_domain, .want = "a domain name in lower case", .arg = "NAME",
	  .help = "nodes are called NODE.base_domain; must not hold the server's own name" },
	{ "dns", "magic_dns", CONFIG_BOOL, AT(dns.magic_dns), .dflt = "true",
	  .help = "nodes resolve each other's names" },
	{ "dns", "nameservers", CONFIG_LIST, AT(dns.nameservers), .dflt = "",
	  .is_valid = dns_resolver_is_valid, .want = "an address or an https:// URL", .arg = "LIST",
	  .help = "resolvers that nodes use for other names; empty: their own" },
	{ "dns", "override_local_dns", CONFIG_BOOL, AT(dns.override_local), .dflt = "true",
	  .help = "nameservers replace the nodes' own resolvers; false: they are for nodes that have none" },
	{ "dns", "split_dns", CONFIG_LIST, AT(dns.split), .dflt = "", .is_valid = is_split,
	  .want = "DOMAIN=RESOLVER such as corp.example=10.0.0.53", .arg = "LIST",
	  .help = "names below the domain are looked up there; a domain may be given again" },
	{ "dns", "search_domains", CONFIG_LIST, AT(dns.search_domains), .dflt = "",
	  .is_valid = dns_name_is_valid, .want = "a domain name in lower case", .arg = "LIST",
	  .help = "short names are tried below base_domain, then below these" },
	{ "dns", "extra_records", CONFIG_LIST, AT(dns.records), .dflt = "", .is_valid = is_record,
	  .want = "NAME TYPE VALUE such as \"db.example A 10.0.0.5\" (A, AAAA, CNAME or TXT; no wildcard)",
	  .arg = "LIST", .help = "further names that nodes resolve" },
	{ "dns", "extra_records_path", CONFIG_TEXT, AT(dns.records_file), .dflt = "", .arg = "FILE",
	  .help = "more of them, [{\"name\", \"type\", \"value\"}] in JSON; read again when it changes" },
	{ "dns", "no_dns_tags", CONFIG_LIST, AT(dns.no_dns_tags), .dflt = "tag:k3s",
	  .is_valid = tag_is_valid, .want = "a tag such as tag:k3s", .arg = "LIST",
	  .help = "nodes with one of these tags keep their own resolver, and so do their pods" },
	{ "derp", "enabled", CONFIG_BOOL, AT(derp.is_enabled), .dflt = "true",
	  .help = "relay and STUN in this process" },
	{ "derp", "region_id", CONFIG_UINT, AT(derp.region_id), 1, 65535, .dflt = "900", .arg = "N",
	  .help = "number of this relay's region" },
	{ "derp", "region_code", CONFIG_TEXT, AT(derp.region_code), .dflt = "fairlead",
	  .is_valid = is_region_code, .want = "a code of 1 to 16 characters of [a-z0-9-]",
	  .arg = "CODE", .help = "short name of the region" },
	{ "derp", "region_name", CONFIG_TEXT, AT(derp.region_name), .dflt = "Fairlead",
	  .is_valid = is_given, .want = "a name", .arg = "NAME", .help = "name of the region" },
	{ "derp", "hostname", CONFIG_TEXT, AT(derp.hostname), .dflt = "", .is_valid = is_host_or_none,
	  .want = "a host name or address", .arg = "HOST",
	  .help = "how clients reach the relay; empty: the host of server_url" },
	{ "derp", "ipv4", CONFIG_TEXT, AT(derp.ipv4), .dflt = "", .is_valid = is_ipv4,
	  .want = "an IPv4 address, \"none\" or empty", .arg = "ADDR",
	  .help = "address in the DERP map; empty: clients look derp.hostname up; \"none\": none" },
	{ "derp", "ipv6", CONFIG_TEXT, AT(derp.ipv6), .dflt = "", .is_valid = is_ipv6,
	  .want = "an IPv6 address, \"none\" or empty", .arg = "ADDR",
	  .help = "the same for IPv6; empty: none, unless derp.hostname is an IPv6 address" },
	{ "derp", "verify_clients", CONFIG_BOOL, AT(derp.verify_clients), .dflt = "true",
	  .help = "only nodes of this server may use the relay" },
	{ "derp", "mesh_key_file", CONFIG_TEXT, AT(derp.mesh_key_file), .dflt = "", .arg = "FILE",
	  .help = "64 hex digits that all relays of the region share; empty: no mesh" },
	{ "derp", "mesh_with", CONFIG_LIST, AT(derp.mesh_with), .dflt = "", .is_valid = is_mesh_target,
	  .want = "a relay such as derp2.example.org or https://derp2.example.org:8443", .arg = "LIST",
	  .help = "the other relays of the region: [https://][sha256-raw:PIN@]HOST[:PORT]" },
	{ "derp", "paths", CONFIG_LIST, AT(derp.paths), .dflt = "", .arg = "LIST",
	  .help = "files with further regions, YAML or JSON, as headscale has them" },
	{ "derp", "relay_valid_hours", CONFIG_UINT, AT(derp.relay_valid_hours), 1, 8760, .dflt = "168",
	  .arg = "HOURS", .help = "relays that cannot reach this server let known nodes in for so long" },
	{ "derp", "relay_gone_hours", CONFIG_UINT, AT(derp.relay_gone_hours), 0, 8760, .dflt = "0",
	  .arg = "HOURS", .help = "a relay away for so long is left out of the DERP map; 0: never" },
	{ "derp", "node_quota", CONFIG_TEXT, AT(derp.node_quota), .dflt = "none", .is_valid = is_quota,
	  .want = "a rate of at least 1kB/s such as 10MB/s or 800kbit/s, or none", .arg = "RATE",
	  .help = "what each node may send through the relay, unless a quota says otherwise; none: no limit" },
	{ "node", "offline_grace_s", CONFIG_UINT, AT(node.offline_grace_s), 0, 3600, .dflt = "10",
	  .arg = "SECONDS", .help = "peers hear \"offline\" so long after a node's connection ended" },
	{ "node", "ephemeral_timeout_s", CONFIG_UINT, AT(node.ephemeral_timeout_s), 30, 31536000,
	  .dflt = "1800", .arg = "SECONDS", .help = "an ephemeral node offline so long is deleted" },
	{ "node", "key_expiry_days", CONFIG_UINT, AT(node.key_expiry_days), 0, 3650, .dflt = "180",
	  .arg = "DAYS", .help = "untagged nodes log in again after so long; 0: never" },
	{ "limits", "head_ms", CONFIG_UINT, AT(limits.head_ms), 100, 600000, .dflt = "10000", .arg = "MS",
	  .help = "time for the TLS handshake and the request head together" },
	{ "limits", "head_bytes", CONFIG_UINT, AT(limits.head_bytes), 1024, 65536, .dflt = "16384",
	  .arg = "BYTES", .help = "longest request head" },
	{ "limits", "half_open_per_source", CONFIG_UINT, AT(limits.half_open_per_source), 1, 1000000,
	  .dflt = "256", .arg = "N", .help = "connections without a served request, per source address" },
	{ "limits", "conns", CONFIG_UINT, AT(limits.conns), 16, 1000000, .dflt = "15000", .arg = "N",
	  .help = "connections of the whole server" },
	{ "limits", "accepts_per_s", CONFIG_UINT, AT(limits.accepts_per_s), 0, 1000000, .dflt = "0",
	  .arg = "N", .help = "new connections per second of the whole server; 0: no limit" },
	{ "limits", "accepts_burst", CONFIG_UINT, AT(limits.accepts_burst), 1, 1000000, .dflt = "1000",
	  .arg = "N", .help = "new connections at once where accepts_per_s is set" },
	{ "limits", "body_bytes", CONFIG_UINT, AT(limits.body_bytes), 65536, 67108864,
	  .dflt = "1048576", .arg = "BYTES", .help = "longest request body" },
	{ "limits", "register_fail_per_min", CONFIG_UINT, AT(limits.register_fail_per_min), 1, 1000000,
	  .dflt = "60", .arg = "N", .help = "refused registrations per minute and source address" },
	{ "limits", "relay_queue_bytes", CONFIG_UINT, AT(limits.relay_queue_bytes), 65536, 1073741824,
	  .dflt = "1048576", .arg = "BYTES", .help = "packets that wait for one relay client" },
	{ "limits", "relay_queue_ms", CONFIG_UINT, AT(limits.relay_queue_ms), 10, 60000, .dflt = "500",
	  .arg = "MS", .help = "oldest packet that waits for one relay client" },
	{ "limits", "relay_memory_bytes", CONFIG_UINT, AT(limits.relay_memory_bytes), 0, 4294967295u,
	  .dflt = "0", .arg = "BYTES", .help = "what waits for all relay clients together; 0: a quarter of the "
	  "machine's memory, at most 256 MiB" },
	{ "limits", "relay_stall_s", CONFIG_UINT, AT(limits.relay_stall_s), 1, 3600, .dflt = "10",
	  .arg = "SECONDS", .help = "a relay client that takes nothing for so long is closed" },
	{ "limits", "map_stall_s", CONFIG_UINT, AT(limits.map_stall_s), 1, 3600, .dflt = "90",
	  .arg = "SECONDS", .help = "a node that takes no network map for so long is closed" },
	{ "api", "allow_plain_http", CONFIG_BOOL, AT(api.allow_plain_http), .dflt = "false",
	  .help = "API and console over plain http from public addresses too: secrets can be read on the way" },
	{ "log", "level", CONFIG_TEXT, AT(log.level), .dflt = "info", .is_valid = is_log_level,
	  .want = "one of debug, info, warn, error", .arg = "LEVEL", .help = "debug, info, warn or error" },
};
const unsigned config_settings_count = COUNT_OF(config_settings);
_Static_assert(COUNT_OF(config_settings) <= CONFIG_SETTINGS_MAX, "raise CONFIG_SETTINGS_MAX");

char *
config_setting_name(const struct config_setting *s, char out[CONFIG_NAME_MAX])
{
	snprintf(out, CONFIG_NAME_MAX, "%s%s%s", s->section, *s->section != 0 ? "." : "", s->key);
	return out;
}

char *
config_setting_env(const struct config_setting *s, char out[CONFIG_NAME_MAX])
{
	char name[CONFIG_NAME_MAX];

	config_setting_name(s, name);
	snprintf(out, CONFIG_NAME_MAX, "FAIRLEAD_%.54s", name);
	for (char *p = out; *p != 0; p++)
		*p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
	return out;
}

char *
config_setting_flag(const struct config_setting *s, char out[CONFIG_NAME_MAX])
{
	config_setting_name(s, out);
	for (char *p = out; *p != 0; p++)
		if (*p == '.' || *p == '_')
			*p = '-';
	return out;
}

static enum err
uint_put(const struct config_setting *s, unsigned *out, const char *text, struct err_text *why)
{
	char *end;

	errno = 0;
	unsigned long v = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end != 0 || errno != 0 || v < s->min || v > s->max)
		return err_say(why, ERR_INVAL, "\"%.60s\" is not a number from %u to %u", text, s->min,
		    s->max);
	*out = (unsigned)v;
	return ERR_OK;
}

static enum err
bool_put(bool *out, const char *text, struct err_text *why)
{
	static const struct { const char *word; bool value; } words[] = {
		{ "true", true }, { "yes", true }, { "on", true }, { "1", true },
		{ "false", false }, { "no", false }, { "off", false }, { "0", false },
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcasecmp(text, words[i].word) == 0) {
			*out = words[i].value;
			return ERR_OK;
		}
	return err_say(why, ERR_INVAL, "\"%.60s\" is not true or false", text);
}

static enum err
text_check(const struct config_setting *s, const char *text, struct err_text *why)
{
	if (s->is_valid == NULL || s->is_valid(text))
		return ERR_OK;
	return err_say(why, ERR_INVAL, "\"%.100s\" is not %s", text, s->want);
}

static void
list_put(struct config_list *list, const struct config_texts *t)
{
	list->items = obj_alloc((t->n > 0 ? t->n : 1) * sizeof(*list->items));
	for (unsigned i = 0; i < t->n; i++)
		list->items[i] = obj_strdup(t->v[i]);
	list->n = t->n;
}

enum err
config_setting_put(const struct config_setting *s, struct config *cfg, const struct config_texts *t,
    unsigned *bad_item, struct err_text *why)
{
	void *at = (char *)cfg + s->offset;

	*bad_item = 0;
	if (s->kind == CONFIG_UINT)
		return uint_put(s, at, t->v[0], why);
	if (s->kind == CONFIG_BOOL)
		return bool_put(at, t->v[0], why);
	for (; *bad_item < t->n; ++*bad_item) {
		enum err rc = text_check(s, t->v[*bad_item], why);
		if (rc != ERR_OK)
			return rc;
	}
	if (t->n > CONFIG_LIST_MAX)
		return err_say(why, ERR_INVAL, "has more than %d entries", CONFIG_LIST_MAX);
	config_setting_clear(s, cfg);
	if (s->kind == CONFIG_TEXT)
		*(char **)at = obj_strdup(t->v[0]);
	else
		list_put(at, t);
	return ERR_OK;
}

void
config_setting_clear(const struct config_setting *s, struct config *cfg)
{
	void *at = (char *)cfg + s->offset;

	if (s->kind == CONFIG_TEXT) {
		free(*(char **)at);
		*(char **)at = NULL;
	} else if (s->kind == CONFIG_LIST) {
		struct config_list *list = at;
		for (unsigned i = 0; i < list->n; i++)
			free(list->items[i]);
		free(list->items);
		*list = (struct config_list){ .n = 0 };
	}
}
