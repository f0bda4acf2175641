/*
 * The packet path. A turn reads up to READ_TURN_BYTES of one client into the worker's scratch
 * buffer and parses there. A packet frame for a client becomes one from a client in place, so
 * consecutive packets for one receiver are one run of ready bytes, looked up once and handed
 * over once.
 *
 * Frames nobody wants are skipped as they come, however long they say they are; only a frame
 * that is wanted and within its limit is ever kept until the rest comes.
 */
#include "relay/derp_read.h"

#include <string.h>

#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_frame.h"
#include "relay/derp_mesh.h"
#include "relay/derp_tally.h"

#define READ_TURN_BYTES		(64u << 10)
/* With less room left the turn ends: a read would cost as much as a full one. */
#define READ_LEAST_BYTES	4096u
/* Longer packets that look like disco go the way of data: the lane ahead is for short ones. */
#define DISCO_LANE_MAX_BYTES	2048u
/* "Not here" answers of one connection: 3 at once, then one a second (derper's numbers). */
#define GONE_EVERY_MS		1000
#define GONE_BURST		3

static_assert(READ_TURN_BYTES + DERP_FRAME_MAX_BYTES / 2 <= WORKER_SCRATCH_BYTES, "room to read");

#define NO_PLACE		UINT32_MAX

/* One turn of one client. */
struct turn {
	struct derp_conn *c;
	uint8_t *p;		/* n bytes, parsed up to at */
	size_t n, at;
	bool is_noted;		/* as the active one of its key */
	bool is_put_off;	/* the greeting has to wait for the next turn */
	bool has_dst, is_dst_known, is_dst_link;
	bool has_src;		/* of forwarded packets: remembered for dst */
	uint8_t dst_key[KEY_BYTES], src_key[KEY_BYTES];
	struct conn_ref dst;
	unsigned dst_place;	/* among the receivers remembered; NO_PLACE: it is none */
	uint8_t *run;		/* ready frames for dst, run_n bytes */
	size_t run_n;
	unsigned run_packets;
};

/* --- packets ---------------------------------------------------------------------------------- */

static void
turn_count_pair(struct turn *t, unsigned n_packets, size_t n)
{
	if (t->dst_place != NO_PLACE)
		derp_peers_count(&t->c->peers, t->dst_place, n_packets, n, t->c->dw->w->now_ms);
}

/* Hands the collected run over. */
static void
turn_end_run(struct turn *t)
{
	if (t->run_n == 0)
		return;
	turn_count_pair(t, t->run_packets, t->run_n);
	derp_worker_send(t->c->dw, &(struct derp_worker_run){
		.to = t->dst, .lane = DERP_LANE_DATA, .n_packets = t->run_packets,
		.frames = t->run, .n = t->run_n,
	});
	t->run_n = 0;
	t->run_packets = 0;
}

/* Finds the receiver; the answer holds for the rest of the turn or until another one is asked
 * for. */
static void
turn_find_dst(struct turn *t, const uint8_t key[KEY_BYTES])
{
	if (t->has_dst && memcmp(t->dst_key, key, KEY_BYTES) == 0)
		return;
	turn_end_run(t);
	if (t->c->state == DERP_CONN_CLOSED)
		return;
	memcpy(t->dst_key, key, KEY_BYTES);
	t->has_dst = true;
	t->has_src = false;
	t->is_dst_known = derp_route_way(t->c->dw->shared->routes, key, &t->dst, &t->is_dst_link);
	t->dst_place = NO_PLACE;
	if (t->is_dst_known && !t->is_dst_link && !t->c->is_mesh && !conn_ref_eq(t->dst, t->c->ref))
		t->dst_place = derp_peers_add(&t->c->peers, t->dst);
}

static void
turn_unknown_dst(struct turn *t, bool is_disco)
{
	struct derp_conn *c = t->c;
	int64_t now_ms = c->dw->w->now_ms;
	uint8_t frame[DERP_FRAME_GONE_BYTES];

	if (c->gone_ms < now_ms)
		c->gone_ms = now_ms;
	if (!is_disco || c->gone_ms - now_ms > (GONE_BURST - 1) * GONE_EVERY_MS)
		return;
	c->gone_ms += GONE_EVERY_MS;
	c->dw->counts.gone_not_here++;
	derp_conn_put_control(c, frame, derp_frame_put_gone(frame, t->dst_key, DERP_FRAME_GONE_NOT_HERE));
}

/* A RecvPacket frame for dst, ready to go. */
static void
turn_deliver(struct turn *t, uint8_t *frame, size_t n, bool is_disco)
{
	struct derp_conn *c = t->c;

	if (is_disco && n <= DISCO_LANE_MAX_BYTES) {
		turn_count_pair(t, 1, n);
		derp_worker_send(c->dw, &(struct derp_worker_run){
			.to = t->dst, .lane = DERP_LANE_CONTROL, .n_packets = 1, .frames = frame, .n = n,
		});
		return;
	}
	if (t->run_n > 0 && t->run + t->run_n != frame)
		turn_end_run(t);
	if (t->run_n == 0)
		t->run = frame;
	t->run_n += n;
	t->run_packets++;
}

/* The receiver is at another relay: over the link. */
static void
turn_forward(struct turn *t, const uint8_t *frame, size_t n, bool is_disco)
{
	struct derp_worker *dw = t->c->dw;

	if (dw->forward == NULL)
		dw->forward = obj_alloc(DERP_FRAME_MAX_BYTES);
	dw->counts.forwarded_out++;
	derp_worker_send(dw, &(struct derp_worker_run){
		.to = t->dst, .n_packets = 1, .frames = dw->forward,
		.lane = is_disco && n <= DISCO_LANE_MAX_BYTES ? DERP_LANE_CONTROL : DERP_LANE_DATA,
		.n = derp_frame_put_forward(dw->forward, t->c->key.b, frame, n),
	});
}

static bool
turn_count_packet(struct derp_conn *c, const uint8_t *packet, size_t n)
{
	bool is_disco = derp_frame_is_disco(packet, n);

	c->dw->counts.packets_in++;
	c->dw->counts.disco_in += is_disco;
	c->dw->counts.bytes_in += (int64_t)n;
	return is_disco;
}

static void
drop(struct derp_drops *why, bool is_disco, size_t n)
{
	derp_drops_add(why, is_disco ? DERP_LANE_CONTROL : DERP_LANE_DATA, 1, n);
}

static void
turn_send_packet(struct turn *t, uint8_t *frame, size_t n)
{
	struct derp_conn *c = t->c;
	bool is_disco = turn_count_packet(c, frame + DERP_FRAME_HDR_BYTES + KEY_BYTES,
	    n - DERP_FRAME_HDR_BYTES - KEY_BYTES);

	turn_find_dst(t, frame + DERP_FRAME_HDR_BYTES);
	if (c->state == DERP_CONN_CLOSED)
		return;
	if (!t->is_dst_known) {
		drop(&c->dw->counts.dropped_unknown, is_disco, n - DERP_FRAME_HDR_BYTES - KEY_BYTES);
		turn_unknown_dst(t, is_disco);
	} else if (t->is_dst_link) {
		turn_forward(t, frame, n, is_disco);
	} else {
		derp_frame_readdress(frame, c->key.b);
		turn_deliver(t, frame, n, is_disco);
	}
}

/* From a mesh peer: for a client of ours, or nobody. It never goes on to a third relay. */
static void
turn_forwarded(struct turn *t, uint8_t *frame, size_t n)
{
	const uint8_t *src = frame + DERP_FRAME_HDR_BYTES, *dst = src + KEY_BYTES;
	struct derp_conn *c = t->c;
	bool is_disco = turn_count_packet(c, dst + KEY_BYTES, n - DERP_FRAME_HDR_BYTES - 2 * KEY_BYTES);

	c->dw->counts.forwarded_in++;
	turn_find_dst(t, dst);
	if (c->state == DERP_CONN_CLOSED)
		return;
	if (!t->is_dst_known || t->is_dst_link) {
		drop(&c->dw->counts.dropped_forward, is_disco, n - DERP_FRAME_HDR_BYTES - 2 * KEY_BYTES);
		turn_unknown_dst(t, is_disco);
		return;
	}
	if (!t->has_src || memcmp(t->src_key, src, KEY_BYTES) != 0) {
		t->has_src = true;
		memcpy(t->src_key, src, KEY_BYTES);
		derp_peers_remote_add(c->dw, t->src_key, t->dst);
	}
	turn_deliver(t, derp_frame_unforward(frame, n), n - KEY_BYTES, is_disco);
}

/* --- other frames ----------------------------------------------------------------------------- */

static void
turn_ping(struct derp_conn *c, const uint8_t *data)
{
	uint8_t frame[DERP_FRAME_PONG_BYTES];

	c->dw->counts.pings++;
	if (c->is_pong_waiting)
		return;		/* who pings faster than it reads gets fewer answers */
	c->is_pong_waiting = true;
	c->dw->counts.pongs++;
	derp_conn_put_control(c, frame, derp_frame_put_pong(frame, data));
}

/* A mesh peer wants all connections of a key closed. */
static void
turn_close_peer(struct derp_conn *c, const uint8_t *key)
{
	struct derp_shared *shared = c->dw->shared;
	struct node_key target;
	struct conn_ref *refs;
	size_t n;

	memcpy(target.b, key, KEY_BYTES);
	n = derp_route_conns(shared->routes, &target, &refs);
	derp_conn_close_all(shared, refs, n, "a mesh peer asked for it");
	free(refs);
}

/* One whole frame whose type and length were checked. */
static enum err
turn_frame(struct turn *t, const struct derp_frame_hdr *h)
{
	uint8_t *payload = t->p + t->at + DERP_FRAME_HDR_BYTES;
	struct derp_conn *c = t->c;

	if (c->link != NULL && h->type != DERP_FRAME_PING)
		return derp_mesh_frame(c, h, payload);
	switch (h->type) {
	case DERP_FRAME_CLIENT_INFO:
		return derp_conn_hello(c, payload, h->len_bytes);
	case DERP_FRAME_SEND_PACKET:
		turn_send_packet(t, t->p + t->at, DERP_FRAME_HDR_BYTES + h->len_bytes);
		return ERR_OK;
	case DERP_FRAME_NOTE_PREFERRED:
		derp_conn_note_preferred(c, payload[0] != 0);
		return ERR_OK;
	case DERP_FRAME_FORWARD_PACKET:
		turn_forwarded(t, t->p + t->at, DERP_FRAME_HDR_BYTES + h->len_bytes);
		return ERR_OK;
	case DERP_FRAME_WATCH_CONNS:
		/* What has our own key is ourselves, by some detour. */
		if (memcmp(c->key.b, c->dw->shared->public_key, KEY_BYTES) != 0)
			derp_watch_start(c);
		return ERR_OK;
	case DERP_FRAME_CLOSE_PEER:
		turn_close_peer(c, payload);
		return ERR_OK;
	case DERP_FRAME_PING:
		turn_ping(c, payload);
		return ERR_OK;
	default:
		return ERR_PROTO;
	}
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void
turn_skip(struct turn *t)
{
	struct derp_conn *c = t->c;
	size_t left = t->n - t->at, n = c->skip_bytes < left ? c->skip_bytes : left;

	c->skip_bytes -= (uint32_t)n;
	t->at += n;
}

/* By whose frame it is, and when. */
static enum err
turn_check(const struct derp_conn *c, const struct derp_frame_hdr *h)
{
	if (c->state == DERP_CONN_HELLO)
		return c->link != NULL ? derp_frame_check_server_key(h) : derp_frame_check_hello(h);
	if (c->link != NULL)
		return derp_frame_check_server(h);
	return c->is_mesh ? derp_frame_check_mesh(h) : derp_frame_check_client(h);
}

/* Judges the frame that begins at t->at by its header. ERR_AGAIN: the header is not all there;
 * ERR_UNSUPPORTED: it is being skipped. */
static enum err
turn_header(struct turn *t, struct derp_frame_hdr *h)
{
	struct derp_conn *c = t->c;
	enum err rc = derp_frame_parse(t->p + t->at, t->n - t->at, h);

	if (rc != ERR_OK)
		return rc;
	if (c->entry != NULL && !t->is_noted) {
		derp_route_note(c->dw->shared->routes, c->entry, c->ref);
		t->is_noted = true;
	}
	rc = turn_check(c, h);
	if (rc == ERR_UNSUPPORTED) {
		if (h->type != DERP_FRAME_PONG && c->link == NULL)
			c->dw->counts.unknown_frames++;
		c->skip_bytes = h->len_bytes;
		t->at += DERP_FRAME_HDR_BYTES;
	}
	return rc;
}

/* All whole frames. ERR_OK: what is left is the start of one; else close. c may be closed. */
static enum err
turn_frames(struct turn *t)
{
	struct derp_frame_hdr h;
	enum err rc;

	while (t->at < t->n && t->c->state != DERP_CONN_CLOSED) {
		if (t->c->skip_bytes > 0) {
			turn_skip(t);
			continue;
		}
		rc = turn_header(t, &h);
		if (rc == ERR_UNSUPPORTED)
			continue;
		if (rc == ERR_AGAIN)
			break;
		if (rc != ERR_OK)
			return rc;
		if (t->n - t->at - DERP_FRAME_HDR_BYTES < h.len_bytes)
			break;
		rc = turn_frame(t, &h);
		if (rc == ERR_AGAIN) {
			t->is_put_off = true;
			break;
		}
		if (rc != ERR_OK)
			return rc;
		t->at += DERP_FRAME_HDR_BYTES + h.len_bytes;
	}
	if (t->c->state != DERP_CONN_CLOSED)
		turn_end_run(t);
	return ERR_OK;
}

/* How long the frame is that c carries the start of; its header alone if even that is not known. */
static size_t
carry_wants(const struct derp_conn *c)
{
	struct derp_frame_hdr h;

	if (derp_frame_parse(c->carry.p, c->carry.len, &h) != ERR_OK)
		return DERP_FRAME_HDR_BYTES;
	return DERP_FRAME_HDR_BYTES + (size_t)h.len_bytes;	/* was checked when it was kept */
}

/* Reads behind the place of what is carried, so that it need not be moved while the frame is still
 * incomplete (one may send a byte at a time). */
static enum err
turn_read(struct turn *t)
{
	struct derp_conn *c = t->c;
	size_t end, got;
	enum err rc;

	t->n = c->carry.len;
	end = t->n + (c->quotas == NULL ? READ_TURN_BYTES :
	    quota_set_turn_bytes(c->quotas, READ_TURN_BYTES));
	if (end > WORKER_SCRATCH_BYTES)
		end = WORKER_SCRATCH_BYTES;
	do {
		if ((rc = io_read(c->io, t->p + t->n, end - t->n, &got)) == ERR_OK)
			t->n += got;
	} while (rc == ERR_OK && t->n + READ_LEAST_BYTES <= end);
	return rc;
}

/* Keeps what was not parsed; owns memory only if there is some. */
static void
turn_keep(struct turn *t)
{
	struct buf *carry = &t->c->carry;

	if (t->at == t->n) {
		buf_fini(carry);
		return;
	}
	buf_clear(carry);
	buf_append(carry, t->p + t->at, t->n - t->at);
}

void
derp_read_run(struct derp_conn *c)
{
	struct turn t = { .c = c, .p = c->dw->w->scratch };
	struct derp_worker_counts before = c->dw->counts;
	size_t carried = c->carry.len, read;
	enum err rc = turn_read(&t), parsed;

	read = t.n - carried;
	derp_worker_touch(c->dw);
	if (c->link != NULL && t.n > carried)
		derp_mesh_heard(c->link, c->dw->w->now_ms);
	if (carried > 0 && t.n < carry_wants(c)) {
		buf_append(&c->carry, t.p + carried, t.n - carried);
	} else {
		if (carried > 0)
			memcpy(t.p, c->carry.p, carried);
		parsed = turn_frames(&t);
		if (c->state == DERP_CONN_CLOSED)
			return;
		derp_tally_in(&c->tally, &before, c->dw);
		if (parsed != ERR_OK) {
			derp_conn_close(c, err_str(parsed));
			return;
		}
		turn_keep(&t);
	}
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		derp_conn_close(c, err_str(rc));
		return;
	}
	if (!derp_conn_account(c)) {
		derp_conn_close(c, "it holds memory, and there is no more");
		return;
	}
	derp_conn_check_pending(c);
	if (c->quotas != NULL && read > 0)
		derp_conn_charge(c, read);
	if (t.is_put_off || (rc == ERR_OK && io_has_more(c->io)))
		worker_again(c->dw->w, &c->again);
}
