/* Which rules of a policy speak of a user, or of an address and port. Pure. */
#ifndef COORD_POLICY_PREVIEW_H
#define COORD_POLICY_PREVIEW_H

#include "coord/policy_world.h"

/* Whose rules are asked for. */
struct policy_preview {
	const char *user;		/* name or e-mail address, or "tag:x"; NULL: ip and port */
	struct net_ip ip;
	uint16_t port;
};

/* type "user" or "ipport", what as the API has it: "ann@example.org", "10.0.0.1:22". Borrows
 * what. ERR_INVAL with *why. */
enum err policy_preview_parse(const char *type, const char *what, struct policy_preview *out,
	struct err_text *why) MUST_USE;
/* Appends the matches: JSON array of {"users", "ports", "lineNumber", "via", "postures"}. */
void policy_preview_put(struct buf *b, struct policy_world *w, const struct policy_preview *p);

#endif
