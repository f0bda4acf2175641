/*
 * What a client says of its host (tailcfg.Hostinfo): the members we use, the text we keep and the
 * text that peers are shown. Pure. Immutable once made, counted, so that workers parse and the
 * coordinator keeps.
 */
#ifndef COORD_HOSTINFO_H
#define COORD_HOSTINFO_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"

#define HOSTINFO_TAGS_MAX	32
#define HOSTINFO_ROUTES_MAX	512	/* further ones are left out */
#define HOSTINFO_JSON_MAX	(64u << 10)

struct hostinfo {
	atomic_uint refs;
	char hostname[256];		/* as sent, may be anything */
	char os[32], os_version[64], client_version[64];
	char **request_tags;		/* "tag:x", sorted, no doubles */
	unsigned n_request_tags;
	struct net_prefix *routable_ips;
	unsigned n_routable_ips;
	unsigned n_left_out;		/* routes beyond HOSTINFO_ROUTES_MAX */
	bool has_netinfo;
	uint32_t preferred_derp;	/* NetInfo.PreferredDERP; 0 unknown */
	struct shbuf *json;		/* compact, whole: kept in the database */
	struct shbuf *peer_json;	/* what peers are shown: see hostinfo.c */
	uint32_t _netinfo_at;		/* of NetInfo's value in json, its last; 0: none */
};

/* From a Hostinfo object (borrowed; NULL or null: an empty one). ERR_INVAL: a member that we use is
 * of the wrong kind; ERR_LIMIT: too long or too many; both with *why. One reference, the
 * caller's. */
enum err hostinfo_from_json(const json_t *v, struct hostinfo **out, struct err_text *why) MUST_USE;
/* From stored text: the json of an earlier one. */
enum err hostinfo_parse(const void *p, size_t n, struct hostinfo **out, struct err_text *why)
	MUST_USE;
/* next without NetInfo takes over old's NetInfo (clients send it only when known): returns a
 * reference to what is to be kept; consumes next, borrows old (NULL is fine). */
struct hostinfo *hostinfo_merge_take(struct hostinfo *next, const struct hostinfo *old) MUST_USE;
/* Would peers see a difference? a or b may be NULL. */
bool hostinfo_peer_eq(const struct hostinfo *a, const struct hostinfo *b);
struct hostinfo *hostinfo_hold(struct hostinfo *h);
void hostinfo_drop(struct hostinfo *h);		/* NULL is fine */

#endif
