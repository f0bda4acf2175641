/* Phases of unrest and of rest: mass reconnect, flapping, leaving, a burst of changes, idling. */
#include "tests/bench/nodes_phase.h"

#include <string.h>

#include "tests/bench/nodes_watch.h"

#define FLAP_DOWN_MS	50
#define FLAP_UP_MS	150
#define BURST_MS	30000
#define BURST_VARIANT	50001	/* of the endpoints: no change has it */

void
phase_reconnect(void)
{
	struct phase_usage u = phase_begin(), last;

	bench_samples_fini(&run.took_ms);
	for (unsigned i = 0; i < run.n; i++) {
		nodes_run_drop(&run.nodes[i]);
		nodes_run_want(&run.nodes[i], NODE_STREAMING);
	}
	u = phase_begin();
	if (!nodes_run_until(phase_all_streaming, run.o->timeout_s * 1000LL))
		phase_die("reconnect");
	last = phase_since(&u);
	nodes_run_settle();
	u = phase_since(&u);
	bench_say("mass reconnect, last full map", (double)last.begin_ns / 1e9, 3, "s");
	bench_say("mass reconnect, a node's full map p99", bench_samples_quantile(&run.took_ms, 0.99), 1,
	    "ms");
	if (run.o->pid > 0) {
		bench_say("mass reconnect, server cpu", u.server_s * 1e3 / run.n, 3, "ms per node");
		bench_say("mass reconnect, written to disk", u.written_bytes / 1024 / run.n, 1,
		    "KiB per node");
		bench_say("server memory", bench_rss_bytes(run.o->pid) / 1048576, 1, "MiB");
	}
	bench_say("mass reconnect, load cpu", u.own_s * 1e3 / run.n, 3, "ms per node");
	bench_say("mass reconnect, received", (double)u.wire_bytes / run.n, 0, "bytes per node");
	phase_say_trouble(&u);
}

void
phase_flap(void)
{
	struct node_client *c = phase_node(phase_nodes() / 2);
	int64_t id = phase_learn(c);
	struct phase_usage u;
	unsigned wrong;

	nodes_watch_online(id, c);
	u = phase_begin();
	for (unsigned i = 0; i < run.o->flaps; i++) {
		nodes_run_drop(c);
		nodes_run_wait(FLAP_DOWN_MS);
		nodes_run_want(c, NODE_STREAMING);
		if (!nodes_run_until(phase_all_streaming, run.o->timeout_s * 1000LL))
			phase_die("flap");
		nodes_run_wait(FLAP_UP_MS);
	}
	nodes_run_settle();
	u = phase_since(&u);
	if (run.o->pid > 0)
		bench_say("flapping node, server cpu", u.server_s * 1e3 / run.o->flaps, 2, "ms each");
	u.wire_bytes -= c->wire_bytes < u.wire_bytes ? c->wire_bytes : u.wire_bytes;
	bench_say("flapping node, received", (double)u.wire_bytes / run.o->flaps / phase_viewers(), 0,
	    "bytes per peer");
	/* What is wrong now may be put right within the grace. */
	if (nodes_watch_offline() > 0)
		nodes_run_wait(run.o->leave_ms);
	wrong = nodes_watch_offline();
	nodes_watch_stop();
	bench_say("flapping node, wrong online flags after", wrong, 0, "");
	phase_say_trouble(&u);
}

static bool
all_think_offline(void)
{
	return nodes_watch_offline() >= phase_viewers();
}

void
phase_leave(void)
{
	struct node_client *c = phase_node(phase_nodes() / 3);
	int64_t id = phase_learn(c);
	int64_t begin_ns = bench_now_ns();
	struct phase_usage u;

	nodes_watch_online(id, c);
	u = phase_begin();
	nodes_run_drop(c);
	nodes_run_want(c, NODE_OFF);
	bool is_seen = nodes_run_until(all_think_offline, run.o->leave_ms + 10000);
	u = phase_since(&u);
	if (is_seen)
		bench_say("node left, seen by all after", (double)(bench_now_ns() - begin_ns) / 1e9, 2,
		    "s");
	else
		bench_say("node left, not seen by", phase_viewers() - nodes_watch_offline(), 0, "peers");
	nodes_watch_stop();
	nodes_run_want(c, NODE_STREAMING);
	if (!nodes_run_until(phase_all_streaming, run.o->timeout_s * 1000LL))
		phase_die("leave");
	nodes_run_settle();
	phase_say_trouble(&u);
}

void
phase_idle(void)
{
	struct phase_usage u = phase_begin();

	nodes_run_wait(run.o->idle_s * 1000LL);
	u = phase_since(&u);
	if (run.o->pid > 0) {
		bench_say("idle, server core", u.server_s * 100 / run.o->idle_s, 2, "%");
		bench_say("idle, written to disk", u.written_bytes / 1024 / run.o->idle_s, 1,
		    "KiB per second");
		bench_say("idle, server memory", bench_rss_bytes(run.o->pid) / 1048576, 1, "MiB");
	}
	bench_say("idle, received", (double)u.wire_bytes / run.n / run.o->idle_s, 1,
	    "bytes per node and second");
	phase_say_trouble(&u);
}

/* Changes of many nodes at once: how far they are put together, and what that saves. */
void
phase_burst(void)
{
	unsigned count = run.o->burst < phase_nodes() ? run.o->burst : phase_nodes();
	struct bench_samples took_ms = { 0 };
	struct phase_usage u;
	char endpoint[40];

	phase_learn(phase_node(0));
	nodes_run_endpoint(phase_node(count - 1), BURST_VARIANT, endpoint);
	u = phase_begin();
	nodes_watch_text(endpoint, phase_node(count - 1), &took_ms);
	for (unsigned i = 0; i < count; i++) {
		struct node_client *c = phase_node(i);

		if (c->h2 == NULL)
			phase_die("burst");
		node_client_request(c, NODE_LITE, nodes_run_map_json(c, false, BURST_VARIANT));
		nodes_run_flush(c);
	}
	bench_say("burst, sent within", (double)(bench_now_ns() - u.begin_ns) / 1e6, 1, "ms");
	bool is_seen = nodes_run_until(phase_all_have_seen, BURST_MS);
	unsigned missed = is_seen ? 0 : phase_viewers() - nodes_watch_seen();
	nodes_watch_stop();
	nodes_run_settle();
	u = phase_since(&u);
	bench_say("burst, changes", count, 0, "");
	bench_say("burst, map messages", (double)u.messages / phase_viewers(), 2, "per peer");
	u.server_s /= count;
	u.wire_bytes /= count;
	u.messages_bytes /= count;
	phase_say_events("burst, last change", 1, &took_ms, &u, missed);
	bench_samples_fini(&took_ms);
}

bool
phase_run(const char *name)
{
	static const struct { const char *name; void (*fn)(void); } phases[] = {
		{ "register", phase_register }, { "connect", phase_connect },
		{ "change", phase_change }, { "join", phase_join },
		{ "reconnect", phase_reconnect }, { "flap", phase_flap },
		{ "leave", phase_leave }, { "idle", phase_idle }, { "command", phase_command },
		{ "burst", phase_burst },
	};

	for (size_t i = 0; i < COUNT_OF(phases); i++)
		if (strcmp(phases[i].name, name) == 0) {
			phases[i].fn();
			return true;
		}
	return false;
}
