/*
 * The one immutable configuration struct; every limit that an operator may change lives here.
 * Filled by server/config_load (file, environment, flags), read by everybody, never written
 * after start.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net.h"

#define CONFIG_LIST_MAX 64

struct config_list {
	char **items;		/* owned by the config */
	unsigned n;
};

struct config {
	char *server_url;		/* "https://name[:port]"; "" = from address and ports */
	char *data_dir;			/* database, keys, certificate */
	char *unix_socket;		/* of the fairlead command */
	char *user;			/* to become after binding; "" = stay */
	unsigned workers;		/* 0 = by measurement: see config_load */

	struct config_list listen_https;	/* "addr:port" */
	struct config_list listen_http;
	struct config_list listen_stun;
	char *listen_metrics;			/* "" = none */

	struct {
		char *cert_file, *key_file;
		bool has_own_records;	/* false: OpenSSL does all; see io_tls_ctx_records */
	} tls;
	struct { char *hostname, *url, *email; } acme;	/* hostname "" = no certificate by ACME */
	struct config_list trusted_proxies;	/* prefixes whose X-Forwarded-For and PROXY headers count */
	bool proxy_protocol;			/* trusted proxies send PROXY v1 or v2 first */

	struct { char *v4, *v6; } prefixes;	/* nodes' addresses come from here */
	struct {
		char *base_domain;
		bool magic_dns, override_local;	/* override_local without nameservers: nothing */
		struct config_list nameservers, search_domains;
		struct config_list split;	/* "DOMAIN=RESOLVER", a domain may come again */
		struct config_list records;	/* "NAME TYPE VALUE" */
		char *records_file;		/* "" = none */
		struct config_list no_dns_tags;
	} dns;
	struct {
		bool is_enabled;
		unsigned region_id;
		char *region_code, *region_name;
		char *hostname;		/* "" = the host of server_url */
		char *ipv4, *ipv6;	/* "" = as hostname says, see coord/derpmap.h; "none" */
		bool verify_clients;
		char *mesh_key_file;	/* "" = no mesh */
		struct config_list mesh_with;	/* other relays of the region: see relay/derp_mesh_target.h */
		struct config_list paths;	/* files with further regions, in the form of headscale */
		unsigned relay_valid_hours;	/* relays go by what they were told last for so long */
		unsigned relay_gone_hours;	/* away so long = out of the DERP map; 0: never */
		char *node_quota;	/* coord/quota_rule.h: "10MB/s"; "none" */
	} derp;
	struct {
		unsigned offline_grace_s;	/* peers hear "offline" so long after the stream's end */
		unsigned ephemeral_timeout_s;	/* offline so long = deleted */
		unsigned key_expiry_days;	/* of untagged nodes; 0 = never */
	} node;
	struct {
		unsigned head_ms;		/* TLS handshake and request head together */
		unsigned head_bytes;
		unsigned half_open_per_source;	/* connections without a served request, per address */
		unsigned conns;			/* of the whole door */
		unsigned accepts_per_s;		/* 0 = no limit */
		unsigned accepts_burst;		/* that many at once, whatever accepts_per_s says */
		unsigned body_bytes;		/* of a request inside Noise */
		unsigned register_fail_per_min;	/* refused registrations per source address */
		unsigned relay_queue_bytes;	/* per receiver */
		unsigned relay_queue_ms;	/* oldest packet in a queue */
		unsigned relay_memory_bytes;	/* of all receivers together; 0 = by the machine's memory */
		unsigned relay_stall_s;		/* a receiver that takes nothing for so long is closed */
		unsigned map_stall_s;		/* a map reader that takes nothing for so long is closed */
	} limits;
	/* path "": it is in the database; mode has no further meaning */
	struct { char *mode, *path; } policy;
	struct { bool allow_plain_http; } api;	/* to public addresses too */
	unsigned audit_days;			/* audit records are kept so long */
	struct { char *level; } log;
};

#endif
