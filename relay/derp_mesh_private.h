/* What derp_mesh.c (dialling, frames) and derp_mesh_set.c (which links there are) share; nobody else
 * includes this. */
#ifndef RELAY_DERP_MESH_PRIVATE_H
#define RELAY_DERP_MESH_PRIVATE_H

#include <event2/event_struct.h>

#include "base/io.h"
#include "base/log.h"
#include "base/lookup.h"
#include "base/map.h"
#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_mesh.h"
#include "relay/derp_mesh_target.h"

#define LINK_MAGIC	0xde49113cu

enum link_state {
	LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_SHAKING, LINK_ASKING, LINK_UP,
	LINK_OURSELVES,
};

/* A key that the other relay has. */
struct link_key {
	struct node_key key;
};

struct derp_link {
	uint32_t magic;
	enum link_state state;
	struct derp_worker *dw;		/* borrowed */
	struct derp_mesh_target target;
	char name[264];			/* for the log */
	bool has_failed;		/* and it was said */
	unsigned attempt;		/* takes the name's addresses in turns */
	int64_t due_ms;			/* WAITING: dial; else: give up */
	int64_t heard_ms;
	struct lookup *lookup;	/* RESOLVING; owned */
	bool is_wanted;			/* by the list that is being looked through */
	int fd;				/* CONNECTING; -1: none */
	struct io *io;			/* SHAKING, ASKING; owned */
	struct derp_conn *conn;		/* UP; it owns io then */
	bool is_watched;		/* ev is added */
	struct event ev;
	struct conn_ref ref;		/* UP, once the other relay has said its key */
	struct map keys;		/* struct link_key, owned */
	LIST_ENTRY(derp_link) link;
};

/* Lets go of everything but the conn. */
void derp_mesh_drop(struct derp_link *l);

#endif
