/*
 * Links to the other relays of the region (Tailscale cmd/derper/mesh.go): we are their client, prove
 * the mesh key, watch who is connected there, and send them packets for those (ForwardPacket). They
 * do the same with us; both directions are links of their own.
 *
 * A link lives on one worker: it is dialled there (name, TCP, TLS, HTTP upgrade), and then is a
 * struct derp_conn like a client's, with the roles of both sides exchanged. All of it on that
 * worker's thread but for derp_mesh_open and derp_mesh_close.
 */
#ifndef RELAY_DERP_MESH_H
#define RELAY_DERP_MESH_H

#include "base/err.h"
#include "base/key.h"
#include "relay/derp_frame.h"

#define DERP_MESH_RETRY_MS	5000	/* after a link ended or did not come about */
#define DERP_MESH_DIAL_MS	10000	/* from the name to the upgrade */
#define DERP_MESH_SILENCE_MS	120000	/* keep-alives come twice as often */

struct derp_conn;
struct derp_link;
struct derp_shared;
struct derp_worker;

/* Reads config.derp.mesh_key_file and makes the links of mesh_with, which are dialled when the workers
 * run. ERR_IO or ERR_INVAL with *why. Main thread, before the workers start, once. */
enum err derp_mesh_open(struct derp_shared *shared, struct err_text *why) MUST_USE;
/* See relay_mesh_set. */
void derp_mesh_set(struct derp_shared *shared, const uint8_t key[KEY_BYTES], const char *const *targets,
	unsigned n);
/* The key of the mesh, the caller's to wipe; false: there is none. Any thread. */
bool derp_mesh_key(struct derp_shared *shared, uint8_t out[KEY_BYTES]);
/* After the workers stopped. */
void derp_mesh_close(struct derp_shared *shared);

/* Each second: dials what is due, gives up what takes too long. */
void derp_mesh_tick(struct derp_worker *dw, int64_t now_ms);
/* The worker stops: nothing is dialled any more. Before its connections are closed. */
void derp_mesh_stop(struct derp_worker *dw);

/* From derp_read: a checked frame came on the link. An error closes it. */
enum err derp_mesh_frame(struct derp_conn *c, const struct derp_frame_hdr *h, const uint8_t *payload)
	MUST_USE;
/* When something was last heard on the link. */
int64_t derp_mesh_heard_ms(const struct derp_link *l);
void derp_mesh_heard(struct derp_link *l, int64_t now_ms);
/* The connection of the link has ended: its keys are no longer reached over it. */
void derp_mesh_down(struct derp_link *l, struct derp_worker *dw, const char *why);

#endif
