/* Connections that do nothing. Run it against a fresh server: memory that was used before is used again. */
#include <poll.h>
#include <stdlib.h>

#include "tests/bench/bench.h"
#include "tests/bench/relay_bench.h"

#define SETTLE_MS	3000		/* for the server to notice, and to give memory back */
#define CONNECT_S	300

/* Serves what comes (keep-alives) for a while. */
static void
wait_ms(struct derp_pool *pool, int ms)
{
	int64_t end_ns = bench_now_ns() + ms * BENCH_NS_PER_MS;

	while (bench_now_ns() < end_ns)
		derp_pool_turn(pool, 20);
}

static void
close_all(struct derp_pool *pool, struct derp_client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		derp_pool_close(pool, &c[i]);
}

static void
connect_and_say(struct derp_pool *pool, struct derp_client *c, const struct relay_options *o)
{
	double cpu_s = bench_cpu_s(o->pid), own_s = bench_cpu_s(0), rss = bench_rss_bytes(o->pid);
	int64_t begin_ns = bench_now_ns();

	derp_pool_connect(pool, c, o->idle, o->at_once, CONNECT_S);
	double seconds = (double)(bench_now_ns() - begin_ns) / 1e9;
	bench_say("connections set up", o->idle / seconds, 0, "/s");
	if (o->pid > 0)
		bench_say("server cpu per set-up", (bench_cpu_s(o->pid) - cpu_s) * 1e3 / o->idle, 3, "ms");
	bench_say("load cpu per set-up", (bench_cpu_s(0) - own_s) * 1e3 / o->idle, 3, "ms");
	if (o->pid <= 0)
		return;
	wait_ms(pool, SETTLE_MS);
	bench_say("server memory per idle connection",
	    (bench_rss_bytes(o->pid) - rss) / 1024 / o->idle, 1, "KiB");
	bench_say("server memory", bench_rss_bytes(o->pid) / 1048576, 1, "MiB");
	cpu_s = bench_cpu_s(o->pid);
	wait_ms(pool, SETTLE_MS);
	bench_say("server core while idle", (bench_cpu_s(o->pid) - cpu_s) * 1e5 / SETTLE_MS, 2, "%");
}

static void
storm_and_say(struct derp_pool *pool, struct derp_client *c, const struct relay_options *o)
{
	double cpu_s, before;

	close_all(pool, c, o->idle);
	wait_ms(pool, SETTLE_MS);
	before = bench_rss_bytes(o->pid);
	cpu_s = bench_cpu_s(o->pid);
	for (unsigned i = 0; i < o->storms; i++) {
		derp_pool_connect(pool, c, o->idle, o->at_once, CONNECT_S);
		close_all(pool, c, o->idle);
	}
	wait_ms(pool, SETTLE_MS);
	if (o->pid <= 0)
		return;
	bench_say("storms, server cpu per connection",
	    (bench_cpu_s(o->pid) - cpu_s) * 1e3 / o->idle / o->storms, 3, "ms");
	bench_say("storms, server memory before", before / 1048576, 1, "MiB");
	bench_say("storms, server memory after", bench_rss_bytes(o->pid) / 1048576, 1, "MiB");
}

void
relay_idle_run(const struct relay_options *o)
{
	struct derp_pool pool;
	struct derp_client *c = obj_alloc(o->idle * sizeof *c);

	bench_label("%s %s idle=%u", o->name, o->target.is_tls ? "tls" : "plain", o->idle);
	derp_pool_init(&pool, &o->target);
	connect_and_say(&pool, c, o);
	if (o->storms > 0)
		storm_and_say(&pool, c, o);
	if (pool.failed > 0)
		bench_say("connections cut", (double)pool.failed, 0, "");
	close_all(&pool, c, o->idle);
	free(c);
	derp_pool_fini(&pool);
}
