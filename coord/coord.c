/*
 * Coordination: wiring. Hooks run on workers and post messages; messages run on the coordinator
 * and call tailnet and session functions. Nothing else crosses.
 */
#include "coord/coord.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/change.h"
#include "coord/session.h"
#include "coord/session_state.h"
#include "coord/store.h"
#include "coord/store_load.h"
#include "coord/tailnet_policy_file.h"
#include "coord/tailnet_route.h"

#define COORD_MAGIC 0xc00dd001u

struct coord {
	uint32_t magic;
	struct mbox *mbox;		/* borrowed: the coordinator's */
	const struct config *cfg;	/* borrowed */
	struct ts2021 *control;		/* owned */
	struct store *store;		/* owned */
	struct tailnet *tailnet;	/* owned: "default" */
	char derp_pin[96];		/* "": none */
	struct region **regions;	/* owned until there is a tailnet */
	unsigned n_regions;
	struct tailnet_deps outer;	/* whom we tell of admission, beside other relays */
	struct audit_reader *audit;	/* owned */
	struct policies_reader *policies;	/* owned */
	struct jobs *jobs;		/* owned */
};

/* What a worker tells: one struct for all, since they differ in one member. */
enum what { REQ_REGISTER, REQ_MAP, REQ_SSH, STREAMS_DRAINED, STREAM_GONE, PONG };

struct msg_control {
	struct mbox_msg msg;
	struct coord *coord;
	enum what what;
	struct ctl_peer from;		/* conn and stream only, for STREAM_GONE; machine only, for PONG */
	struct register_req *register_req;
	struct map_req *map_req;
	struct ssh_req *ssh_req;	/* owned */
	uint64_t ping_id;		/* PONG */
	unsigned silent_ms;		/* STREAM_GONE */
	unsigned n;			/* STREAMS_DRAINED */
	struct ts2021_stream drained[];
};

static void
control_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct msg_control *c = CONTAINER_OF(m, struct msg_control, msg);
	struct tailnet *t = c->coord->tailnet;

	(void)loop_arg;
	OBJ_CHECK(c->coord, COORD_MAGIC);
	switch (c->what) {
	case REQ_REGISTER:
		tailnet_register(t, &c->from, c->register_req);
		break;
	case REQ_MAP:
		session_on_map(t, &c->from, c->map_req);
		break;
	case REQ_SSH:
		tailnet_ssh_ask(t, &c->from, c->ssh_req);
		free(c->ssh_req);
		break;
	case STREAMS_DRAINED:
		for (unsigned i = 0; i < c->n; i++)
			session_on_drained(t, c->drained[i].conn, c->drained[i].stream);
		break;
	case STREAM_GONE:
		session_on_gone(t, c->from.conn, c->from.stream, c->silent_ms);
		tailnet_register_gone(t, c->from.conn, c->from.stream);
		tailnet_ssh_gone(t, c->from.conn, c->from.stream);
		break;
	case PONG:
		tailnet_route_pong(t, &c->from.machine, c->ping_id);
		break;
	}
	free(c);
}

static void
control_discard(struct mbox_msg *m)
{
	struct msg_control *c = CONTAINER_OF(m, struct msg_control, msg);

	msg_register_free(c->register_req);
	msg_map_free(c->map_req);
	free(c->ssh_req);
	free(c);
}

static struct msg_control *
msg_new(struct coord *coord, enum what what, unsigned n)
{
	struct msg_control *m = obj_alloc(sizeof(*m) + n * sizeof(m->drained[0]));

	m->msg = (struct mbox_msg){ .deliver = control_deliver, .discard = control_discard };
	m->coord = coord;
	m->what = what;
	return m;
}

/* Posts a request; when the mailbox is full the request stays the caller's. */
static enum err
post_request(struct msg_control *m)
{
	enum err rc = mbox_post(m->coord->mbox, &m->msg);

	if (rc != ERR_OK)
		free(m);
	return rc;
}

static enum err
hook_register(void *arg, const struct ctl_peer *from, struct register_req *req)
{
	struct msg_control *m = msg_new(arg, REQ_REGISTER, 0);

	m->from = *from;
	m->register_req = req;
	return post_request(m);
}

static enum err
hook_map(void *arg, const struct ctl_peer *from, struct map_req *req)
{
	struct msg_control *m = msg_new(arg, REQ_MAP, 0);

	m->from = *from;
	m->map_req = req;
	return post_request(m);
}

static enum err
hook_ssh(void *arg, const struct ctl_peer *from, const struct ssh_req *req)
{
	struct msg_control *m = msg_new(arg, REQ_SSH, 0);
	struct ssh_req *own = obj_alloc(sizeof(*own));
	enum err rc;

	*own = *req;
	m->from = *from;
	m->ssh_req = own;
	if ((rc = post_request(m)) != ERR_OK)
		free(own);
	return rc;
}

static void
hook_pong(void *arg, const struct machine_key *from, uint64_t id)
{
	struct msg_control *m = msg_new(arg, PONG, 0);

	m->from.machine = *from;
	m->ping_id = id;
	(void)post_request(m);		/* no room: the next one will do */
}

static void
hook_drained(void *arg, const struct ts2021_stream *list, unsigned n)
{
	struct msg_control *m = msg_new(arg, STREAMS_DRAINED, n);

	m->n = n;
	memcpy(m->drained, list, n * sizeof(list[0]));
	mbox_post_always(m->coord->mbox, &m->msg);
}

static void
hook_gone(void *arg, struct conn_ref conn, int32_t stream, unsigned silent_ms)
{
	struct msg_control *m = msg_new(arg, STREAM_GONE, 0);

	m->from.conn = conn;
	m->from.stream = stream;
	m->silent_ms = silent_ms;
	mbox_post_always(m->coord->mbox, &m->msg);
}

/* --- admission: our own relay, and those on other machines ------------------------------------- */

static void
on_admit(void *arg, const struct node_key *key)
{
	struct coord *c = arg;

	c->outer.admit(c->outer.arg, key);
	tailnet_relay_note(c->tailnet, key, true);
}

static void
on_expel(void *arg, const struct node_key *key)
{
	struct coord *c = arg;

	c->outer.expel(c->outer.arg, key);
	tailnet_relay_note(c->tailnet, key, false);
}

static const char *
pin_keep(struct coord *c, const char *pin)
{
	ASSERT(pin == NULL || strlen(pin) < sizeof(c->derp_pin));
	snprintf(c->derp_pin, sizeof(c->derp_pin), "%s", pin != NULL ? pin : "");
	return pin != NULL ? c->derp_pin : NULL;
}

/* Opens the database and loads the tailnet. */
static enum err
load(struct coord *c, const struct coord_params *p, struct err_text *why)
{
	char path[4200];
	int64_t id;
	enum err rc;
	struct tailnet_deps deps = p->tailnet;

	snprintf(path, sizeof(path), "%s/fairlead.db", p->cfg->data_dir);
	if ((rc = store_open(path, p->mbox, &c->store, why)) != ERR_OK ||
	    (rc = store_load_tailnet_id(c->store, "default", &id, why)) != ERR_OK ||
	    (rc = jobs_new(p->mbox, &c->jobs, why)) != ERR_OK)
		return rc;
	c->outer = deps;
	deps.arg = c;
	deps.admit = on_admit;
	deps.expel = on_expel;
	deps.base = p->base;
	deps.cfg = p->cfg;
	deps.control = c->control;
	deps.store = c->store;
	deps.jobs = c->jobs;
	deps.derp_pin = pin_keep(c, deps.derp_pin);
	c->tailnet = tailnet_new(id, "default", &deps);
	if (p->is_held)
		store_hold(c->store);
	tailnet_relay_start(c->tailnet, p->noise_key);
	tailnet_region_configure_take(c->tailnet, c->regions, c->n_regions);
	c->regions = NULL;
	c->n_regions = 0;
	if ((rc = store_load_tailnet(c->store, c->tailnet, why)) != ERR_OK ||
	    (rc = store_start(c->store, why)) != ERR_OK)
		return rc;
	tailnet_start(c->tailnet);
	tailnet_prune_start(c->tailnet, p->cfg->audit_days);
	tailnet_policy_recheck(c->tailnet);
	tailnet_policy_file_start(c->tailnet);
	if ((rc = audit_reader_new(path, id, &c->audit, why)) != ERR_OK)
		return rc;
	return policies_reader_new(path, id, &c->policies, why);
}

enum err
coord_new(const struct coord_params *p, struct coord **out, struct err_text *why)
{
	struct coord *c = obj_alloc(sizeof(*c));
	struct ts2021_hooks hooks = {
		.arg = c,
		.on_register = hook_register,
		.on_map = hook_map,
		.on_ssh = hook_ssh,
		.on_pong = hook_pong,
		.on_drained = hook_drained,
		.on_gone = hook_gone,
	};
	enum err rc;

	c->magic = COORD_MAGIC;
	c->mbox = p->mbox;
	c->cfg = p->cfg;
	c->regions = p->regions;
	c->n_regions = p->n_regions;
	rc = ts2021_new(p->cfg, p->workers, p->noise_key, &hooks, &c->control);
	if (rc != ERR_OK)
		err_say(why, rc, "cannot make the control protocol's state");
	else
		rc = load(c, p, why);
	if (rc != ERR_OK) {
		coord_stop(c);
		coord_free(c);
		return rc;
	}
	*out = c;
	return ERR_OK;
}

struct msg_paused {
	struct mbox_msg msg;
	void (*done)(void *arg);
	void *arg;
};

static void
paused_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct msg_paused *p = CONTAINER_OF(m, struct msg_paused, msg);

	(void)loop_arg;
	p->done(p->arg);
	free(p);
}

static void
paused_discard(struct mbox_msg *m)
{
	free(CONTAINER_OF(m, struct msg_paused, msg));
}

void
coord_pause(struct coord *c, void (*done)(void *arg), void *arg)
{
	struct msg_paused *p = obj_alloc(sizeof(*p));

	OBJ_CHECK(c, COORD_MAGIC);
	*p = (struct msg_paused){
		.msg = { .deliver = paused_deliver, .discard = paused_discard }, .done = done, .arg = arg,
	};
	tailnet_flush_soft(c->tailnet);
	store_pause(c->store, &p->msg);
}

enum err
coord_resume(struct coord *c, struct err_text *why)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return store_resume(c->store, why);
}

void
coord_stop(struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	if (c->tailnet != NULL)
		tailnet_flush_soft(c->tailnet);
	jobs_stop(c->jobs);
	if (c->store != NULL)
		store_stop(c->store);
	/* Requests are dropped; changes under way end, whether they are durable or not. */
	mbox_close(c->mbox);
}

void
coord_free(struct coord *c)
{
	if (c == NULL)
		return;
	OBJ_CHECK(c, COORD_MAGIC);
	if (c->tailnet != NULL) {
		tailnet_policy_file_stop(c->tailnet);
		tailnet_relay_stop(c->tailnet);
		tailnet_free(c->tailnet);
	}
	for (unsigned i = 0; i < c->n_regions; i++)
		free(c->regions[i]);
	free(c->regions);
	jobs_free(c->jobs);
	audit_reader_free(c->audit);
	policies_reader_free(c->policies);
	store_free(c->store);
	ts2021_free(c->control);
	c->magic = 0;
	free(c);
}

void
coord_set_derp_pin(struct coord *c, const char *pin)
{
	OBJ_CHECK(c, COORD_MAGIC);
	c->tailnet->deps.derp_pin = pin_keep(c, pin);
	change_note_all(c->tailnet, CHANGE_ALL_DERP);
}

const struct shbuf *
coord_derp_map(const struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return c->tailnet->map->w.derp.json;
}

struct ts2021 *
coord_control(struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return c->control;
}

struct tailnet *
coord_tailnet(struct coord *c, const char *name)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return strcmp(name, c->tailnet->name) == 0 ? c->tailnet : NULL;
}

const struct config *
coord_config(const struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return c->cfg;
}

struct audit_reader *
coord_audit(struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return c->audit;
}

struct policies_reader *
coord_policies(struct coord *c)
{
	OBJ_CHECK(c, COORD_MAGIC);
	return c->policies;
}
