/* /api/fairlead/v1/doctor: what `fairlead doctor` cannot see from outside of this process. */
#include <dirent.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "web/flapi.h"

#define SILENT_MAX	20	/* names in the list; all are counted */
#define SILENT_S	120	/* a node that has just lost its stream comes back by itself */

/* Descriptors in use; -1: /proc is not there. */
static int64_t
files_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = -3;		/* "." and "..", and the one of this directory */

	if (d == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
files_put(struct json_writer *w)
{
	struct rlimit r = { 0 };

	json_w_obj_open(w, "files");
	json_w_int(w, "open", files_open());
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
		json_w_int(w, "limit", (int64_t)r.rlim_cur);
	else
		json_w_null(w, "limit");
	json_w_obj_close(w);
}

/* Nodes that use the relay and have no stream: their clients believe that all is well, but hear of no
 * change. */
static void
silent_put(struct json_writer *w, const struct tailnet *t)
{
	const struct node *n;
	int64_t now = clock_wall_s(), count = 0;
	size_t at = 0;

	json_w_arr_open(w, "silentNodes");
	while ((n = map_next(&t->nodes, &at)) != NULL) {
		if (n->is_online || now - n->last_seen_unix_s < SILENT_S ||
		    !t->deps.is_relayed(t->deps.relay_arg, &n->node_key))
			continue;
		if (++count <= SILENT_MAX)
			json_w_str(w, NULL, n->name);
	}
	json_w_arr_close(w);
	json_w_int(w, "silentNodesCount", count);
}

static void
doctor_get(struct http_req *q)
{
	const struct shbuf *derp_map = coord_derp_map(q->coord);
	const struct config *cfg = coord_config(q->coord);
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	if (derp_map != NULL)
		json_w_raw(&w, "derpMap", derp_map->bytes, derp_map->len);
	files_put(&w);
	silent_put(&w, flapi_tailnet(q));
	json_w_int(&w, "trustedProxies", cfg->trusted_proxies.n);
	json_w_bool(&w, "relayVerifiesClients", cfg->derp.is_enabled && cfg->derp.verify_clients);
	json_w_int(&w, "ephemeralTimeoutSeconds", cfg->node.ephemeral_timeout_s);
	json_w_int(&w, "offlineGraceSeconds", cfg->node.offline_grace_s);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

const struct http_route flapi_doctor_routes[] = {
	{ "GET", FLAPI "/doctor", HTTP_READ, false, doctor_get },
};
const size_t flapi_doctor_routes_count = COUNT_OF(flapi_doctor_routes);
