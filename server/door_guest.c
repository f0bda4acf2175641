/*
 * Guests: connections that were served or handed on, of peers who have not proved to be a node of ours.
 * Anybody can ask for /key again and again, complete a Noise handshake or upgrade to DERP; one address
 * must not hold all connections by that.
 */
#include <limits.h>

#include "base/metrics.h"
#include "server/door_private.h"

struct guest {
	struct io_guest g;
	struct door *d;
	struct net_ip source;
};

static void
guest_end(struct io_guest *g)
{
	struct guest *guest = CONTAINER_OF(g, struct guest, g);

	door_source_drop(guest->d->guests, &guest->source);
	free(guest);
}

bool
door_guest_begin(struct door *d, struct io *io, const struct net_ip *source)
{
	unsigned limit = d->cfg->limits.half_open_per_source;
	struct guest *guest;

	if (io_is_guest(io))
		return true;
	limit = limit > UINT_MAX / DOOR_GUESTS_FACTOR ? UINT_MAX : limit * DOOR_GUESTS_FACTOR;
	if (!door_source_add(d->guests, source, limit)) {
		metric_add(METRIC_DOOR_REFUSED, 1);
		return false;
	}
	guest = obj_alloc(sizeof(*guest));
	guest->g.fn = guest_end;
	guest->d = d;
	guest->source = *source;
	io_guest_take(io, &guest->g);
	return true;
}
