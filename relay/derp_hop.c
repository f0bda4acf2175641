/* One message per turn and pair of workers: entries of head and frames, one behind the other. */
#include "relay/derp_hop.h"

#include <string.h>

#include "base/buf.h"
#include "base/mbox.h"
#include "base/obj.h"

#define HOP_MAGIC	0x40b6e55au
/* On the way to one worker: about 10 ms of what it can send. */
#define HOP_BYTES_MAX	(8u << 20)
/* A longer message is posted before the turn ends, so that no buffer grows without need. */
#define HOP_POST_BYTES	(256u << 10)

struct derp_hop {
	struct mbox_msg msg;		/* first */
	uint32_t magic;
	struct derp_drops held;		/* what would be lost with it */
	struct derp_worker *to;		/* borrowed; lives as long as its mailbox */
	struct buf b;			/* struct entry, frames, struct entry, … */
};

struct entry {
	struct conn_ref to;
	uint32_t lane, n_packets, n;
};

static void
derp_hop_free(struct derp_hop *h)
{
	buf_fini(&h->b);
	h->magic = 0;
	free(h);
}

static void
derp_hop_on_discard(struct mbox_msg *m)
{
	struct derp_hop *h = (struct derp_hop *)(void *)m;

	OBJ_CHECK(h, HOP_MAGIC);
	atomic_fetch_sub_explicit(&h->to->hop_bytes, h->b.len, memory_order_relaxed);
	derp_hop_free(h);
}

static void
derp_hop_on_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct derp_hop *h = (struct derp_hop *)(void *)m;
	struct entry e;

	(void)loop_arg;
	OBJ_CHECK(h, HOP_MAGIC);
	for (size_t at = 0; at < h->b.len; at += sizeof e + e.n) {
		memcpy(&e, h->b.p + at, sizeof e);
		derp_worker_deliver(h->to, &(struct derp_worker_run){
			.to = e.to, .lane = e.lane, .n_packets = e.n_packets,
			.frames = h->b.p + at + sizeof e, .n = e.n,
		});
	}
	derp_hop_on_discard(m);
}

static void
derp_hop_post_to(struct derp_worker *dw, unsigned worker)
{
	struct derp_hop *h = dw->hops[worker];

	if (h == NULL)
		return;
	dw->hops[worker] = NULL;
	atomic_fetch_add_explicit(&h->to->hop_bytes, h->b.len, memory_order_relaxed);
	if (mbox_post(h->to->w->mbox, &h->msg) != ERR_OK) {
		for (unsigned lane = 0; lane < DERP_LANE_COUNT; lane++)
			derp_drops_add(&dw->counts.dropped_hop, lane, h->held.packets[lane],
			    h->held.bytes[lane]);
		derp_hop_on_discard(&h->msg);
	}
}

void
derp_hop_post(struct derp_worker *dw)
{
	unsigned n = worker_group_count(dw->shared->group);

	for (unsigned i = 0; i < n; i++)
		derp_hop_post_to(dw, i);
}

void
derp_hop_discard(struct derp_worker *dw)
{
	for (unsigned i = 0; i < WORKER_MAX; i++) {
		if (dw->hops[i] != NULL)
			derp_hop_free(dw->hops[i]);
		dw->hops[i] = NULL;
	}
}

static struct derp_hop *
derp_hop_new(struct derp_worker *to)
{
	struct derp_hop *h = obj_alloc(sizeof *h);

	h->magic = HOP_MAGIC;
	h->msg.deliver = derp_hop_on_deliver;
	h->msg.discard = derp_hop_on_discard;
	h->to = to;
	return h;
}

void
derp_hop_put(struct derp_worker *dw, const struct derp_worker_run *run)
{
	struct derp_worker *to = dw->shared->workers[run->to.worker];
	struct derp_hop *h = dw->hops[run->to.worker];
	struct entry e = {
		.to = run->to, .lane = run->lane, .n_packets = run->n_packets, .n = (uint32_t)run->n,
	};

	derp_worker_touch(dw);
	if (atomic_load_explicit(&to->hop_bytes, memory_order_relaxed) > HOP_BYTES_MAX) {
		derp_worker_run_drop(run, &dw->counts.dropped_hop);
		return;
	}
	if (h == NULL)
		h = dw->hops[run->to.worker] = derp_hop_new(to);
	buf_append(&h->b, &e, sizeof e);
	buf_append(&h->b, run->frames, run->n);
	derp_worker_run_drop(run, &h->held);
	if (h->b.len >= HOP_POST_BYTES)
		derp_hop_post_to(dw, run->to.worker);
}
