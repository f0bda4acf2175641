/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* Snapshots of who uses the relay: exact counts, drops by reason, home moves, several connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>

#include "tests/unit/relay_fixture.h"

static struct mbox *home;
static struct event_base *base;
static unsigned n_answers;
static bool was_void;
static struct relay_insight seen;
static struct relay_insight_node nodes[RELAY_INSIGHT_MAX];
static struct relay_insight_pair pairs[RELAY_INSIGHT_MAX];

static void
on_insight(void *arg, const struct relay_insight *in)
{
	assert_ptr_equal(arg, &seen);
	n_answers++;
	was_void = in == NULL;
	if (in == NULL)
		return;
	seen = *in;
	memcpy(nodes, in->nodes, in->n_nodes * sizeof *nodes);
	memcpy(pairs, in->pairs, in->n_pairs * sizeof *pairs);
}

static void
ask_with(size_t nodes_max, size_t pairs_max, int64_t window_ms)
{
	unsigned before = n_answers;

	relay_insight(net.relay, &(struct relay_insight_ask){ .mbox = home, .nodes_max = nodes_max,
		.pairs_max = pairs_max, .window_ms = window_ms, .fn = on_insight, .arg = &seen });
	net_turn(&net);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_answers, before + 1);
	assert_false(was_void);
}

static void
ask(void)
{
	ask_with(RELAY_INSIGHT_MAX, RELAY_INSIGHT_MAX, 0);
}

static const struct relay_insight_node *
node_of(const struct peer *p)
{
	for (size_t i = 0; i < seen.n_nodes; i++) {
		if (memcmp(nodes[i].key.b, p->key.b, KEY_BYTES) == 0)
			return &nodes[i];
	}
	fail_msg("the node is not in the snapshot");
	return NULL;
}

static const struct relay_insight_pair *
pair_of(const struct peer *from, const struct peer *to)
{
	for (size_t i = 0; i < seen.n_pairs; i++) {
		if (memcmp(pairs[i].from.b, from->key.b, KEY_BYTES) == 0 &&
		    memcmp(pairs[i].to.b, to->key.b, KEY_BYTES) == 0)
			return &pairs[i];
	}
	return NULL;
}

static void
send_some(struct peer *from, struct peer *to, unsigned n, size_t n_packet)
{
	static uint8_t packet[2000];

	for (unsigned i = 0; i < n; i++) {
		peer_send_packet(from, &to->key, packet, n_packet);
		peer_expect_packet(to, &from->key, packet, n_packet);
	}
}

/* What is counted, for receivers on the same worker and on another one. */
static void
test_counts(void **state)
{
	const struct relay_insight_node *x;
	struct peer a, b, c, idle, stranger;
	uint8_t disco[62];

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 1);
	peer_open(&c, &net, 0);
	peer_open(&idle, &net, 1);
	peer_keys(&stranger);
	ask();
	assert_int_equal(seen.n_connected, 4);
	assert_int_equal(seen.n_pairs, 0);
	assert_int_equal(node_of(&a)->tally.used_ms, 0);
	send_some(&a, &b, 7, 1000);
	send_some(&a, &c, 2, 10);
	send_some(&b, &a, 3, 100);
	disco_put(disco, 1);
	peer_send_packet(&a, &b.key, disco, sizeof disco);
	peer_expect_packet(&b, &a.key, disco, sizeof disco);
	peer_send_packet(&a, &stranger.key, "x", 1);
	ask();
	assert_int_equal(seen.n_nodes, 4);
	x = node_of(&a);
	assert_int_equal(x->tally.packets_in, 7 + 2 + 1 + 1);
	assert_int_equal(x->tally.bytes_in, 7000 + 20 + 62 + 1);
	assert_int_equal(x->tally.packets_out, 3);
	assert_int_equal(x->tally.bytes_out, 300);
	assert_int_equal(x->tally.dropped_unknown, 1);
	assert_int_equal(x->n_conns, 1);
	assert_int_equal(x->addr.ip.b[0], 192);
	assert_int_equal(node_of(&b)->tally.packets_out, 8);
	assert_int_equal(node_of(&b)->tally.bytes_out, 7062);
	assert_int_equal(node_of(&c)->tally.bytes_out, 20);
	assert_int_equal(node_of(&idle)->tally.bytes_in + node_of(&idle)->tally.bytes_out, 0);
	assert_memory_equal(nodes[0].key.b, a.key.b, KEY_BYTES);	/* most bytes first */
	assert_int_equal(seen.n_pairs, 3);
	assert_int_equal(pair_of(&a, &b)->packets, 8);
	assert_int_equal(pair_of(&a, &b)->bytes, 7062);
	assert_int_equal(pair_of(&b, &a)->bytes, 300);
	assert_null(pair_of(&c, &a));
	assert_memory_equal(pairs[0].to.b, b.key.b, KEY_BYTES);
	peer_close(&b);
	net_turn(&net);
	ask();
	assert_int_equal(seen.n_nodes, 3);
	assert_int_equal(seen.n_pairs, 1);	/* a to c */
	peer_close(&a);
	peer_close(&c);
	peer_close(&idle);
}

/* Runs that are long enough to be sealed from where they lie. */
static void
test_counts_direct(void **state)
{
	static uint8_t frames[8 * 1400];
	static uint8_t packet[1300];
	struct peer a, b;
	size_t n = 0;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 0);
	for (unsigned i = 0; i < 8; i++)
		n += packet_put(frames + n, &b.key, packet, sizeof packet);
	peer_send(&a, frames, n);
	for (unsigned i = 0; i < 8; i++)
		peer_expect_packet(&b, &a.key, packet, sizeof packet);
	ask();
	assert_int_equal(node_of(&b)->tally.packets_out, 8);
	assert_int_equal(node_of(&b)->tally.bytes_out, 8 * sizeof packet);
	assert_int_equal(pair_of(&a, &b)->packets, 8);
	assert_int_equal(pair_of(&a, &b)->bytes, 8 * sizeof packet);
	peer_close(&a);
	peer_close(&b);
}

/* A receiver that does not read: what is dropped is its, and what waits is told. */
static void
test_drops_and_delays(void **state)
{
	static uint8_t packet[4000];
	int64_t head = metric_get(METRIC_DERP_DROP_HEAD_OTHER), late = metric_get(METRIC_DERP_DELAY_256MS);
	const unsigned n = 200;
	struct peer a, b;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 0);
	for (unsigned i = 0; i < n; i++)
		peer_send_packet(&a, &b.key, packet, sizeof packet);
	ask();
	const struct relay_insight_node *x = node_of(&b);
	assert_int_equal(x->tally.dropped_head, metric_get(METRIC_DERP_DROP_HEAD_OTHER) - head);
	assert_true(x->tally.dropped_head > 50);
	assert_true(x->queued_bytes > NET_QUEUE_BYTES / 2 && x->queued_bytes <= NET_QUEUE_BYTES);
	assert_int_equal(node_of(&a)->tally.dropped_head, 0);
	assert_int_equal(pair_of(&a, &b)->packets, n);
	/* What the receiver takes after 200 ms has waited between 128 and 256 ms. */
	net_advance(&net, 200);
	for (unsigned left = n - (unsigned)x->tally.dropped_head; left > 0; left--)
		peer_expect_packet(&b, &a.key, packet, sizeof packet);
	ask();
	assert_int_equal(node_of(&b)->tally.packets_out + node_of(&b)->tally.dropped_head, n);
	assert_true(metric_get(METRIC_DERP_DELAY_256MS) - late > 50);
	assert_int_equal(node_of(&b)->queued_bytes, 0);
	peer_close(&a);
	peer_close(&b);
}

static void
test_home_moves(void **state)
{
	struct peer a;

	(void)state;
	peer_open(&a, &net, 0);
	peer_send(&a, "\x07\0\0\0\x01\x01", 6);
	ask();
	assert_true(node_of(&a)->is_home);
	assert_int_equal(node_of(&a)->tally.home_moves, 0);	/* its first choice is no move */
	net_advance(&net, 10000);
	peer_send(&a, "\x07\0\0\0\x01\x00", 6);
	peer_send(&a, "\x07\0\0\0\x01\x01", 6);
	peer_send(&a, "\x07\0\0\0\x01\x00", 6);
	ask();
	assert_false(node_of(&a)->is_home);
	assert_int_equal(node_of(&a)->tally.home_moves, 3);
	peer_close(&a);
}

/* Two connections of a key are one node, and so are its pairs. */
static void
test_same_key(void **state)
{
	struct peer a, again, b;

	(void)state;
	peer_open(&b, &net, 1);
	peer_open(&a, &net, 0);
	again = a;
	again.in = (struct buf){ .p = NULL };
	send_some(&a, &b, 2, 50);
	peer_connect(&again, &net, 1);
	send_some(&again, &b, 3, 50);
	ask();
	assert_int_equal(seen.n_connected, 2);
	assert_int_equal(node_of(&a)->n_conns, 2);
	assert_int_equal(node_of(&a)->tally.packets_in, 5);
	assert_int_equal(seen.n_pairs, 1);
	assert_int_equal(pair_of(&a, &b)->bytes, 250);
	peer_close(&a);
	peer_close(&again);
	peer_close(&b);
}

/* Only the largest are told, and only pairs that were used of late. */
static void
test_bounds(void **state)
{
	struct peer p[12];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(p); i++)
		peer_open(&p[i], &net, i);
	for (unsigned i = 1; i < COUNT_OF(p); i++)
		send_some(&p[0], &p[i], 1, 100 + (i * 7) % 12);
	ask_with(3, 4, 0);
	assert_int_equal(seen.n_connected, COUNT_OF(p));
	assert_int_equal(seen.n_nodes, 3);
	assert_int_equal(seen.n_pairs, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pairs[i].bytes, 111 - i);
	net_advance(&net, 5000);
	send_some(&p[0], &p[2], 1, 1);
	ask_with(3, 4, 2000);
	assert_int_equal(seen.n_pairs, 1);
	assert_non_null(pair_of(&p[0], &p[2]));
	ask_with(0, 0, 0);
	assert_int_equal(seen.n_nodes + seen.n_pairs, 0);
	for (unsigned i = 0; i < COUNT_OF(p); i++)
		peer_close(&p[i]);
}

/* Who asks a relay that stops is told so. */
static void
test_stopping(void **state)
{
	unsigned before = n_answers;

	(void)state;
	relay_insight(net.relay, &(struct relay_insight_ask){ .mbox = home, .fn = on_insight, .arg = &seen });
	worker_group_stop(net.g);
	relay_insight(net.relay, &(struct relay_insight_ask){ .mbox = home, .fn = on_insight, .arg = &seen });
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_answers, before + 2);
	assert_true(was_void);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(test_counts), TWO(test_counts), ONE(test_counts_direct),
		ONE(test_drops_and_delays), ONE(test_home_moves), TWO(test_same_key),
		ONE(test_bounds), TWO(test_bounds), TWO(test_stopping),
	};
	int failed;

	base = event_base_new();
	home = mbox_new(base, NULL, 1000);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mbox_close(home);
	mbox_free(home);
	event_base_free(base);
	return failed;
}
