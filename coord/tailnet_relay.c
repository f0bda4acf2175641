/* Relays: credentials, coming and going, probes, what the DERP map and they themselves are told. */
#include "coord/tailnet_relay.h"

#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/relay_probe.h"
#include "coord/store.h"
#include "coord/tailnet_private.h"

#define LOOK_MS		1000
#define LOOK_SOON_MS	20	/* while a probe is under way */

struct tailnet_relays {
	struct relay_hub *hub;		/* owned */
	struct event *timer;
	int64_t started_unix_s;
};

/* --- what a relay is told --------------------------------------------------------------------- */

static void
put_links(const struct tailnet *t, const struct tailnet_relay *self, struct json_writer *w)
{
	const struct region *region = tailnet_region_find(t, self->r.region_id);
	const struct tailnet_relay *r;
	char text[REGION_MESH_TARGET_MAX];

	json_w_arr_open(w, "mesh");
	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;) {
		if (r == self || r->r.region_id != self->r.region_id || !r->r.is_announced)
			continue;
		region_mesh_target_put(&r->r.node, text, sizeof(text));
		json_w_str(w, NULL, text);
	}
	for (unsigned i = 0; region != NULL && i < region->n_nodes; i++) {
		if (!region->nodes[i].is_meshed)
			continue;
		region_mesh_target_put(&region->nodes[i], text, sizeof(text));
		json_w_str(w, NULL, text);
	}
	json_w_arr_close(w);
}

/* {"name","region":{"id","code","name"},"meshKey","mesh":[…],"host","isAnnounced","trouble"} */
static void
put_config(const struct tailnet *t, const struct tailnet_relay *r, struct buf *b)
{
	const struct region *region = tailnet_region_find(t, r->r.region_id);
	char hex[2 * KEY_BYTES + 1];
	struct json_writer w;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "name", r->r.name);
	json_w_obj_open(&w, "region");
	json_w_int(&w, "id", r->r.region_id);
	json_w_str(&w, "code", region != NULL ? region->code : "");
	json_w_str(&w, "name", region != NULL ? region->name : "");
	json_w_obj_close(&w);
	if (region != NULL)
		json_w_str(&w, "meshKey", key_hex_put(region->mesh_key, KEY_BYTES, hex));
	put_links(t, r, &w);
	json_w_str(&w, "host", r->reported.host);
	json_w_bool(&w, "isAnnounced", r->r.is_announced && r->is_reachable);
	json_w_str(&w, "trouble", r->trouble.s);
	json_w_obj_close(&w);
	sodium_memzero(hex, sizeof(hex));
}

static void
tell_configs(struct tailnet *t)
{
	struct tailnet_relay *r;

	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;) {
		struct buf b = { .len = 0 };

		if (r->feed == NULL)
			continue;
		put_config(t, r, &b);
		relay_feed_config(r->feed, buf_cstr(&b));
		sodium_memzero(b.p, b.len);
		buf_fini(&b);
	}
}

/* --- what is stored of it --------------------------------------------------------------------- */

struct saving {
	struct tailnet *t;
	char name[REGION_RELAY_NAME_MAX];
};

static void
on_saved(void *arg, enum err rc, const struct err_text *why)
{
	struct saving *s = arg;
	struct tailnet_relay *r = rc == ERR_CLOSED ? NULL : tailnet_region_relay(s->t, s->name);

	if (r != NULL)
		r->is_saving = false;
	if (rc != ERR_OK && rc != ERR_CLOSED && rc != ERR_NOTFOUND)
		log_warn(LOG_COORD, "what a relay says of itself is not stored", "relay", s->name, "err",
		    why->s);
	free(s);
}

/* The record becomes next; what is a static text, NULL: nothing for the audit record. */
static void
save(struct tailnet *t, struct tailnet_relay *r, const struct region_relay *next, const char *what)
{
	static const struct actor by = { .name = "relay" };
	struct saving *s;
	struct txn *x;

	if (r->is_saving)
		return;		/* looked at again */
	s = obj_alloc(sizeof(*s));
	s->t = t;
	memcpy(s->name, r->r.name, sizeof(s->name));
	x = txn_new(t, on_saved, s);
	struct region_relay *to = txn_add(x, MUTATION_RELAY_SET)->u.relay = obj_alloc(sizeof(*to));
	*to = *next;
	if (what != NULL)
		audit_relay(x, &by, what, &r->r, next);
	r->is_saving = true;
	if (store_submit_take(t->deps.store, &x) != ERR_OK) {
		r->is_saving = false;
		free(s);
		x->done = NULL;
		txn_free(x);
	}
}

/* --- probes ----------------------------------------------------------------------------------- */

static void
tell_event(struct tailnet *t, const struct tailnet_relay *r, const char *what)
{
	struct tailnet_event e = { .what = what, .by = "" };
	char target[80];

	if (t->watch == NULL)
		return;
	snprintf(target, sizeof(target), "relay %s", r->r.name);
	e.target = target;
	t->watch(t->watch_arg, &e);
}

static void
probe_ended(struct tailnet *t, struct tailnet_relay *r, const char *why)
{
	bool is_good = why[0] == '\0';
	bool is_news = strcmp(r->trouble.s, why) != 0;

	if (is_good && !r->is_reachable)
		log_info(LOG_COORD, "a relay can be reached: clients are told of it", "relay", r->r.name,
		    "host", r->reported.host);
	else if (!is_good && is_news)
		log_warn(LOG_COORD, r->r.is_announced ? "a relay cannot be reached" :
		    "a relay cannot be reached: clients are not told of it", "relay", r->r.name, "why", why);
	is_news |= is_good != r->is_reachable;
	r->is_reachable = is_good;
	err_say(&r->trouble, ERR_OK, "%s", why);
	r->probe_due_mono_ms = clock_mono_ms() + 1000 * (is_good ? RELAY_PROBE_EVERY_S : RELAY_PROBE_AGAIN_S);
	tell_configs(t);
	if (is_news)
		tell_event(t, r, is_good ? "relay.reachable" : "relay.unreachable");
}

/* The probe of r, if it is time for one, or one has ended. true: one is under way. */
static bool
probe_look(struct tailnet *t, struct tailnet_relay *r)
{
	const char *why;

	if (r->probe != NULL && relay_probe_is_done(r->probe, &why)) {
		struct relay_probe *p = r->probe;

		r->probe = NULL;
		if (r->feed != NULL)
			probe_ended(t, r, why);
		relay_probe_drop(p);
	}
	if (r->probe == NULL && r->feed != NULL && r->probe_due_mono_ms != 0 &&
	    clock_mono_ms() >= r->probe_due_mono_ms) {
		r->probe = relay_probe_new(&r->reported);
		r->probe_due_mono_ms = clock_mono_ms() + 1000 * RELAY_PROBE_AGAIN_S;
	}
	return r->probe != NULL;
}

/* Does the record have to follow what is the case? */
static void
record_look(struct tailnet *t, struct tailnet_relay *r, int64_t now)
{
	int64_t gone_s = (int64_t)t->deps.cfg->derp.relay_gone_hours * 3600;
	struct region_relay next = r->r;
	int64_t seen = r->r.last_seen_unix_s;

	if (r->feed != NULL) {
		if (!r->is_reachable || (r->r.is_announced && region_node_eq(&r->r.node, &r->reported) &&
		    strcmp(r->r.version, r->version) == 0))
			return;
		next.node = r->reported;
		next.is_announced = true;
		next.last_seen_unix_s = now;
		memcpy(next.version, r->version, sizeof(next.version));
		save(t, r, &next, r->r.is_announced ? "relay.change" : "relay.announce");
		return;
	}
	/* Nobody could come while this server was away. */
	if (seen < t->regions->live->started_unix_s)
		seen = t->regions->live->started_unix_s;
	if (r->r.is_announced && gone_s != 0 && now - seen >= gone_s) {
		next.is_announced = false;
		log_warn(LOG_COORD, "a relay has been away for too long: clients are not told of it any more",
		    "relay", r->r.name);
		save(t, r, &next, "relay.withdraw");
	}
}

void
tailnet_relay_look(struct tailnet *t)
{
	struct tailnet_relay *r;
	bool is_probing = false;
	unsigned n_here = 0;

	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;) {
		is_probing |= probe_look(t, r);
		record_look(t, r, clock_wall_s());
		n_here += r->feed != NULL;
	}
	metric_set(METRIC_RELAYS, (int64_t)t->regions->relays.count);
	metric_set(METRIC_RELAYS_HERE, n_here);
	int ms = is_probing ? LOOK_SOON_MS : LOOK_MS;
	ASSERT(event_add(t->regions->live->timer,
	    &(struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 }) == 0);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_relay_look(t);
}

static void
look_now(struct tailnet *t)
{
	ASSERT(event_add(t->regions->live->timer, &(struct timeval){ .tv_usec = 0 }) == 0);
}

/* --- coming and going ------------------------------------------------------------------------- */

/* The stream has ended by itself. */
static void
on_gone(void *arg)
{
	struct tailnet_relay *r = arg;
	struct tailnet *t = r->t;

	OBJ_CHECK(r, TAILNET_RELAY_MAGIC);
	r->feed = NULL;
	r->since_unix_s = clock_wall_s();
	r->is_reachable = false;
	r->r.last_seen_unix_s = r->since_unix_s;
	log_warn(LOG_COORD, "a relay has gone", "relay", r->r.name, "stays",
	    r->r.is_announced ? "in the DERP map" : "unknown to clients");
	save(t, r, &r->r, NULL);
	tell_event(t, r, "relay.offline");
}

static void
feed_drop(struct tailnet_relay *r)
{
	if (r->feed != NULL)
		relay_feed_end(r->feed);
	r->feed = NULL;
	relay_probe_drop(r->probe);
	r->probe = NULL;
}

enum err
tailnet_relay_attach(struct tailnet *t, struct tailnet_relay *r, const struct relay_hello *h,
	const struct net_ip *from, struct relay_feed **out, struct err_text *why)
{
	struct buf b = { .len = 0 };
	char ip[NET_TEXT_MAX];

	OBJ_CHECK(r, TAILNET_RELAY_MAGIC);
	if (r->feed != NULL && memcmp(r->derp_key, h->derp_key, KEY_BYTES) != 0)
		return err_say(why, ERR_EXISTS, "relay %s is connected already, from %s: each relay needs a "
		    "key of its own (fairlead relays add)", r->r.name, net_ip_put(&r->from, ip));
	feed_drop(r);
	r->t = t;
	r->reported = h->node;
	memcpy(r->derp_key, h->derp_key, KEY_BYTES);
	memcpy(r->version, h->version, sizeof(r->version));
	r->from = *from;
	r->since_unix_s = clock_wall_s();
	r->is_reachable = false;
	r->trouble.s[0] = '\0';
	r->probe_due_mono_ms = clock_mono_ms();
	put_config(t, r, &b);
	r->feed = relay_feed_new(t->regions->live->hub, buf_cstr(&b), on_gone, r);
	sodium_memzero(b.p, b.len);
	buf_fini(&b);
	log_info(LOG_COORD, "a relay has come", "relay", r->r.name, "ip", net_ip_put(from, ip), "version",
	    r->version);
	tell_event(t, r, "relay.online");
	look_now(t);
	*out = r->feed;
	return ERR_OK;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Of tailnet_regions. */
static void
on_change(struct tailnet *t, struct tailnet_relay *r, bool is_gone)
{
	if (is_gone) {
		feed_drop(r);
		return;
	}
	if (t->priv->is_started)
		tell_configs(t);
}

void
tailnet_relay_start(struct tailnet *t, const struct private_key *noise)
{
	struct tailnet_relays *l = obj_alloc(sizeof(*l));

	l->hub = relay_hub_new(t->deps.base, noise, t->deps.cfg->derp.relay_valid_hours * 3600);
	l->timer = evtimer_new(t->deps.base, on_look, t);
	ASSERT(l->timer != NULL);
	l->started_unix_s = clock_wall_s();
	t->regions->live = l;
	t->regions->_on_change = on_change;
	look_now(t);
}

void
tailnet_relay_stop(struct tailnet *t)
{
	struct tailnet_relays *l = t->regions->live;
	struct tailnet_relay *r;

	if (l == NULL)
		return;
	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;)
		feed_drop(r);
	event_free(l->timer);
	relay_hub_free(l->hub);
	free(l);
	t->regions->live = NULL;
	t->regions->_on_change = NULL;
}

void
tailnet_relay_note(struct tailnet *t, const struct node_key *key, bool is_admitted)
{
	relay_hub_note(t->regions->live->hub, key, is_admitted);
}

const uint8_t *
tailnet_relay_public(const struct tailnet *t)
{
	return relay_hub_public(t->regions->live->hub);
}

/* --- credentials ------------------------------------------------------------------------------ */

struct tailnet_relay *
tailnet_relay_check(struct tailnet *t, const char *text, size_t n, struct err_text *why)
{
	static const uint8_t nothing[SECRET_HASH_BYTES];
	struct tailnet_relay *r, *found = NULL;
	uint8_t hash[SECRET_HASH_BYTES];
	char id[SECRET_ID_MAX];

	if (secret_parse(REGION_KEY_PREFIX, text, n, id, hash) != ERR_OK) {
		err_say(why, ERR_DENIED, "that is no key of a relay (" REGION_KEY_PREFIX "…): fairlead "
		    "relays add makes one");
		return NULL;
	}
	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;)
		if (memcmp(r->r.id, id, sizeof(id)) == 0)
			found = r;
	bool is_right = sodium_memcmp(hash, found != NULL ? found->r.secret_hash : nothing, sizeof(hash)) == 0;
	if (found != NULL && is_right)
		return found;
	err_say(why, ERR_DENIED, "this key of a relay is not known here: it was removed, or is mistyped");
	return NULL;
}

static void
refuse(tailnet_done_fn *done, void *arg, enum err rc, const struct err_text *why)
{
	tailnet_op_answer(done, arg, rc, why, 0);
}

static enum err
create_check(const struct tailnet *t, const char *name, unsigned region_id, struct err_text *why)
{
	const struct region *region = tailnet_region_find(t, region_id);
	enum err rc = region_relay_name_check(name, why);

	if (rc != ERR_OK)
		return rc;
	if (tailnet_region_relay(t, name) != NULL)
		return err_say(why, ERR_EXISTS, "there is a relay %s already", name);
	if (tailnet_region_is_own(t, region_id))
		return err_say(why, ERR_DENIED, "region %u is this server's own: relays on other machines "
		    "need another one (fairlead regions add CODE)", region_id);
	if (region == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no region %u: fairlead regions add CODE makes one",
		    region_id);
	if (tailnet_region_is_configured(t, region_id))
		return err_say(why, ERR_DENIED, "region %u is in a file of derp.paths: its relays are named "
		    "there", region_id);
	if (t->regions->relays.count >= REGION_RELAYS_MAX)
		return err_say(why, ERR_FULL, "there are %d relays: too many", REGION_RELAYS_MAX);
	if (region->n_nodes + tailnet_region_relays(t, region_id) >= REGION_NODES_MAX)
		return err_say(why, ERR_LIMIT, "a region has at most %d nodes and relays together",
		    REGION_NODES_MAX);
	return ERR_OK;
}

void
tailnet_relay_create(struct tailnet *t, const struct actor *by, const char *name, unsigned region_id,
	tailnet_done_fn *done, void *arg)
{
	struct region_relay *r;
	struct tailnet_op *op;
	struct err_text why;
	struct txn *x;
	enum err rc = create_check(t, name, region_id, &why);

	if (rc != ERR_OK) {
		refuse(done, arg, rc, &why);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "a relay of this name was made just now";
	op->id = region_id;
	x = tailnet_op_txn(op);
	r = txn_add(x, MUTATION_RELAY_ADD)->u.relay = obj_alloc(sizeof(*r));
	memcpy(r->name, name, strlen(name));
	secret_make(REGION_KEY_PREFIX, r->id, r->secret_hash, op->secret);
	memcpy(op->key_id, r->id, sizeof(op->key_id));
	r->region_id = region_id;
	r->created_unix_s = clock_wall_s();
	audit_relay(x, by, "relay.create", NULL, r);
	tailnet_op_submit_take(op, x);
}

void
tailnet_relay_remove(struct tailnet *t, const struct actor *by, const char *name, tailnet_done_fn *done,
	void *arg)
{
	const struct tailnet_relay *r = tailnet_region_relay(t, name);
	struct tailnet_op *op;
	struct err_text why;
	struct txn *x;

	if (r == NULL) {
		refuse(done, arg, err_say(&why, ERR_NOTFOUND, "there is no relay \"%.60s\"", name), &why);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = tailnet_op_txn(op);
	struct region_relay *del = txn_add(x, MUTATION_RELAY_DEL)->u.relay = obj_alloc(sizeof(*del));
	*del = r->r;
	audit_relay(x, by, "relay.remove", &r->r, NULL);
	tailnet_op_submit_take(op, x);
}
