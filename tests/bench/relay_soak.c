/*
 * A relay over a long time: clients that do nothing, pairs that send a little, and guests of every kind
 * that come and go: some only connect, some say nothing, some stop reading while others flood them, some
 * tell lies. The server's memory and descriptors are said again and again, and by how much they grew.
 */
#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/wire.h"
#include "relay/derp_frame.h"
#include "tests/bench/bench.h"
#include "tests/bench/relay_bench.h"

#define CONNECT_S	300
#define SAY_NS		(30 * BENCH_NS_PER_S)
#define SETTLED_NS	(60 * BENCH_NS_PER_S)	/* growth is counted from here */
#define LEAVE_NS	(15 * BENCH_NS_PER_S)	/* longer than the server's deadline for a greeting */
#define AGAIN_NS	(200 * BENCH_NS_PER_MS)	/* until a guest comes back */
#define LOST_NS		(2 * BENCH_NS_PER_S)	/* a packet under way at the end is not lost */
#define PAIR_BURST	4
#define FLOODERS	4
#define FLOOD_BURST	32
#define FLOOD_EVERY_NS	(10 * BENCH_NS_PER_S)	/* they flood in the first second of these */
#define FLOOD_BYTES	1280
#define LIE_BYTES_MAX	2048
#define DELAY_EVERY	8			/* of so many packets one is timed */

/* What guests do behind their connection, and for how long: lifetime and, at random, so much more. */
enum role { COMES_AND_GOES, SILENT_TCP, SILENT_TLS, SILENT_DERP, STUCK, LIAR, ROLES };

static const struct {
	const char *name;
	unsigned n;
	int64_t life_ms, more_ms;
} roles[ROLES] = {
	[COMES_AND_GOES] = { "come and go", 60, 1000, 4000 },
	[SILENT_TCP] = { "silent after TCP", 20, 30000, 10000 },
	[SILENT_TLS] = { "silent after TLS", 20, 30000, 10000 },
	[SILENT_DERP] = { "silent in the greeting", 20, 30000, 10000 },
	[STUCK] = { "read nothing", FLOODERS / 2, 30000, 10000 },
	[LIAR] = { "lie", 30, 3000, 3000 },
};

/* A frame that a client must not send: type, length in its head, bytes of rubbish behind it. */
static const struct {
	uint8_t type;
	uint32_t len, n;
} lies[] = {
	{ DERP_FRAME_SEND_PACKET, 0xffffff, 2000 },
	{ DERP_FRAME_SEND_PACKET, 10, 10 },
	{ DERP_FRAME_SEND_PACKET, 300, 300 },		/* to a key that nobody has */
	{ DERP_FRAME_SEND_PACKET, 1000, 500 },		/* never ends */
	{ DERP_FRAME_FORWARD_PACKET, 200, 200 },
	{ DERP_FRAME_WATCH_CONNS, 0, 0 },
	{ DERP_FRAME_CLOSE_PEER, 32, 32 },
	{ DERP_FRAME_CLIENT_INFO, 100, 100 },
	{ DERP_FRAME_PING, 1, 1 },
	{ DERP_FRAME_PING, 0x7fffffff, 2000 },
	{ 0xee, 0xffffffff, 2000 },
};

struct guest {
	struct derp_client c;
	enum role role;
	bool has_begun;			/* greeted, and did what it came for */
	int64_t at_ns;			/* CLOSED: when it comes back; otherwise when it goes */
};

struct pair {
	struct derp_client src, dst;
	uint8_t *frame;
	uint64_t sent, received;
	int64_t next_ns;
};

struct flooder {
	struct derp_client src, dst;	/* dst: of those whose receiver reads */
	struct guest *stuck;		/* instead, of the others */
	uint8_t *frame;
	uint64_t sent;
};

struct soak {
	const struct relay_options *o;
	struct link_target plain;
	struct derp_pool good, bad;	/* who is never to be closed by the server, and the rest */
	struct derp_client *idle;
	struct pair *pairs;
	struct guest *guests;
	unsigned n_guests;
	struct flooder flooders[FLOODERS];
	struct bench_samples delay_us;
	int64_t now_ns, interval_ns;
	uint64_t visits[ROLES];
};

static struct soak soak;

static unsigned
descriptors(pid_t pid)
{
	char path[40];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	if ((d = opendir(path)) == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;			/* "." and ".." */
}

/* --- pairs ------------------------------------------------------------------------------------ */

static void
flush(struct derp_client *c)
{
	if (link_flush(&c->link) != ERR_OK) {
		soak.good.failed++;
		derp_pool_close(&soak.good, c);
		return;
	}
	derp_pool_update(&soak.good, c);
}

static void
on_pair_packet(struct derp_client *c, const uint8_t *p, size_t n)
{
	struct pair *q = c->arg;

	(void)n;
	q->received++;
	if (q->received % DELAY_EVERY == 0)
		bench_samples_add(&soak.delay_us,
		    (double)(bench_now_ns() - (int64_t)wire_u64be(p + 8)) / 1e3);
}

static void
put(struct derp_client *c, uint8_t *frame, size_t n, uint64_t seq)
{
	wire_put_u64be(frame + DERP_CLIENT_STAMP_AT, seq);
	wire_put_u64be(frame + DERP_CLIENT_STAMP_AT + 8, (uint64_t)bench_now_ns());
	link_put(&c->link, frame, DERP_CLIENT_STAMP_AT + n);
}

static void
serve_pair(struct pair *q)
{
	unsigned n = 0;

	if (q->src.link.state != LINK_OPEN)
		return;
	while (q->next_ns <= soak.now_ns && n < PAIR_BURST && !link_is_blocked(&q->src.link)) {
		put(&q->src, q->frame, soak.o->size_bytes, q->sent++);
		q->next_ns += soak.interval_ns;
		n++;
	}
	if (q->next_ns <= soak.now_ns)		/* this machine was busy: what was missed is not offered */
		q->next_ns = soak.now_ns + soak.interval_ns;
	if (n > 0)
		flush(&q->src);
}

/* Half of them to receivers that read, the others to guests that do not. */
static void
serve_flooder(struct flooder *f)
{
	const struct derp_client *to = f->stuck != NULL ? &f->stuck->c : &f->dst;

	if (f->src.link.state != LINK_OPEN || to->link.state != LINK_OPEN)
		return;
	memcpy(f->frame + DERP_FRAME_HDR_BYTES, to->key.b, KEY_BYTES);
	for (unsigned i = 0; i < FLOOD_BURST && !link_is_blocked(&f->src.link); i++)
		put(&f->src, f->frame, FLOOD_BYTES, f->sent++);
	flush(&f->src);
}

/* --- guests ----------------------------------------------------------------------------------- */

static void
guest_come(struct guest *g)
{
	g->has_begun = false;
	g->c.silence = g->role == SILENT_DERP ? DERP_CLIENT_NO_INFO :
	    g->role == SILENT_TCP || g->role == SILENT_TLS ? DERP_CLIENT_NO_UPGRADE : DERP_CLIENT_SPEAKS;
	g->at_ns = soak.now_ns + AGAIN_NS;
	if (derp_client_connect(&g->c, g->role == SILENT_TCP ? &soak.plain : &soak.o->target) != ERR_OK)
		return;
	soak.visits[g->role]++;
	g->at_ns = soak.now_ns + (roles[g->role].life_ms +
	    (int64_t)randombytes_uniform((uint32_t)roles[g->role].more_ms)) * BENCH_NS_PER_MS;
	derp_pool_update(&soak.bad, &g->c);
}

static void
guest_lie(struct guest *g)
{
	size_t which = soak.visits[LIAR] % COUNT_OF(lies);
	uint8_t p[DERP_FRAME_HDR_BYTES + LIE_BYTES_MAX];

	derp_frame_put_hdr(p, lies[which].type, lies[which].len);
	randombytes_buf(p + DERP_FRAME_HDR_BYTES, lies[which].n);
	link_write(&g->c.link, p, DERP_FRAME_HDR_BYTES + lies[which].n);
	if (link_flush(&g->c.link) != ERR_OK)
		derp_pool_close(&soak.bad, &g->c);
	else
		derp_pool_update(&soak.bad, &g->c);
}

static void
serve_guest(struct guest *g)
{
	if (g->c.link.state == LINK_CLOSED) {
		if (g->at_ns > soak.now_ns + AGAIN_NS)	/* the server closed it */
			g->at_ns = soak.now_ns + AGAIN_NS;
		if (g->at_ns <= soak.now_ns)
			guest_come(g);
		return;
	}
	if (g->at_ns <= soak.now_ns) {
		derp_pool_close(&soak.bad, &g->c);
		g->at_ns = soak.now_ns + AGAIN_NS;
		return;
	}
	if (!g->c.is_ready || g->has_begun)
		return;
	g->has_begun = true;
	if (g->role == LIAR)
		guest_lie(g);
	else if (g->role == STUCK)
		derp_pool_ignore(&soak.bad, &g->c);
}

/* --- the run ---------------------------------------------------------------------------------- */

static void
connect_pairs(void)
{
	const struct relay_options *o = soak.o;
	struct derp_client *all = obj_alloc(2 * o->pairs * sizeof *all);

	derp_pool_connect(&soak.good, all, 2 * o->pairs, o->at_once, CONNECT_S);
	soak.pairs = obj_alloc(o->pairs * sizeof *soak.pairs);
	soak.interval_ns = (int64_t)(o->size_bytes * 8e3 * o->pairs / o->rate_mbit);
	for (unsigned i = 0; i < o->pairs; i++) {
		struct pair *q = &soak.pairs[i];

		q->src = all[2 * i];
		q->dst = all[2 * i + 1];
		q->dst.on_packet = on_pair_packet;
		q->dst.arg = q;
		q->frame = derp_client_frame_new(&q->dst, o->size_bytes);
		q->next_ns = bench_now_ns() + soak.interval_ns * i / o->pairs;
		derp_pool_moved(&soak.good, &q->src);
		derp_pool_moved(&soak.good, &q->dst);
	}
	free(all);
}

static void
set_up(void)
{
	const struct relay_options *o = soak.o;
	int64_t begin_ns = bench_now_ns();

	soak.plain = o->target;
	soak.plain.is_tls = false;
	derp_pool_init(&soak.good, &o->target);
	derp_pool_init(&soak.bad, &o->target);
	soak.bad.expects_ends = true;
	soak.idle = obj_alloc(o->idle * sizeof *soak.idle);
	derp_pool_connect(&soak.good, soak.idle, o->idle, o->at_once, CONNECT_S);
	connect_pairs();
	for (unsigned r = 0; r < ROLES; r++)
		soak.n_guests += roles[r].n;
	soak.guests = obj_alloc(soak.n_guests * sizeof *soak.guests);
	struct guest *first_stuck = soak.guests;
	for (unsigned r = 0, i = 0; r < ROLES; r++)
		for (unsigned k = 0; k < roles[r].n; k++)
			soak.guests[i++].role = (enum role)r;
	while (first_stuck->role != STUCK)
		first_stuck++;
	for (unsigned i = 0; i < FLOODERS; i++) {
		struct flooder *f = &soak.flooders[i];

		derp_pool_connect(&soak.good, &f->src, 1, 1, CONNECT_S);
		derp_pool_connect(&soak.good, &f->dst, 1, 1, CONNECT_S);
		f->frame = derp_client_frame_new(&f->dst, FLOOD_BYTES);
		if (i % 2 == 1)
			f->stuck = first_stuck + i / 2;
	}
	bench_say("connected after", (double)(bench_now_ns() - begin_ns) / 1e9, 1, "s");
}

static void
turn(bool sends)
{
	derp_pool_turn(&soak.good, 1);
	derp_pool_turn(&soak.bad, 0);
	soak.now_ns = bench_now_ns();
	if (!sends)
		return;
	for (unsigned i = 0; i < soak.o->pairs; i++)
		serve_pair(&soak.pairs[i]);
	for (unsigned i = 0; i < soak.n_guests; i++)
		serve_guest(&soak.guests[i]);
}

static void
say_state(const char *when, double *rss, unsigned *n_fds)
{
	char what[64];

	*rss = bench_rss_bytes(soak.o->pid);
	*n_fds = descriptors(soak.o->pid);
	snprintf(what, sizeof what, "%s, server memory", when);
	bench_say(what, *rss / 1048576, 2, "MiB");
	snprintf(what, sizeof what, "%s, server descriptors", when);
	bench_say(what, *n_fds, 0, "");
}

static void
run(void)
{
	int64_t begin_ns = bench_now_ns(), end_ns = begin_ns + soak.o->soak_s * BENCH_NS_PER_S;
	int64_t say_ns = begin_ns + SAY_NS;
	double rss = 0, rss_settled = 0, cpu_s = bench_cpu_s(soak.o->pid);
	unsigned n_fds, n_fds_settled = 0;
	char when[32];

	while (soak.now_ns < end_ns) {
		turn(true);
		if ((soak.now_ns - begin_ns) % FLOOD_EVERY_NS < BENCH_NS_PER_S)
			for (unsigned i = 0; i < FLOODERS; i++)
				serve_flooder(&soak.flooders[i]);
		if (soak.now_ns < say_ns && soak.now_ns < end_ns)
			continue;
		snprintf(when, sizeof when, "after %lld s",
		    (long long)((soak.now_ns - begin_ns) / BENCH_NS_PER_S));
		say_state(when, &rss, &n_fds);
		if (rss_settled == 0 && (soak.now_ns - begin_ns >= SETTLED_NS || soak.o->soak_s <= 60)) {
			rss_settled = rss;
			n_fds_settled = n_fds;
		}
		say_ns += SAY_NS;
	}
	bench_say("from minute 1 to the end, server memory grew", (rss - rss_settled) / 1048576, 2, "MiB");
	bench_say("from minute 1 to the end, server descriptors grew", (double)n_fds - n_fds_settled, 0, "");
	bench_say("server core", (bench_cpu_s(soak.o->pid) - cpu_s) * 100 / soak.o->soak_s, 0, "%");
}

static void
report(void)
{
	uint64_t sent = 0, received = 0, flood = 0;
	char what[64];

	for (unsigned i = 0; i < soak.o->pairs; i++) {
		sent += soak.pairs[i].sent;
		received += soak.pairs[i].received;
	}
	for (unsigned i = 0; i < FLOODERS; i++)
		flood += soak.flooders[i].sent;
	bench_say("pairs, packets sent", (double)sent, 0, "");
	bench_say("pairs, lost", sent > 0 ? (double)(sent - received) * 100 / (double)sent : 0, 3, "%");
	bench_say("pairs, one way p50", bench_samples_quantile(&soak.delay_us, 0.5), 0, "us");
	bench_say("pairs, one way p99", bench_samples_quantile(&soak.delay_us, 0.99), 0, "us");
	bench_say("flooders, packets sent", (double)flood, 0, "");
	for (unsigned r = 0; r < ROLES; r++) {
		snprintf(what, sizeof what, "guests that %s", roles[r].name);
		bench_say(what, (double)soak.visits[r], 0, "");
	}
	bench_say("guests that the server closed", (double)soak.bad.failed, 0, "");
	bench_say("healthy connections cut", (double)soak.good.failed, 0, "");
}

static void
turn_for(int64_t ns)
{
	int64_t end_ns = bench_now_ns() + ns;

	while (bench_now_ns() < end_ns)
		turn(false);
}

static void
tear_down(void)
{
	for (unsigned i = 0; i < soak.o->idle; i++)
		derp_pool_close(&soak.good, &soak.idle[i]);
	for (unsigned i = 0; i < soak.o->pairs; i++) {
		derp_pool_close(&soak.good, &soak.pairs[i].src);
		derp_pool_close(&soak.good, &soak.pairs[i].dst);
		free(soak.pairs[i].frame);
	}
	for (unsigned i = 0; i < soak.n_guests; i++)
		derp_pool_close(&soak.bad, &soak.guests[i].c);
	for (unsigned i = 0; i < FLOODERS; i++) {
		derp_pool_close(&soak.good, &soak.flooders[i].src);
		derp_pool_close(&soak.good, &soak.flooders[i].dst);
		free(soak.flooders[i].frame);
	}
	turn_for(LEAVE_NS);
	free(soak.idle);
	free(soak.pairs);
	free(soak.guests);
	bench_samples_fini(&soak.delay_us);
	derp_pool_fini(&soak.good);
	derp_pool_fini(&soak.bad);
}

void
relay_soak_run(const struct relay_options *o)
{
	double rss;
	unsigned n_fds;

	soak = (struct soak){ .o = o };
	bench_label("%s soak idle=%u busy=%u offered=%uMbit/s", o->name, o->idle, 2 * o->pairs, o->rate_mbit);
	say_state("before", &rss, &n_fds);
	set_up();
	run();
	turn_for(LOST_NS);
	report();
	tear_down();
	say_state("after all have left", &rss, &n_fds);
}
