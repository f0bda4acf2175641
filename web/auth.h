/* Who asks, and what that role may do. Pure. */
#ifndef WEB_AUTH_H
#define WEB_AUTH_H

#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/worker.h"
#include "coord/coord.h"
#include "web/router.h"

enum http_origin { HTTP_FROM_DOOR, HTTP_FROM_UNIX };

/* The other side of a connection. HTTP_FROM_UNIX is given only by the Unix listener's accept. */
struct http_peer {
	enum http_origin origin;
	struct net_addr addr;		/* door: the client's; family 0 for the Unix socket */
	bool is_tls;
	uint32_t uid;			/* Unix: of the peer process (SO_PEERCRED) */
	struct conn_ref pass;		/* door: its name for the connection */
};

struct auth {
	enum user_role role;
	struct actor actor;		/* for the audit record */
};

/* May this peer do what the route needs? ERR_OK fills *out; ERR_DENIED with *why. *status is 401
 * (not known who asks) or 403 (known, but the role does not allow it). */
enum err auth_check(const struct http_peer *peer, enum http_access need, struct auth *out,
	int *status, struct err_text *why) MUST_USE;
/* Does the role allow it? */
bool auth_role_may(enum user_role role, enum http_access need);

#endif
