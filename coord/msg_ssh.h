/*
 * SSH checks as clients ask for them, inside Noise (ssh/tailssh/tailssh.go of the client):
 *
 *   GET /machine/ssh/action/<source node>/to/<destination node>?local_user=<name>[&check=<id>]
 *
 * which is the holdAndDelegate of the policy, filled in by the destination; the answer is the next
 * tailcfg.SSHAction. Whatever is not 200 with such an object is asked again for 30 minutes. Pure.
 */
#ifndef COORD_MSG_SSH_H
#define COORD_MSG_SSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SSH_USER_MAX	128	/* bytes of a local user's name, with NUL */
#define SSH_CHECK_ID_CHARS 24	/* of 62: 142 bits */

/* Who wants to get where. Members are what the destination says. No padding: a key of maps. */
struct ssh_who {
	int64_t src_id, dst_id;		/* nodes */
	char user[SSH_USER_MAX];	/* at the destination; printable ASCII, not "", zero-padded */
};

struct ssh_req {
	struct ssh_who who;
	char check[SSH_CHECK_ID_CHARS + 8];	/* zero-padded; "": asks for the first time */
};

/* ERR_INVAL with *why: nothing of that form. Other parameters are disregarded. */
enum err msg_ssh_parse(const char *target, struct ssh_req *out, struct err_text *why) MUST_USE;

struct ssh_action {
	bool is_accept, is_reject;
	const char *message;		/* shown to the person; NULL: nothing */
	/* Neither of them: ask again, of this server, with this id (NULL: as for the first time). */
	const char *server_url, *check;
};
/* The JSON text. One reference, the caller's. */
struct shbuf *msg_ssh_put(const struct ssh_action *a) MUST_USE;

#endif
