/*
 * Who uses the relay, and how much: a snapshot, asked of each worker by a message. Counts are those of
 * connections that are open, since they came; who leaves takes its own along. A pair is known by the
 * sender's connection, up to DERP_PEERS_MAX receivers each; receivers at other relays make none.
 */
#ifndef RELAY_INSIGHT_H
#define RELAY_INSIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"
#include "base/mbox.h"
#include "base/net.h"

struct relay;

/* Of packets: bytes are without header and key. */
struct relay_tally {
	uint64_t packets_in, bytes_in;		/* that it sent */
	uint64_t packets_out, bytes_out;	/* that it was sent */
	uint64_t dropped_unknown;		/* of those it sent: nobody had the key */
	/* Of those for it: waited too long, or too many were waiting; the newest did not fit, or no memory. */
	uint64_t dropped_head, dropped_tail;
	uint64_t home_moves;			/* here or away, later than its first choice */
	int64_t used_ms;			/* monotonic, the last packet; 0: none yet */
};

struct relay_insight_node {
	struct node_key key;		/* zero: a link of ours to another relay */
	struct net_addr addr;		/* of the connection used last */
	unsigned n_conns;
	bool is_home, is_mesh;
	int64_t begun_ms;		/* monotonic; of the oldest connection */
	uint64_t queued_bytes;		/* waiting for it */
	struct relay_tally tally;
};

struct relay_insight_pair {
	struct node_key from, to;
	uint64_t packets, bytes;
};

struct relay_insight {
	int64_t at_ms;			/* monotonic */
	size_t n_connected;		/* keys, whether in nodes or not */
	size_t n_nodes, n_pairs;
	struct relay_insight_node *nodes;	/* most bytes first */
	struct relay_insight_pair *pairs;	/* likewise */
};

/* Of nodes, and of pairs, in one snapshot. */
#define RELAY_INSIGHT_MAX 1000u

struct relay_insight_ask {
	struct mbox *mbox;		/* where fn runs; outlives the workers */
	size_t nodes_max, pairs_max;	/* at most RELAY_INSIGHT_MAX */
	int64_t window_ms;		/* pairs that were used so recently; 0: all */
	/* Once. NULL: the relay is stopping. *in is borrowed. */
	void (*fn)(void *arg, const struct relay_insight *in);
	void *arg;
};

/* Any thread, while the workers run or before. Waits for nothing. */
void relay_insight(struct relay *r, const struct relay_insight_ask *ask);

#endif
