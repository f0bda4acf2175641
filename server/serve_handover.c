/* Where the server's parts meet a graceful restart, on both of its sides. */
#include <stdio.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/log.h"
#include "coord/store_rehearse.h"
#include "server/datadir.h"
#include "server/metrics_port.h"
#include "server/notify.h"
#include "server/serve_private.h"

#define LEAVE_MS 30	/* for the answer to fairlead restart; what connects is the new server's already */

/* --- the old one -------------------------------------------------------------------------------- */

static unsigned
sockets(void *arg, int *out, unsigned max)
{
	struct serve *s = arg;
	unsigned n = door_sockets(s->door, out, max);

	n += relay_stun_sockets(s->relay, out + n, max - n);
	if (s->metrics != NULL && n < max)
		out[n++] = metrics_port_socket(s->metrics);
	if (n < max && http_unix_socket(s->http) >= 0)
		out[n++] = http_unix_socket(s->http);
	return n;
}

static void
accept_or_not(void *arg, bool does)
{
	struct serve *s = arg;

	door_pause(s->door, !does);
	http_unix_serve(s->http, does);
}

static void
on_paused(void *arg)
{
	struct serve *s = arg;

	OBJ_CHECK(s, SERVE_MAGIC);
	handover_paused(s->handover);
}

static void
write_all(void *arg)
{
	struct serve *s = arg;

	coord_pause(s->coord, on_paused, s);
}

static enum err
go_on(void *arg, struct err_text *why)
{
	struct serve *s = arg;

	return coord_resume(s->coord, why);
}

static void
leave(void *arg, bool is_ok)
{
	struct serve *s = arg;

	s->has_left = true;
	s->has_failed = !is_ok;
	coordinator_end(s->coordinator, LEAVE_MS);
}

enum err
serve_handover_open(struct serve *s, struct err_text *why)
{
	s->hooks = (struct handover_hooks){
		.arg = s, .sockets = sockets, .accept = accept_or_not, .pause = write_all, .resume = go_on,
		.leave = leave,
	};
	const struct handover_params p = {
		.base = coordinator_base(s->coordinator),
		.http = s->http,
		.data_dir = s->cfg->data_dir,
		.lock_fd = &s->lock_fd,
		.hooks = &s->hooks,
		.has_manager = notify_is_wanted(),
	};

	return handover_new(&p, &s->handover, why);
}

/* --- the new one -------------------------------------------------------------------------------- */

enum err
serve_handover_database(struct serve *s, struct err_text *why)
{
	char path[4200];

	if (s->takeover == NULL)
		return ERR_OK;
	snprintf(path, sizeof(path), "%s/fairlead.db", s->cfg->data_dir);
	enum err rc = store_rehearse(path, why);
	if (rc != ERR_OK)
		return rc;
	return takeover_database(s->takeover, &s->lock_fd, why);
}

enum err
serve_handover_finish(struct serve *s, struct err_text *why)
{
	enum err rc;

	if (s->takeover != NULL) {
		if ((rc = takeover_serve(s->takeover, why)) != ERR_OK)
			return rc;
		takeover_free(s->takeover, NULL);
		s->takeover = NULL;
		s->has_taken_over = true;
		log_info(LOG_SERVER, "has taken over", "version", FAIRLEAD_VERSION);
		if ((rc = coord_resume(s->coord, why)) != ERR_OK)
			return rc;
	}
	inherit_close_rest();
	return ERR_OK;
}
