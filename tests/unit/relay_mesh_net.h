/* A relay with a mesh key on two workers, and mesh peers for it. cmocka is included before. */
#ifndef TESTS_UNIT_RELAY_MESH_NET_H
#define TESTS_UNIT_RELAY_MESH_NET_H

#include "tests/unit/relay_net.h"

static struct net net;
static uint8_t mesh_key[KEY_BYTES];
static char key_path[] = "/tmp/test_relay_mesh.XXXXXX";

static inline int
write_key(void **state)
{
	char hex[2 * KEY_BYTES + 1];
	int fd = mkstemp(key_path);

	(void)state;
	assert_true(fd >= 0);
	randombytes_buf(mesh_key, sizeof mesh_key);
	key_hex_put(mesh_key, KEY_BYTES, hex);
	assert_int_equal(dprintf(fd, "\n  %s \r\n", hex), 70);
	close(fd);
	return 0;
}

static inline int
remove_key(void **state)
{
	(void)state;
	return unlink(key_path);
}

static inline void
open_mesh(char **with, unsigned n_with)
{
	struct err_text why;

	net_open(&net, 2, false);
	net.cfg.derp.verify_clients = true;
	net.cfg.derp.mesh_key_file = key_path;
	net.cfg.derp.mesh_with = (struct config_list){ .items = with, .n = n_with };
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_OK);
}

static inline int
setup(void **state)
{
	(void)state;
	open_mesh(NULL, 0);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	net_close(&net);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 0);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_TOTAL), 0);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 0);
	assert_int_equal(metric_get(METRIC_DERP_LINKS), 0);
	return 0;
}

/* A client that is admitted first. */
static inline void
client_open(struct peer *p, unsigned worker)
{
	peer_keys(p);
	relay_admit(net.relay, &p->key);
	peer_connect(p, &net, worker);
}

static inline void
mesh_hello(struct peer *p, unsigned worker, const uint8_t key[KEY_BYTES])
{
	uint8_t hello[DERP_HELLO_CLIENT_MAX_BYTES];
	size_t n;

	peer_attach(p, &net, worker % 2, &(struct attach){ .is_fast_start = true });
	peer_expect_server_key(p);
	assert_int_equal(derp_hello_client_put(net.public_key, &p->priv, key, hello, &n), ERR_OK);
	peer_send(p, hello, n);
}

static inline void
mesh_open(struct peer *p, unsigned worker)
{
	peer_keys(p);
	mesh_hello(p, worker, mesh_key);
	peer_expect_server_info(p);
}

static inline void
frame_send(struct peer *p, enum derp_frame_type type, const void *payload, size_t n)
{
	uint8_t *frame = obj_alloc(DERP_FRAME_HDR_BYTES + n);

	derp_frame_put_hdr(frame, type, (uint32_t)n);
	if (n > 0)
		memcpy(frame + DERP_FRAME_HDR_BYTES, payload, n);
	peer_send(p, frame, DERP_FRAME_HDR_BYTES + n);
	free(frame);
}

static inline void
expect_present(struct peer *p, const struct node_key *key, uint8_t flags)
{
	uint8_t want[51] = { 0 };

	memcpy(want, key->b, KEY_BYTES);
	memcpy(want + 42, "\xff\xff\xc0\0\x02\x01\0\x07", 8);	/* ::ffff:192.0.2.1, port 7 */
	want[50] = flags;
	peer_expect(p, DERP_FRAME_PEER_PRESENT, want, sizeof want);
}

static inline void
forward_send(struct peer *p, const struct node_key *src, const struct node_key *dst, const void *packet,
	size_t n)
{
	uint8_t *payload = obj_alloc(2 * KEY_BYTES + n);

	memcpy(payload, src->b, KEY_BYTES);
	memcpy(payload + KEY_BYTES, dst->b, KEY_BYTES);
	memcpy(payload + 2 * KEY_BYTES, packet, n);
	frame_send(p, DERP_FRAME_FORWARD_PACKET, payload, 2 * KEY_BYTES + n);
	free(payload);
}

#endif
