/*
 * The DERP relay and STUN server: public face.
 *
 * A DERP connection lives on the worker where the door accepted it, and never leaves it. Frames
 * are parsed in place in the worker's scratch buffer; a packet is copied once, into the output
 * queue of its receiver; at the end of the turn every receiver that got something is flushed
 * with as few, as large TLS records as possible. A receiver on another worker gets its packets
 * by one message per turn. Nothing here waits for the coordinator or the disk.
 *
 * Who may use it: node keys that relay_admit named (when config.derp.verify_clients), and other relays
 * of the region, which prove the mesh key. What is shared between threads is in derp_route (which keys
 * are admitted, key -> conn_ref) and the list of watchers in derp_watch.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/config.h"
#include "base/io.h"
#include "base/key.h"
#include "base/worker.h"
#include "relay/insight.h"
#include "relay/quota.h"

struct relay;

/* Main thread, before the workers start. key: the relay's own (copied). cfg and g are borrowed.
 * Always ERR_OK. */
enum err relay_new(const struct config *cfg, struct worker_group *g,
	const struct private_key *key, struct relay **out) MUST_USE;
void relay_free(struct relay *r);		/* after the workers stopped; NULL is fine */
void relay_public_key(const struct relay *r, uint8_t out[KEY_BYTES]);
/* Where its connections live; borrowed. */
struct worker_group *relay_workers(struct relay *r);

enum relay_how {
	RELAY_FAST_START = 1,	/* "Derp-Fast-Start: 1", or a WebSocket: no HTTP answer is wanted */
	RELAY_NOT_IDEAL = 2,	/* "Ideal-Node: …": the client would rather be elsewhere */
};

/* Takes a connection whose upgrade request was read (bytes behind it are unread in io). how: some of
 * enum relay_how; without RELAY_FAST_START the 101 is written here. On io's worker. Failures close the
 * connection. */
void relay_attach_take(struct relay *r, struct io *io, unsigned how);

/* Are its queues full (config.limits.relay_memory_bytes)? Then a new client is better turned away. Counts
 * it and, now and then, logs it. Any thread. */
bool relay_is_full(struct relay *r);

/* Reads the mesh key and prepares the links to the other relays of the region (config.derp.mesh_*);
 * nothing to do without a key. ERR_IO or ERR_INVAL with *why. Main thread, before the workers start. */
enum err relay_mesh_open(struct relay *r, struct err_text *why) MUST_USE;

/* Admission of a node key; expel also closes its connections (derper never re-checks, we do).
 * Any thread, never waits for longer than a table operation. */
void relay_admit(struct relay *r, const struct node_key *key);
void relay_expel(struct relay *r, const struct node_key *key);

/* Is a client of that key connected here or to another relay of the region? Any thread. */
bool relay_has(struct relay *r, const struct node_key *key);

/* What an admitted key may send from now on: one reference is taken over; NULL: as much as it likes.
 * Any thread, as above. */
void relay_quota_take(struct relay *r, const struct node_key *key, struct quota_set *quotas);
/* Not admitted any more, but its connections stay. Any thread. */
void relay_retire(struct relay *r, const struct node_key *key);
/* Everybody is admitted, until false. Any thread. */
void relay_admit_all(struct relay *r, bool is_on);
/* Closes connections whose key is not admitted: those that came meanwhile. Any thread. */
void relay_expel_strangers(struct relay *r);

/* The key of the region's mesh and the other relays, n of them in the form of
 * relay/derp_mesh_target.h, from now on: links to others end, new ones are dialled. Not together with
 * config.derp.mesh_key_file. What is none of that form is left out, and logged. Any thread, one at
 * a time; takes effect once the workers run. */
void relay_mesh_set(struct relay *r, const uint8_t key[KEY_BYTES], const char *const *targets, unsigned n);

/* STUN on config.listen_stun: sockets polled by worker 0. ERR_IO with *why. Main thread, before
 * the workers start. */
enum err relay_stun_listen(struct relay *r, struct err_text *why) MUST_USE;
uint16_t relay_stun_port(const struct relay *r);	/* of the first, 0: none */
/* Its sockets, at most max of them; borrowed. Returns how many. */
unsigned relay_stun_sockets(const struct relay *r, int *out, unsigned max);
void relay_stun_close(struct relay *r);			/* main thread, after the workers stopped */

#endif
