/*
 * /api/fairlead/v1: what the Tailscale API v2 lacks, and what the fairlead command uses. One noun per file,
 * each a const table of routes. Objects have camelCase members, ids are decimal text, times RFC 3339;
 * null stands for never. Every success is 200 with a JSON object.
 */
#ifndef WEB_FLAPI_H
#define WEB_FLAPI_H

#include "web/http_req.h"

#define FLAPI "/api/fairlead/v1"

/* Adds every table of this folder to h, pages included. */
void flapi_attach(struct http *h);

/* The tables and their lengths. */
extern const struct http_route flapi_users_routes[], flapi_keys_routes[], flapi_nodes_routes[],
	flapi_status_routes[], flapi_creds_routes[], flapi_session_routes[], flapi_audit_routes[],
	flapi_doctor_routes[];
extern const size_t flapi_users_routes_count, flapi_keys_routes_count, flapi_nodes_routes_count,
	flapi_status_routes_count, flapi_creds_routes_count, flapi_session_routes_count,
	flapi_audit_routes_count, flapi_doctor_routes_count;

/* One object as the lists show it, named (NULL inside an array); null when it has gone. */
void flapi_put_node(struct tailnet *t, int64_t id, const char *name, struct json_writer *w);
void flapi_put_user(struct tailnet *t, int64_t id, const char *name, struct json_writer *w);
void flapi_put_key(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
void flapi_put_cred(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
void flapi_put_ssh(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
void flapi_put_login(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
void flapi_put_settings(const struct tailnet *t, const char *name, struct json_writer *w);

/* Add their tables: logins and SSH checks, both with the pages that clients show; settings. */
void flapi_logins_attach(struct http *h);
void flapi_ssh_attach(struct http *h);
void flapi_settings_attach(struct http *h);
void flapi_routes_attach(struct http *h);

/* The tailnet that the request is about. */
struct tailnet *flapi_tailnet(const struct http_req *q);

/* A member that a body may have. */
enum flapi_type { FLAPI_TEXT, FLAPI_BOOL, FLAPI_INT, FLAPI_TEXTS };
struct flapi_member {
	const char *name;
	enum flapi_type type;
};
/* Does the body have only these members, each of its type? Otherwise answers 400 that names the
 * member, and returns false. */
bool flapi_body_is(struct http_req *q, const struct flapi_member *members, size_t n);

#define FLAPI_TEXTS_MAX 64
/* Texts of an array member, borrowed from the body; an absent or null member has none. */
struct flapi_texts {
	const char *v[FLAPI_TEXTS_MAX];
	unsigned n;
};
/* false: more than FLAPI_TEXTS_MAX; answered 400. */
bool flapi_texts(struct http_req *q, const char *member, struct flapi_texts *out);

/* An address member; absent or null: family 0. false: it is none, answered 400. */
bool flapi_ip(struct http_req *q, const char *member, struct net_ip *out);

/* Things named by a text, which have a secret when they are made: keys, credentials. */
struct flapi_kind {
	const void *(*find)(struct tailnet *t, const char *id);		/* NULL: there is none */
	void (*put)(const struct tailnet *t, const void *thing, struct json_writer *w);	/* its members */
};
/* The object, or null when it has gone. */
void flapi_put_thing(struct tailnet *t, const struct flapi_kind *kind, const char *id,
	const char *name, struct json_writer *w);
/* secret: NULL except right after creation. {} when it has gone, now or by somebody else meanwhile. */
void flapi_reply_thing(struct http_req *q, const struct flapi_kind *kind, const char *id,
	const char *secret);
/* The answer of a done function: the thing of *res, or of the path. */
void flapi_reply_changed(struct http_req *q, const struct flapi_kind *kind,
	const struct tailnet_result *res);

/* Members "user" and "userId". */
void flapi_put_owner(const struct tailnet *t, int64_t user_id, struct json_writer *w);
/* {"name": […]} of texts, and of texts separated by blanks in one. */
void flapi_put_texts(struct json_writer *w, const char *name, char *const *texts, unsigned n);
void flapi_put_words(struct json_writer *w, const char *name, const char *words);
/* Members "addresses" of a node, "endpoints" of its client. */
void flapi_put_addresses(const struct node *n, struct json_writer *w);
void flapi_put_endpoints(const struct node *n, struct json_writer *w);

/* Members "routes", "routesWaiting" and "answersProbes" of a node. */
void flapi_put_routes(struct tailnet *t, const struct node *n, struct json_writer *w);
/* Adds the prefixes of an array member of the body (absent: none) to out, which the caller frees in any case.
 * false: one is none, or they are too many; answered 400. */
bool flapi_routes_take(struct http_req *q, const char *member, struct route_list *out);

/* Members of a time that may be never (0: null). */
void flapi_time(struct json_writer *w, const char *name, int64_t unix_s);
/* An id as decimal text. */
void flapi_id(struct json_writer *w, const char *name, int64_t id);
/* The user of that name or id; without a name (NULL) who asks, else the only user there is, else the first
 * owner. NULL: answered 400. */
const struct user *flapi_user(struct http_req *q, const char *name);
/* {} for changes that leave nothing to show; the done function of such. */
void flapi_reply_empty(struct http_req *q);
void flapi_on_empty(void *arg, const struct tailnet_result *res);

/* The node of the path by id, name or address; NULL: answered 404. */
const struct node *flapi_node_of(struct http_req *q);
/* The done function of changes of a node, which it answers; {} when it has gone meanwhile. */
void flapi_on_node(void *arg, const struct tailnet_result *res);

/* A list of objects by numeric id, in order of id: takes ids (from obj_alloc). put writes the
 * object, or nothing when it has gone. */
void flapi_reply_ids_take(struct http_req *q, const char *name, int64_t *ids, size_t n,
	void (*put)(struct tailnet *t, int64_t id, struct json_writer *w));

#endif
