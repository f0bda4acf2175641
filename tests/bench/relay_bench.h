/* The parts of the relay's load generator. One thread. */
#ifndef TESTS_BENCH_RELAY_BENCH_H
#define TESTS_BENCH_RELAY_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tests/bench/derp_client.h"

enum relay_mode {
	RELAY_WINDOW,		/* closed loop: so many packets of a pair are under way */
	RELAY_RATE,		/* open loop: all pairs together offer so much */
	RELAY_FLOOD,		/* whatever the sockets take */
	RELAY_QUIET,		/* no load but the probe */
};

struct relay_options {
	struct link_target target;
	const char *name;	/* of the server, in every line */
	pid_t pid;		/* of the server; -1: unknown, no lines about it */
	enum relay_mode mode;
	unsigned pairs, size_bytes, window, rate_mbit;
	unsigned seconds, warmup_ms, at_once;
	bool has_probe, has_delays;
	unsigned probe_us;	/* between two probes */
	unsigned idle, storms;
	unsigned soak_s;	/* 0: no soak */
};

/* Pairs under load: goodput, loss, the server's CPU per GB, round trips of a probe pair beside them. */
void relay_load_run(const struct relay_options *o);
/* Idle, busy and ill-behaved clients for a long time: by how much the server's memory and descriptors
 * grow, and what healthy pairs notice. o->idle, o->pairs and o->rate_mbit are not 0. */
void relay_soak_run(const struct relay_options *o);
/* Connections that do nothing: memory of each, CPU to set one up, memory kept after storms of them. */
void relay_idle_run(const struct relay_options *o);

#endif
