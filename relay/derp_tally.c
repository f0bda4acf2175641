/* Counts of one client, made of what its worker counted. */
#include "relay/derp_tally.h"

#include "base/obj.h"

static struct relay_tally *
tally_at(struct relay_tally **t, const struct derp_worker *dw)
{
	if (*t == NULL)
		*t = obj_alloc(sizeof **t);
	(*t)->used_ms = dw->w->now_ms;
	return *t;
}

static uint64_t
dropped_since(const struct derp_drops *now, const struct derp_drops *before)
{
	return derp_drops_packets(now) - derp_drops_packets(before);
}

void
derp_tally_in(struct relay_tally **t, const struct derp_worker_counts *before,
	const struct derp_worker *dw)
{
	const struct derp_worker_counts *now = &dw->counts;
	struct relay_tally *x;

	if (now->packets_in == before->packets_in)
		return;
	x = tally_at(t, dw);
	x->packets_in += (uint64_t)(now->packets_in - before->packets_in);
	x->bytes_in += (uint64_t)(now->bytes_in - before->bytes_in);
	x->dropped_unknown += dropped_since(&now->dropped_unknown, &before->dropped_unknown) +
	    dropped_since(&now->dropped_forward, &before->dropped_forward);
}

void
derp_tally_out(struct relay_tally **t, const struct derp_queue_counts *before,
	const struct derp_worker *dw)
{
	const struct derp_queue_counts *now = &dw->pool.counts;
	uint64_t head = dropped_since(&now->dropped_head, &before->dropped_head);
	uint64_t tail = dropped_since(&now->dropped_tail, &before->dropped_tail) +
	    dropped_since(&now->dropped_memory, &before->dropped_memory);
	struct relay_tally *x;

	if (now->taken_packets == before->taken_packets && (head | tail) == 0)
		return;
	x = tally_at(t, dw);
	x->packets_out += now->taken_packets - before->taken_packets;
	x->bytes_out += now->taken_bytes - before->taken_bytes;
	x->dropped_head += head;
	x->dropped_tail += tail;
}

void
derp_tally_move(struct relay_tally **t, const struct derp_worker *dw)
{
	tally_at(t, dw)->home_moves++;
}
