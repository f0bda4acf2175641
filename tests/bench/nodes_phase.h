/* The phases of the control plane's load generator, by name: each prints its figures. */
#ifndef TESTS_BENCH_NODES_PHASE_H
#define TESTS_BENCH_NODES_PHASE_H

#include <stdbool.h>

#include "tests/bench/nodes_run.h"

/* What has been used since a moment. */
struct phase_usage {
	int64_t begin_ns;
	double server_s, own_s, rss_bytes, written_bytes;
	uint64_t wire_bytes, messages, messages_bytes, cut, retries;
};

struct phase_usage phase_begin(void);
/* The difference to now; rss_bytes too. */
struct phase_usage phase_since(const struct phase_usage *begin);
/* Of a phase over all nodes: cuts and retries, if there were any. */
void phase_say_trouble(const struct phase_usage *used);
bool phase_all_streaming(void);
/* Ends the program, saying how many got there. */
_Noreturn void phase_die(const char *phase);
/* The i-th node to which something happens: those of the first auth key, spread over the others; with as
 * many different ones as phase_nodes says. */
struct node_client *phase_node(unsigned i);
unsigned phase_nodes(void);
/* The node drops and comes back: its id; from here on phase_viewers says how many peers it has. */
int64_t phase_learn(struct node_client *c);
/* How many nodes see a change of one. */
unsigned phase_viewers(void);
/* Those of the node last watched have seen it. */
bool phase_all_have_seen(void);
/* Figures of count equal events, each seen by all; missed: times that a node did not see one. */
void phase_say_events(const char *what, unsigned count, struct bench_samples *took_ms,
	const struct phase_usage *sum, double missed);

/* nodes_phase.c */
void phase_register(void);
void phase_connect(void);
void phase_change(void);
void phase_join(void);
/* nodes_storm.c */
void phase_reconnect(void);
void phase_flap(void);
void phase_leave(void);
void phase_idle(void);
void phase_burst(void);
/* nodes_command.c */
void phase_command(void);

/* Runs one phase. False: there is none of that name. */
bool phase_run(const char *name);

#endif
