/*
 * Pairs under load. A pair is a sender and a receiver; the numbers that the receiver sees say what
 * was lost. Rules that make figures of different servers comparable:
 * - one packet per TLS record (real clients flush each packet), but the records of a turn in one
 *   send;
 * - open loop: at most 4 packets of a pair per turn, spread evenly: bursts would be lost by short
 *   queues. What a blocked socket keeps back for more than 32 packets (a client's own queue) is
 *   dropped here and counts as lost;
 * - the probe is served before the load in every turn.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/wire.h"
#include "tests/bench/bench.h"
#include "tests/bench/relay_bench.h"

#define PROBE_BYTES	64
#define PROBE_LOST_NS	(1 * BENCH_NS_PER_S)
#define TAIL_NS		(100 * BENCH_NS_PER_MS)	/* a window that stood still so long is lost */
#define BURST		4			/* packets per pair and turn, open loop */
#define FLOOD_BURST	32
#define DELAY_EACH	8
#define DISCO_BYTES	62			/* the shortest that a relay knows */
#define DISCO_EVERY_NS	(10 * BENCH_NS_PER_MS)
#define DISCO_MAGIC	0x5453f09f92acull	/* its first 6 bytes; a number has 0 there */
#define BACKLOG		32			/* a real client's queue per region */

struct pair {
	struct derp_client src, dst;
	uint8_t *frame, *disco;
	size_t n_frame;
	int64_t disco_ns;		/* when the next one is sent */
	uint64_t next_seq, want_seq;	/* to be sent; expected at the receiver */
	int64_t next_ns, interval_ns;	/* open loop */
	int64_t moved_ns;		/* last packet received */
	bool was_blocked;
	/* counted while measuring */
	uint64_t sent, received, lost, kept_back, late;
};

struct probe {
	struct derp_client near, far;
	uint8_t *there, *back;
	uint64_t seq;
	bool is_waiting;
	int64_t sent_ns, next_ns;
	uint64_t lost;
	struct bench_samples round_trip_us;
};

struct load {
	const struct relay_options *o;
	struct derp_pool pool;
	struct pair *pairs;
	struct probe probe;
	bool is_measuring;
	int64_t now_ns;
	struct bench_samples disco_ms;	/* --delays: of packets that look like disco, beside the load */
	struct bench_samples delay_ms;	/* --delays: of every DELAY_EACH-th packet of the load */
};

struct totals {
	uint64_t sent, received, lost, kept_back, late;
};

/* CPU seconds: of the server, of this program, of the machine. */
struct usage {
	double server, own, machine;
};

static struct load load;

static void
stamp(uint8_t *frame, uint64_t seq)
{
	wire_put_u64be(frame + DERP_CLIENT_STAMP_AT, seq);
	wire_put_u64be(frame + DERP_CLIENT_STAMP_AT + 8, (uint64_t)load.now_ns);
}

/* Of a stamped packet that has just come. */
static double
under_way_ms(const uint8_t *stamp_)
{
	return (double)(load.now_ns - (int64_t)wire_u64be(stamp_ + 8)) / 1e6;
}

static void
on_load_packet(struct derp_client *c, const uint8_t *p, size_t n)
{
	struct pair *q = c->arg;
	uint64_t seq = wire_u64be(p);

	(void)n;
	if (seq >> 16 == DISCO_MAGIC) {
		if (load.is_measuring)
			bench_samples_add(&load.disco_ms, under_way_ms(p));
		return;
	}
	q->received++;
	if (load.o->has_delays && load.is_measuring && seq % DELAY_EACH == 0)
		bench_samples_add(&load.delay_ms, under_way_ms(p));
	q->moved_ns = load.now_ns;
	if (seq < q->want_seq) {	/* given up as lost before */
		if (q->lost > 0)
			q->lost--;
		return;
	}
	q->lost += seq - q->want_seq;
	q->want_seq = seq + 1;
}

static void
on_probe_far(struct derp_client *c, const uint8_t *p, size_t n)
{
	struct probe *q = c->arg;

	if (n != PROBE_BYTES)
		return;
	wire_put_u64be(q->back + DERP_CLIENT_STAMP_AT, wire_u64be(p));
	if (!link_is_blocked(&c->link))
		link_put(&c->link, q->back, DERP_CLIENT_STAMP_AT + PROBE_BYTES);
}

static void
on_probe_near(struct derp_client *c, const uint8_t *p, size_t n)
{
	struct probe *q = c->arg;

	if (n != PROBE_BYTES || wire_u64be(p) != q->seq || !q->is_waiting)
		return;
	q->is_waiting = false;
	if (load.is_measuring)
		bench_samples_add(&q->round_trip_us, (double)(bench_now_ns() - q->sent_ns) / 1e3);
}

static void
flush(struct derp_client *c)
{
	if (link_flush(&c->link) != ERR_OK) {
		load.pool.failed++;
		derp_pool_close(&load.pool, c);
		return;
	}
	derp_pool_update(&load.pool, c);
}

static void
serve_probe(struct probe *q)
{
	if (q->is_waiting && load.now_ns - q->sent_ns > PROBE_LOST_NS) {
		q->is_waiting = false;
		q->lost += load.is_measuring;
	}
	if (q->is_waiting || load.now_ns < q->next_ns || q->near.link.state != LINK_OPEN ||
	    link_is_blocked(&q->near.link))
		return;
	q->next_ns = load.now_ns + (int64_t)load.o->probe_us * 1000;
	q->is_waiting = true;
	q->sent_ns = bench_now_ns();
	stamp(q->there, ++q->seq);
	link_put(&q->near.link, q->there, DERP_CLIENT_STAMP_AT + PROBE_BYTES);
	flush(&q->near);
}

static unsigned
due_window(struct pair *q)
{
	uint64_t flying = q->next_seq - q->want_seq;

	if (flying > 0 && load.now_ns - q->moved_ns > TAIL_NS) {
		q->lost += flying;
		q->want_seq = q->next_seq;
		q->moved_ns = load.now_ns;
		flying = 0;
	}
	return flying < load.o->window ? (unsigned)(load.o->window - flying) : 0;
}

/* Packets whose time has come. What neither the socket nor this program could send is dropped and counted. */
static unsigned
due_rate(struct pair *q)
{
	if (load.now_ns < q->next_ns)
		return 0;
	uint64_t n = (uint64_t)((load.now_ns - q->next_ns) / q->interval_ns) + 1;
	q->was_blocked = q->was_blocked || link_is_blocked(&q->src.link);
	if (n > BACKLOG) {
		uint64_t dropped = n - BACKLOG;

		if (q->was_blocked)
			q->kept_back += dropped;
		else
			q->late += dropped;
		q->next_ns += (int64_t)dropped * q->interval_ns;
		n = BACKLOG;
	}
	if (n <= BURST)
		q->was_blocked = false;
	return n < BURST ? (unsigned)n : BURST;
}

static void
fill(struct pair *q)
{
	unsigned n = FLOOD_BURST, done = 0;

	if (q->src.link.state != LINK_OPEN)
		return;
	if (load.o->has_delays && load.now_ns >= q->disco_ns && !link_is_blocked(&q->src.link)) {
		q->disco_ns = load.now_ns + DISCO_EVERY_NS;
		stamp(q->disco, DISCO_MAGIC << 16);
		link_put(&q->src.link, q->disco, DERP_CLIENT_STAMP_AT + DISCO_BYTES);
		flush(&q->src);
	}
	if (load.o->mode == RELAY_WINDOW)
		n = due_window(q);
	else if (load.o->mode == RELAY_RATE)
		n = due_rate(q);
	for (; done < n && !link_is_blocked(&q->src.link); done++) {
		stamp(q->frame, q->next_seq++);
		link_put(&q->src.link, q->frame, q->n_frame);
		q->next_ns += q->interval_ns;
	}
	q->sent += done;
	if (done > 0)
		flush(&q->src);
}

static void
run_until(int64_t end_ns)
{
	bool is_spinning = load.o->mode == RELAY_RATE || load.o->mode == RELAY_FLOOD;
	unsigned n = load.o->mode == RELAY_QUIET ? 0 : load.o->pairs;

	while ((load.now_ns = bench_now_ns()) < end_ns) {
		/* With a probe the wait is short: epoll's timeout is in whole milliseconds. */
		derp_pool_turn(&load.pool, is_spinning || load.o->has_probe ? 0 : 1);
		load.now_ns = bench_now_ns();
		if (load.o->has_probe)
			serve_probe(&load.probe);
		for (unsigned i = 0; i < n; i++)
			fill(&load.pairs[i]);
	}
}

static struct totals
count(void)
{
	struct totals t = { 0 };

	for (unsigned i = 0; i < load.o->pairs; i++) {
		const struct pair *q = &load.pairs[i];

		t.sent += q->sent;
		t.received += q->received;
		t.lost += q->lost;
		t.kept_back += q->kept_back;
		t.late += q->late;
	}
	return t;
}

static void
set_up(void)
{
	const struct relay_options *o = load.o;
	unsigned n = o->pairs;

	derp_pool_init(&load.pool, &o->target);
	load.pairs = obj_alloc(n * sizeof *load.pairs);
	for (unsigned i = 0; i < n; i++) {
		derp_pool_connect(&load.pool, &load.pairs[i].dst, 1, 1, 30);
		derp_pool_connect(&load.pool, &load.pairs[i].src, 1, 1, 30);
	}
	load.now_ns = bench_now_ns();
	for (unsigned i = 0; i < n; i++) {
		struct pair *q = &load.pairs[i];

		q->dst.on_packet = on_load_packet;
		q->dst.arg = q;
		q->n_frame = DERP_CLIENT_STAMP_AT + o->size_bytes;
		q->frame = derp_client_frame_new(&q->dst, o->size_bytes);
		q->disco = derp_client_frame_new(&q->dst, DISCO_BYTES);
		q->moved_ns = load.now_ns;
		if (o->mode == RELAY_RATE)
			q->interval_ns = (int64_t)(o->size_bytes * 8e3 * n / o->rate_mbit);
		q->next_ns = load.now_ns + q->interval_ns * i / n;
	}
	if (o->has_probe) {
		struct probe *q = &load.probe;

		derp_pool_connect(&load.pool, &q->near, 1, 1, 30);
		derp_pool_connect(&load.pool, &q->far, 1, 1, 30);
		q->near.is_probe = q->far.is_probe = true;
		q->near.arg = q->far.arg = q;
		q->near.on_packet = on_probe_near;
		q->far.on_packet = on_probe_far;
		q->there = derp_client_frame_new(&q->far, PROBE_BYTES);
		q->back = derp_client_frame_new(&q->near, PROBE_BYTES);
	}
}

static void
label_lines(void)
{
	const struct relay_options *o = load.o;
	char how[64] = "flood";

	if (o->mode == RELAY_WINDOW)
		snprintf(how, sizeof how, "window=%u", o->window);
	else if (o->mode == RELAY_RATE)
		snprintf(how, sizeof how, "offered=%uMbit/s", o->rate_mbit);
	if (o->mode == RELAY_QUIET)
		bench_label("%s %s quiet", o->name, o->target.is_tls ? "tls" : "plain");
	else
		bench_label("%s %s pairs=%u size=%u %s", o->name, o->target.is_tls ? "tls" : "plain",
		    o->pairs, o->size_bytes, how);
}

static struct usage
usage_now(void)
{
	return (struct usage){ bench_cpu_s(load.o->pid), bench_cpu_s(0), bench_machine_cpu_s() };
}

static void
report_load(const struct totals *a, const struct totals *b, double seconds, const struct usage *u)
{
	const struct relay_options *o = load.o;
	double received = (double)(b->received - a->received), lost = (double)(b->lost - a->lost);
	double kept = (double)(b->kept_back - a->kept_back), late = (double)(b->late - a->late);
	double bytes = received * o->size_bytes, offered = received + lost + kept;

	bench_say("goodput", bytes * 8 / seconds / 1e9, 3, "Gbit/s");
	bench_say("lost", offered > 0 ? (lost + kept) * 100 / offered : 0, 2, "%");
	if (kept > 0)
		bench_say("of these not taken by the server's socket", kept * 100 / offered, 2, "%");
	if (late > 0)
		bench_say("not offered, load too slow", late * 100 / (offered + late), 2, "%");
	if (o->pid > 0) {
		if (bytes > 0)
			bench_say("server cpu", u->server / bytes * 1e9, 2, "s/GB");
		bench_say("server core", u->server / seconds * 100, 0, "%");
	}
	if (o->has_delays) {
		bench_say("delay p50", bench_samples_quantile(&load.delay_ms, 0.5), 0, "ms");
		bench_say("delay p99", bench_samples_quantile(&load.delay_ms, 0.99), 0, "ms");
		bench_say("disco delay p50", bench_samples_quantile(&load.disco_ms, 0.5), 0, "ms");
		bench_say("disco delay p99", bench_samples_quantile(&load.disco_ms, 0.99), 0, "ms");
	}
	if (o->mode == RELAY_WINDOW && !o->has_probe)
		bench_say("load core", u->own / seconds * 100, 0, "%");
}

static void
report_probe(struct probe *q)
{
	struct bench_samples *s = &q->round_trip_us;

	bench_say("round trip p50", bench_samples_quantile(s, 0.5), 0, "us");
	bench_say("round trip p99", bench_samples_quantile(s, 0.99), 0, "us");
	bench_say("round trip p99.9", bench_samples_quantile(s, 0.999), 0, "us");
	bench_say("round trip max", bench_samples_quantile(s, 1), 0, "us");
	bench_say("round trips measured", (double)s->n, 0, "");
	if (q->lost > 0)
		bench_say("probes lost", (double)q->lost, 0, "");
}

static void
tear_down(void)
{
	for (unsigned i = 0; i < load.o->pairs; i++) {
		derp_pool_close(&load.pool, &load.pairs[i].src);
		derp_pool_close(&load.pool, &load.pairs[i].dst);
		free(load.pairs[i].frame);
		free(load.pairs[i].disco);
	}
	derp_pool_close(&load.pool, &load.probe.near);
	derp_pool_close(&load.pool, &load.probe.far);
	free(load.probe.there);
	free(load.probe.back);
	bench_samples_fini(&load.probe.round_trip_us);
	bench_samples_fini(&load.delay_ms);
	bench_samples_fini(&load.disco_ms);
	free(load.pairs);
	derp_pool_fini(&load.pool);
}

void
relay_load_run(const struct relay_options *o)
{
	load = (struct load){ .o = o };
	label_lines();
	set_up();
	run_until(bench_now_ns() + o->warmup_ms * BENCH_NS_PER_MS);
	struct totals before = count();
	struct usage u, u0 = usage_now();
	int64_t begin_ns = bench_now_ns();
	load.is_measuring = true;
	run_until(begin_ns + o->seconds * BENCH_NS_PER_S);
	load.is_measuring = false;
	double seconds = (double)(bench_now_ns() - begin_ns) / 1e9;
	u = usage_now();
	u = (struct usage){ u.server - u0.server, u.own - u0.own, u.machine - u0.machine };
	struct totals after = count();
	if (o->mode != RELAY_QUIET)
		report_load(&before, &after, seconds, &u);
	if (o->has_probe)
		report_probe(&load.probe);
	if (o->pid > 0)
		bench_say("other processes", (u.machine - u.server - u.own) / seconds * 100, 0, "% of a core");
	if (load.pool.failed > 0)
		bench_say("connections cut", (double)load.pool.failed, 0, "");
	tear_down();
}
