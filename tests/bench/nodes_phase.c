/* Phases of healthy life: registration, first connection, one node's change, a join. */
#include "tests/bench/nodes_phase.h"

#include <stdio.h>
#include <string.h>

#include "tests/bench/nodes_watch.h"

#define PAUSE_MS	300		/* between two events: the server is quiet again */
#define EVENT_MS	10000		/* an event that is not seen by then counts as not seen */
#define TAIL_MS		20		/* of the server's work after the last node has seen it */

static unsigned viewers;		/* of the node to which something happens */

struct phase_usage
phase_begin(void)
{
	struct phase_usage u = {
		.begin_ns = bench_now_ns(), .server_s = bench_cpu_s(run.o->pid), .own_s = bench_cpu_s(0),
		.rss_bytes = bench_rss_bytes(run.o->pid),
		.written_bytes = bench_written_bytes(run.o->pid), .wire_bytes = nodes_run_wire_bytes(),
		.cut = run.cut, .retries = run.retries,
	};

	for (unsigned i = 0; i < run.n; i++) {
		u.messages += run.nodes[i].messages;
		u.messages_bytes += run.nodes[i].messages_bytes;
	}
	return u;
}

struct phase_usage
phase_since(const struct phase_usage *b)
{
	struct phase_usage u = phase_begin();

	u.begin_ns -= b->begin_ns;
	u.server_s -= b->server_s;
	u.own_s -= b->own_s;
	u.rss_bytes -= b->rss_bytes;
	u.written_bytes -= b->written_bytes;
	u.wire_bytes -= b->wire_bytes;
	u.messages -= b->messages;
	u.messages_bytes -= b->messages_bytes;
	u.cut -= b->cut;
	u.retries -= b->retries;
	return u;
}

void
phase_say_trouble(const struct phase_usage *u)
{
	if (u->cut > 0)
		bench_say("streams cut", (double)u->cut, 0, "");
	if (u->retries > 0)
		bench_say("attempts repeated", (double)u->retries, 0, "");
}

void
phase_die(const char *phase)
{
	bench_die("%s: after %u s %u of %u nodes were registered, %u streaming, %u handshakes under "
	    "way", phase, run.o->timeout_s, run.registered, run.n, run.streaming, run.handshakes);
}

bool
phase_all_streaming(void)
{
	return run.streaming >= run.n;
}

unsigned
phase_nodes(void)
{
	unsigned n = (run.o->nodes - run.o->hubs) / nodes_run_shares();

	return n > 0 ? n : 1;
}

struct node_client *
phase_node(unsigned i)
{
	return &run.nodes[(uint64_t)i * 7 % phase_nodes() * nodes_run_shares()];
}

static bool
own_has_come(void)
{
	int64_t id;
	unsigned peers;

	return nodes_watch_own_came(&id, &peers);
}

int64_t
phase_learn(struct node_client *c)
{
	int64_t id;

	nodes_watch_own(c);
	nodes_run_drop(c);
	nodes_run_want(c, NODE_STREAMING);
	if (!nodes_run_until(own_has_come, run.o->timeout_s * 1000LL))
		bench_die("the first map of node %u has no id", c->index);
	nodes_run_settle();
	nodes_watch_own_came(&id, &viewers);
	nodes_watch_stop();
	return id;
}

unsigned
phase_viewers(void)
{
	return viewers;
}

static bool
all_registered(void)
{
	return run.registered >= run.n;
}

static void
want_all(int what)
{
	bench_samples_fini(&run.took_ms);
	for (unsigned i = 0; i < run.n; i++)
		nodes_run_want(&run.nodes[i], what);
}

void
phase_register(void)
{
	struct phase_usage u = phase_begin();

	want_all(NODE_REGISTERED);
	if (!nodes_run_until(all_registered, run.o->timeout_s * 1000LL))
		phase_die("register");
	u = phase_since(&u);
	double seconds = (double)u.begin_ns / 1e9;
	bench_say("register rate", run.n / seconds, 0, "/s");
	bench_say("register p50", bench_samples_quantile(&run.took_ms, 0.5), 1, "ms");
	bench_say("register p99", bench_samples_quantile(&run.took_ms, 0.99), 1, "ms");
	if (run.o->pid > 0) {
		bench_say("register server cpu", u.server_s * 1e3 / run.n, 3, "ms each");
		bench_say("register, written to disk", u.written_bytes / 1024 / run.n, 1, "KiB each");
	}
	bench_say("register load cpu", u.own_s * 1e3 / run.n, 3, "ms each");
	phase_say_trouble(&u);
}

void
phase_connect(void)
{
	struct phase_usage u = phase_begin(), first;

	want_all(NODE_STREAMING);
	if (!nodes_run_until(phase_all_streaming, run.o->timeout_s * 1000LL))
		phase_die("connect");
	first = phase_since(&u);
	nodes_run_settle();
	u = phase_since(&u);
	bench_say("first connect of all, last full map", (double)first.begin_ns / 1e9, 3, "s");
	bench_say("first connect, a node's full map p50", bench_samples_quantile(&run.took_ms, 0.5), 1,
	    "ms");
	bench_say("first connect, a node's full map p99", bench_samples_quantile(&run.took_ms, 0.99), 1,
	    "ms");
	bench_say("first connect, received", (double)u.wire_bytes / run.n, 0, "bytes per node");
	bench_say("first connect, load cpu", u.own_s * 1e3 / run.n, 3, "ms per node");
	if (run.o->pid > 0) {
		bench_say("first connect, server cpu", u.server_s * 1e3 / run.n, 3, "ms per node");
		bench_say("first connect, written to disk", u.written_bytes / 1024 / run.n, 1,
		    "KiB per node");
		bench_say("first connect, server memory", u.rss_bytes / 1024 / run.n, 1,
		    "KiB per node");
		bench_say("server memory", bench_rss_bytes(run.o->pid) / 1048576, 1, "MiB");
	}
	phase_say_trouble(&u);
}

bool
phase_all_have_seen(void)
{
	return nodes_watch_seen() >= viewers;
}

/* A join: its own map says who is to see it. */
static bool
all_have_seen_it_join(void)
{
	int64_t id;

	return nodes_watch_own_came(&id, &viewers) && phase_all_have_seen();
}

void
phase_say_events(const char *what, unsigned count, struct bench_samples *took_ms,
    const struct phase_usage *sum, double missed)
{
	char line[96];
	double views = (double)count * viewers;
	const struct { const char *name; double q; } quantiles[] = {
		{ "p50", 0.5 }, { "p99", 0.99 }, { "max", 1 },
	};

	for (size_t i = 0; i < COUNT_OF(quantiles); i++) {
		snprintf(line, sizeof line, "%s seen by all, %s", what, quantiles[i].name);
		bench_say(line, bench_samples_quantile(took_ms, quantiles[i].q), 1, "ms");
	}
	if (run.o->pid > 0) {
		snprintf(line, sizeof line, "%s, server cpu", what);
		bench_say(line, sum->server_s * 1e3 / count, 2, "ms each");
	}
	snprintf(line, sizeof line, "%s, received", what);
	bench_say(line, (double)sum->wire_bytes / views, 0, "bytes per peer");
	snprintf(line, sizeof line, "%s, map messages", what);
	bench_say(line, (double)sum->messages_bytes / views, 0, "bytes per peer");
	if (missed > 0) {
		snprintf(line, sizeof line, "%s, not seen", what);
		bench_say(line, missed, 0, "");
	}
	phase_say_trouble(sum);
}

static void
add_usage(struct phase_usage *sum, const struct phase_usage *u)
{
	sum->server_s += u->server_s;
	sum->wire_bytes += u->wire_bytes;
	sum->messages += u->messages;
	sum->messages_bytes += u->messages_bytes;
	sum->cut += u->cut;
	sum->retries += u->retries;
}

void
phase_change(void)
{
	struct bench_samples took_ms = { 0 };
	struct phase_usage sum = { 0 };
	double missed = 0;
	char endpoint[40];

	phase_learn(phase_node(0));
	for (unsigned i = 0; i < run.o->changes; i++) {
		struct node_client *c = phase_node(i);

		nodes_run_wait(PAUSE_MS);
		nodes_run_endpoint(c, i + 1, endpoint);
		struct phase_usage u = phase_begin();
		nodes_watch_text(endpoint, c, &took_ms);
		if (c->h2 == NULL)
			phase_die("change");
		node_client_request(c, NODE_LITE, nodes_run_map_json(c, false, i + 1));
		nodes_run_flush(c);
		if (!nodes_run_until(phase_all_have_seen, EVENT_MS))
			missed += viewers - nodes_watch_seen();
		nodes_watch_stop();
		nodes_run_wait(TAIL_MS);
		u = phase_since(&u);
		add_usage(&sum, &u);
	}
	phase_say_events("endpoint change", run.o->changes, &took_ms, &sum, missed);
	bench_samples_fini(&took_ms);
}

void
phase_join(void)
{
	struct bench_samples took_ms = { 0 }, own_ms = { 0 };
	struct phase_usage sum = { 0 };
	double missed = 0;
	unsigned count = 0;
	char key[KEY_TEXT_MAX];

	for (; run.n < run.cap; count++) {
		struct node_client *c = &run.nodes[run.n];

		nodes_run_wait(PAUSE_MS);
		node_key_put(&c->key, key);
		struct phase_usage u = phase_begin();
		bench_samples_fini(&run.took_ms);
		run.n++;
		nodes_watch_text(key, c, &took_ms);
		nodes_run_want(c, NODE_STREAMING);
		if (!nodes_run_until(all_have_seen_it_join, EVENT_MS))
			missed += viewers - nodes_watch_seen();
		if (!nodes_run_until(phase_all_streaming, EVENT_MS))
			phase_die("join");
		bench_samples_add(&own_ms, bench_samples_quantile(&run.took_ms, 1));
		nodes_watch_stop();
		nodes_run_wait(TAIL_MS);
		u = phase_since(&u);
		u.wire_bytes -= c->wire_bytes;		/* the new node's own map */
		u.messages_bytes -= c->messages_bytes;
		add_usage(&sum, &u);
	}
	if (count == 0)
		return;
	phase_say_events("join", count, &took_ms, &sum, missed);
	bench_say("join, own full map p50", bench_samples_quantile(&own_ms, 0.5), 1, "ms");
	bench_say("join, own full map max", bench_samples_quantile(&own_ms, 1), 1, "ms");
	bench_samples_fini(&took_ms);
	bench_samples_fini(&own_ms);
}
