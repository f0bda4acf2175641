/*
 * Why one address may reach another, or what would have to change so that it may: for the command
 * and the API. Pure.
 */
#ifndef COORD_POLICY_EXPLAIN_H
#define COORD_POLICY_EXPLAIN_H

#include "coord/policy_world.h"

#define POLICY_EXPLAIN_FINDINGS_MAX 12

struct policy_explain_ask {
	int64_t src_node, dst_node;	/* nodes, or 0 and an address */
	struct net_ip src_ip, dst_ip;
	int proto;			/* 6: TCP */
	uint16_t port;			/* of protocols that have some */
};

/* What the world does not know of nodes. Any may be NULL. */
struct policy_explain_facts {
	void *arg;
	/* valid until the next call; NULL: no such node */
	const char *(*name)(void *arg, int64_t node_id);
	bool (*is_expired)(void *arg, int64_t node_id);
	const struct hostinfo *(*host)(void *arg, int64_t node_id);
	/* A node that advertises a route with ip in it that is not approved, and the route. */
	int64_t (*advertiser)(void *arg, const struct net_ip *ip, struct net_prefix *route);
};

/* X(id, word) */
#define POLICY_FINDING_TABLE(X) \
	X(RULE, "rule")			/* the one that allows it */ \
	X(FILTER, "filter")		/* the entry that the destination's packet filter has of it */ \
	X(ROUTE, "route")		/* who the destination's address is reached through */ \
	X(BLOCKED, "blocked")		/* a node that may not talk at all: expired, not approved */ \
	X(NO_ROUTE, "no-route")		/* nobody has the address, or a route to it */ \
	X(UNAPPROVED, "unapproved")	/* somebody would have, if the route were approved */ \
	X(NO_RULE, "no-rule")		/* nothing allows it; what follows came near */ \
	X(POSTURE, "posture")		/* all fits but the device's posture */ \
	X(PORT, "port")			/* all fits but protocol or port */ \
	X(SOURCE, "source")		/* all fits but the source */ \
	X(DESTINATION, "destination")	/* all fits but the destination */

enum policy_finding_kind {
#define X(id, word) POLICY_FINDING_##id,
	POLICY_FINDING_TABLE(X)
#undef X
	POLICY_FINDING_COUNT
};

struct policy_finding {
	enum policy_finding_kind kind;
	unsigned line, column;		/* of the rule it is about; 0: none */
	char *text;			/* owned; FILTER: JSON object */
	char *rule;			/* owned: text of that rule, on one line; NULL: none */
};

struct policy_explain {
	bool is_allowed;
	char *src, *dst, *what;		/* owned: "web-1 (100.64.0.2)", "tcp:22" */
	int64_t owner_id;		/* node that gets packets for the destination; 0: nobody */
	struct net_prefix route;	/* that it has it by; family 0: it is the node's own address */
	struct policy_finding v[POLICY_EXPLAIN_FINDINGS_MAX];
	unsigned n;
};

/* Reads "web-1:22", "10.42.0.5:53/udp", "[fd7a::1]:80", "web-1/icmp" (TCP if it does not say): the
 * host as written goes to host, the rest into ask. ERR_INVAL with *why. */
enum err policy_explain_parse(const char *text, char host[256], struct policy_explain_ask *ask,
	struct err_text *why) MUST_USE;

/* ERR_NOTFOUND with *why: a node that w does not know, or an address of no family. */
enum err policy_explain_new(struct policy_world *w, const struct policy_explain_ask *ask,
	const struct policy_explain_facts *facts, struct policy_explain **out,
	struct err_text *why) MUST_USE;
void policy_explain_free(struct policy_explain *e);	/* NULL is fine */
/* Lines for people; a JSON object. */
void policy_explain_put_text(struct buf *b, const struct policy_explain *e);
void policy_explain_put_json(struct buf *b, const struct policy_explain *e);

/* The rule of the text that begins there, on one line, cut when it is long: the caller's. */
char *policy_explain_excerpt(const struct policy *p, unsigned line, unsigned column) MUST_USE;

#endif
