/*
 * The run of the control plane's load generator: all simulated nodes, their loop, and what is
 * known of each. The phases (nodes_phase, nodes_storm) say what a node shall be and wait.
 */
#ifndef TESTS_BENCH_NODES_RUN_H
#define TESTS_BENCH_NODES_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/bench.h"
#include "tests/bench/node_client.h"

/* What a node shall be, and what it is: in this order. */
enum { NODE_OFF, NODE_REGISTERED, NODE_STREAMING };

struct nodes_options {
	const char *server, *sni, *name, *seed;
	bool is_tls;
	pid_t pid;			/* of the server; -1: unknown */
	const char **keys;		/* auth keys, given out in turn */
	unsigned n_keys;
	const char *phases, *command, *expect;
	unsigned nodes, at_once, register_at_once, joins, changes, flaps, idle_s, timeout_s;
	unsigned settle_ms;		/* of nodes_run_settle, at most */
	unsigned rounds;		/* of the command */
	unsigned burst;			/* changes at once */
	unsigned hubs;			/* the last of the nodes: they have the last key */
	unsigned leave_ms;		/* how long the server may keep "offline" to itself */
};

struct nodes_run {
	const struct nodes_options *o;
	struct link_target target;
	struct node_common common;
	int epoll;
	struct node_client *nodes;	/* room for joins behind the first n */
	unsigned n, cap;
	int64_t now_ns;
	/* counted */
	unsigned handshakes;		/* under way */
	unsigned registered, streaming;	/* reached what was wanted */
	uint64_t cut, retries;		/* streams that ended by themselves; attempts that failed */
	int64_t message_ns;		/* last message of more than a keep-alive's size */
	struct bench_samples took_ms;	/* of each node: from its connecting to what it wanted */
};

extern struct nodes_run run;

void nodes_run_init(const struct nodes_options *o);
void nodes_run_fini(void);

/* How many keys the nodes that are no hubs are given in turn. */
unsigned nodes_run_shares(void);

/* Body of a request of the node; static memory. variant tells its endpoints (0: its usual ones). */
const char *nodes_run_register_json(const struct node_client *c);
const char *nodes_run_map_json(const struct node_client *c, bool is_stream, unsigned variant);
/* The endpoint that this variant has and no other: as it stands in JSON, with quotes. */
void nodes_run_endpoint(const struct node_client *c, unsigned variant, char out[40]);

/* Lets the node become this as soon as a handshake is free; one that is connected already goes on
 * from there. NODE_REGISTERED closes its connection when it has its answer. */
void nodes_run_want(struct node_client *c, int what);
/* Closes the node's connection at once. */
void nodes_run_drop(struct node_client *c);
/* Sends what was requested of the node outside of its hooks. */
void nodes_run_flush(struct node_client *c);

/* Waits at most that long and serves. */
void nodes_run_turn(int timeout_ms);
/* Serves until the condition holds or timeout_ms are over; whether it held. */
bool nodes_run_until(bool (*is_done)(void), int64_t timeout_ms);
void nodes_run_wait(int64_t ms);
/* Until no message came for 400 ms, at most options.settle_ms. */
void nodes_run_settle(void);

uint64_t nodes_run_wire_bytes(void);

#endif
