/*
 * Join messages: POST /machine/register, bytes <-> structs. Pure.
 * Source: Tailscale tailcfg/tailcfg.go RegisterRequest, RegisterResponse.
 */
#ifndef COORD_MSG_REGISTER_H
#define COORD_MSG_REGISTER_H

#include "base/buf.h"
#include "base/key.h"
#include "coord/hostinfo.h"

struct register_req {
	uint32_t version;
	struct node_key node_key, old_node_key;	/* zero: none */
	char *auth_key;			/* owned; NULL: none. A secret: wiped by _free */
	char *followup;			/* owned; NULL: none */
	bool has_expiry;		/* Expiry other than the zero time */
	int64_t expiry_unix_s;
	bool is_ephemeral;
	struct hostinfo *host;		/* owned reference; never NULL */
};

struct register_resp {
	int64_t user_id, login_id;
	const char *login_name, *display_name;	/* NULL: User and Login are left out */
	bool node_key_expired, machine_authorized;
	const char *auth_url, *error;		/* NULL: "" */
};

/* ERR_INVAL or ERR_LIMIT with *why (named member, no secret) for anything that is no
 * RegisterRequest. */
enum err msg_register_parse(const void *p, size_t n, struct register_req **out,
	struct err_text *why) MUST_USE;
void msg_register_free(struct register_req *r);		/* NULL is fine */
/* JSON text of the answer, one reference. */
struct shbuf *msg_register_put(const struct register_resp *r) MUST_USE;

#endif
