/*
 * Regions of the DERP map beside this server's own, their nodes, and relays that sign in here.
 * Records, what a valid one is, and their JSON form. Pure.
 *
 * A node as JSON, in the database and in the API; what is left out has its default:
 *   {"name":"5a","hostname":"derp.example.org","ipv4":"","ipv6":"none","derpPort":443,
 *    "stunPort":3478 (-1: none),"certName":"sha256-raw:…","canPort80":false,"mesh":false}
 */
#ifndef COORD_REGION_H
#define COORD_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/key.h"
#include "base/net.h"
#include "base/secret.h"

#define REGION_ID_MAX		65535u
#define REGION_CODE_MAX		17	/* with NUL */
#define REGION_NAME_MAX		64
#define REGION_NODES_MAX	16
#define REGIONS_MAX		256
#define REGION_RELAYS_MAX	256
#define REGION_RELAY_NAME_MAX	40
#define REGION_KEY_PREFIX	"fl-relay-"
#define REGION_DERP_PORT	443
#define REGION_STUN_PORT	3478

struct region_node {
	char name[REGION_RELAY_NAME_MAX];
	char host[256];				/* name or IP literal, in lower case */
	char ipv4[NET_TEXT_MAX], ipv6[NET_TEXT_MAX];	/* "": as host says; "none" */
	char cert_name[256];			/* "sha256-raw:…", a name, or "": host */
	uint16_t derp_port;
	int32_t stun_port;			/* -1: none */
	bool can_port80;
	bool is_meshed;				/* relays of its region link with it */
};

struct region {
	unsigned id;
	char code[REGION_CODE_MAX], name[REGION_NAME_MAX];
	uint8_t mesh_key[KEY_BYTES];		/* secret of the region's relays */
	int64_t created_unix_s;
	unsigned n_nodes;
	struct region_node nodes[REGION_NODES_MAX];
};

/* A relay on another machine, which has a credential of its own. */
struct region_relay {
	char name[REGION_RELAY_NAME_MAX];	/* zero-padded */
	char id[SECRET_ID_MAX];			/* of its credential */
	uint8_t secret_hash[SECRET_HASH_BYTES];
	unsigned region_id;
	struct region_node node;		/* as it was reachable last; host "": never yet */
	bool is_announced;			/* node is in the DERP map */
	char version[64];			/* of its program */
	int64_t created_unix_s, last_seen_unix_s;	/* 0: never */
};

/* Is it a region that may be stored? ERR_INVAL or ERR_LIMIT with *why. */
enum err region_check(const struct region *r, struct err_text *why) MUST_USE;
/* Likewise one node, whose name may be "". */
enum err region_node_check(const struct region_node *n, struct err_text *why) MUST_USE;
/* Name of a relay: 1 to 39 characters of [a-z0-9-], none of them - at either end. ERR_INVAL with
 * *why. */
enum err region_relay_name_check(const char *name, struct err_text *why) MUST_USE;

/* One object; an unknown member or another type is ERR_INVAL with *why. *out is checked. */
enum err region_node_parse(const json_t *v, struct region_node *out, struct err_text *why) MUST_USE;
/* An array into r->nodes; nodes without a name get one: the id and a letter. ERR_INVAL, ERR_LIMIT
 * with *why: r is as before. */
enum err region_nodes_parse(const json_t *array, struct region *r, struct err_text *why) MUST_USE;
/* An object, with name as its member; an array. */
void region_node_put(const struct region_node *n, const char *name, struct json_writer *w);
void region_nodes_put(const struct region *r, const char *name, struct json_writer *w);

/* Do clients find the same in both? */
bool region_node_eq(const struct region_node *a, const struct region_node *b);
/* Literal of this family ("[::1]" too); *text is it without brackets. 0: it is a name. */
uint8_t region_host_family(const char *host, char text[NET_TEXT_MAX]);
/* How another relay links with the node (relay/derp_mesh_target.h); out of n bytes. */
void region_mesh_target_put(const struct region_node *node, char *out, size_t n);
#define REGION_MESH_TARGET_MAX 400

#endif
