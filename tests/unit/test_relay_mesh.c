/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* Mesh peers that watch and forward, on two workers, so that what happens on one is told on the
 * other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/relay_mesh_net.h"

/* --- mesh peers ------------------------------------------------------------------------------- */

static void
test_rights(void **state)
{
	static const struct { enum derp_frame_type type; size_t n; } frames[] = {
		{ DERP_FRAME_WATCH_CONNS, 0 }, { DERP_FRAME_CLOSE_PEER, 32 },
		{ DERP_FRAME_FORWARD_PACKET, 70 },
	}, broken[] = {
		{ DERP_FRAME_WATCH_CONNS, 1 }, { DERP_FRAME_CLOSE_PEER, 31 },
		{ DERP_FRAME_FORWARD_PACKET, 63 },
		{ DERP_FRAME_FORWARD_PACKET, 65 + DERP_FRAME_PACKET_MAX_BYTES },
	};
	static uint8_t zeros[1 << 17];
	uint8_t wrong[KEY_BYTES];
	struct peer p;

	(void)state;
	memcpy(wrong, mesh_key, sizeof wrong);
	wrong[31] ^= 1;
	peer_keys(&p);
	mesh_hello(&p, 0, wrong);		/* a stranger like any other */
	peer_expect_closed(&p);
	peer_close(&p);
	for (size_t i = 0; i < COUNT_OF(frames); i++) {
		client_open(&p, (unsigned)i);
		frame_send(&p, frames[i].type, zeros, frames[i].n);
		peer_expect_closed(&p);
		peer_close(&p);
	}
	for (size_t i = 0; i < COUNT_OF(broken); i++) {
		mesh_open(&p, (unsigned)i);
		uint8_t head[DERP_FRAME_HDR_BYTES];

		derp_frame_put_hdr(head, broken[i].type, (uint32_t)broken[i].n);
		peer_send(&p, head, sizeof head);
		peer_expect_closed(&p);
		peer_close(&p);
	}
}

static void
test_watch(void **state)
{
	struct peer before, later, twin, watcher, other;

	(void)state;
	client_open(&before, 0);
	mesh_open(&watcher, 1);
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);	/* once is enough */
	expect_present(&watcher, &before.key, DERP_FRAME_PRESENT_REGULAR);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 1);
	client_open(&later, 0);
	expect_present(&watcher, &later.key, DERP_FRAME_PRESENT_REGULAR);
	twin = later;
	twin.fd = -1;
	twin.in = (struct buf){ .p = NULL };
	peer_connect(&twin, &net, 1);
	expect_present(&watcher, &later.key, DERP_FRAME_PRESENT_REGULAR);	/* each new connection */
	peer_close(&later);
	peer_expect_nothing(&watcher);		/* the key is still here */
	peer_close(&twin);
	peer_expect_gone(&watcher, &later.key, DERP_FRAME_GONE_DISCONNECTED);
	mesh_open(&other, 0);
	expect_present(&watcher, &other.key, DERP_FRAME_PRESENT_MESH);
	frame_send(&other, DERP_FRAME_WATCH_CONNS, NULL, 0);
	peer_recv(&other);
	peer_close(&watcher);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 1);
	peer_close(&other);
	peer_close(&before);
}

/* What changed while the watcher did not read comes as it is in the end, every key once. */
static void
test_watch_many(void **state)
{
	enum { N = 400 };
	static struct peer clients[N];
	static bool is_present[N], was_told[N];
	struct peer watcher;
	unsigned n_told = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		client_open(&clients[i], i);
	mesh_open(&watcher, 0);
	/* its socket is small: most of it waits in the relay */
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);
	for (unsigned i = 0; i < N; i += 2)
		peer_close(&clients[i]);
	while (n_told < N) {
		uint8_t payload[64];
		struct derp_frame_hdr h = peer_frame(&watcher, payload, sizeof payload);
		unsigned i = 0;

		while (i < N && memcmp(clients[i].key.b, payload, KEY_BYTES) != 0)
			i++;
		assert_true(i < N);
		is_present[i] = h.type == DERP_FRAME_PEER_PRESENT;
		if (!was_told[i] && (i % 2 == 1 || !is_present[i])) {
			was_told[i] = true;
			n_told++;
		}
	}
	peer_expect_nothing(&watcher);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(is_present[i], i % 2);
		peer_close(&clients[i]);
	}
	peer_close(&watcher);
}

static void
test_forward_in(void **state)
{
	uint8_t disco[62] = "TS\xf0\x9f\x92\xac", *big = obj_alloc(DERP_FRAME_PACKET_MAX_BYTES);
	struct peer mesh, dst, far, nobody;

	(void)state;
	client_open(&dst, 1);
	mesh_open(&mesh, 0);
	peer_keys(&far);
	peer_keys(&nobody);
	forward_send(&mesh, &far.key, &dst.key, "one", 3);
	forward_send(&mesh, &far.key, &dst.key, "", 0);
	forward_send(&mesh, &nobody.key, &dst.key, disco, sizeof disco);
	peer_expect_packet(&dst, &far.key, "one", 3);
	peer_expect_packet(&dst, &far.key, "", 0);
	peer_expect_packet(&dst, &nobody.key, disco, sizeof disco);
	memset(big, 0x5a, DERP_FRAME_PACKET_MAX_BYTES);
	forward_send(&mesh, &far.key, &dst.key, big, DERP_FRAME_PACKET_MAX_BYTES);
	peer_expect_packet(&dst, &far.key, big, DERP_FRAME_PACKET_MAX_BYTES);
	free(big);
	int64_t discos = metric_get(METRIC_DERP_DROP_FWD_DISCO), data = metric_get(METRIC_DERP_DROP_FWD_OTHER);
	int64_t data_bytes = metric_get(METRIC_DERP_DROP_BYTES_FWD_OTHER);
	for (unsigned i = 0; i < 5; i++)
		forward_send(&mesh, &far.key, &nobody.key, disco, sizeof disco);
	forward_send(&mesh, &far.key, &nobody.key, "no disco", 8);
	for (unsigned i = 0; i < 3; i++)	/* limited as for clients */
		peer_expect_gone(&mesh, &nobody.key, DERP_FRAME_GONE_NOT_HERE);
	peer_expect_nothing(&mesh);
	assert_int_equal(metric_get(METRIC_DERP_DROP_FWD_DISCO) - discos, 5);
	assert_int_equal(metric_get(METRIC_DERP_DROP_FWD_OTHER) - data, 1);
	assert_int_equal(metric_get(METRIC_DERP_DROP_BYTES_FWD_OTHER) - data_bytes, 8);
	peer_close(&mesh);
	peer_close(&dst);
}

static void
test_close_peer(void **state)
{
	struct peer mesh, a, twin, b;

	(void)state;
	mesh_open(&mesh, 0);
	client_open(&a, 0);
	twin = a;
	twin.fd = -1;
	twin.in = (struct buf){ .p = NULL };
	peer_connect(&twin, &net, 1);
	client_open(&b, 1);
	frame_send(&mesh, DERP_FRAME_CLOSE_PEER, a.key.b, KEY_BYTES);
	peer_expect_closed(&a);
	peer_expect_closed(&twin);
	frame_send(&mesh, DERP_FRAME_CLOSE_PEER, a.key.b, KEY_BYTES);	/* nobody */
	peer_expect_nothing(&b);
	peer_close(&a);
	peer_close(&twin);
	peer_close(&b);
	peer_close(&mesh);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void
test_configuration(void **state)
{
	static char bad[] = "/tmp/test_relay_mesh_bad.XXXXXX";
	static char name[] = "derp2.example.org";
	char *with[] = { name };
	struct err_text why = { "" };
	int fd = mkstemp(bad);

	(void)state;
	net_open(&net, 1, false);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_OK);	/* no mesh */
	net.cfg.derp.mesh_with = (struct config_list){ .items = with, .n = 1 };
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_INVAL);
	assert_string_equal(why.s, "derp.mesh_with needs derp.mesh_key_file");
	net.cfg.derp.mesh_key_file = bad;
	assert_int_equal(dprintf(fd, "0123\n"), 5);
	close(fd);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_INVAL);
	unlink(bad);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_IO);
	assert_non_null(strstr(why.s, bad));
	net_close(&net);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_rights), T(test_watch), T(test_watch_many), T(test_forward_in), T(test_close_peer),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, write_key, remove_key);
}
