/* The pace of rounds: a window that grows with the cost of a round. */
#include "coord/map_spread.h"

void
map_spread_note(struct map_spread *s, bool is_urgent)
{
	s->is_pending = true;
	s->is_urgent |= is_urgent;
}

int64_t
map_spread_due_us(const struct map_spread *s)
{
	int64_t wait_us = s->is_urgent ? s->cost_us : s->cost_us * MAP_SPREAD_WINDOW_COSTS;

	if (s->started_us == 0)
		return 0;
	if (wait_us > MAP_SPREAD_WINDOW_MAX_US)
		wait_us = MAP_SPREAD_WINDOW_MAX_US;
	return s->started_us + wait_us;
}

void
map_spread_start(struct map_spread *s, int64_t now_us)
{
	s->started_us = now_us;
	s->is_pending = false;
	s->is_urgent = false;
}

void
map_spread_done(struct map_spread *s, int64_t spent_us, unsigned n_messages)
{
	int64_t cost_us = spent_us + (int64_t)n_messages * MAP_SPREAD_MESSAGE_US;

	/* A round that met busy streams is cheap, and says little of the next one. */
	s->cost_us = cost_us > s->cost_us / 2 ? cost_us : s->cost_us / 2;
}
