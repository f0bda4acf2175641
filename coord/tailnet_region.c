/* Regions: records, changes, and what the DERP map has of them. */
#include "coord/tailnet_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "coord/change.h"
#include "coord/tailnet_private.h"

/* --- look-ups --------------------------------------------------------------------------------- */

static struct region *
configured(const struct tailnet_regions *s, unsigned id)
{
	for (unsigned i = 0; i < s->n_configured; i++)
		if (s->configured[i]->id == id)
			return s->configured[i];
	return NULL;
}

const struct region *
tailnet_region_find(const struct tailnet *t, unsigned id)
{
	const struct region *r = map_find(&t->regions->by_id, &id);

	return r != NULL ? r : configured(t->regions, id);
}

bool
tailnet_region_is_configured(const struct tailnet *t, unsigned id)
{
	return map_find(&t->regions->by_id, &id) == NULL && configured(t->regions, id) != NULL;
}

bool
tailnet_region_is_own(const struct tailnet *t, unsigned id)
{
	return t->deps.cfg->derp.is_enabled && id == t->deps.cfg->derp.region_id;
}

struct tailnet_relay *
tailnet_region_relay(const struct tailnet *t, const char *name)
{
	char key[REGION_RELAY_NAME_MAX] = "";

	if (strlen(name) >= sizeof(key))
		return NULL;
	memcpy(key, name, strlen(name));
	return map_find(&t->regions->relays, key);
}

unsigned
tailnet_region_relays(const struct tailnet *t, unsigned id)
{
	const struct tailnet_relay *r;
	unsigned n = 0;

	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;)
		n += r->r.region_id == id;
	return n;
}

/* --- the map ---------------------------------------------------------------------------------- */

static int
id_order(const void *a, const void *b)
{
	const struct region *x = *(struct region *const *)a, *y = *(struct region *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

static int
name_order(const void *a, const void *b)
{
	return strcmp((*(struct tailnet_relay *const *)a)->r.name, (*(struct tailnet_relay *const *)b)->r.name);
}

static void
list_free(struct region **list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		explicit_bzero(list[i]->mesh_key, KEY_BYTES);
		free(list[i]);
	}
	free(list);
}

static struct region *
map_region(struct tailnet_regions *s, const struct region *from)
{
	struct region *r = obj_alloc(sizeof(*r));

	*r = *from;
	s->in_map[s->n_in_map++] = r;
	return r;
}

/* The one that a relay's node goes into; the server's own begins empty. */
static struct region *
map_region_of(struct tailnet *t, unsigned id)
{
	struct tailnet_regions *s = t->regions;
	struct region own = { .id = id };

	for (unsigned i = 0; i < s->n_in_map; i++)
		if (s->in_map[i]->id == id)
			return s->in_map[i];
	if (!tailnet_region_is_own(t, id))
		return NULL;
	return map_region(s, &own);
}

static void
map_relays(struct tailnet *t)
{
	struct tailnet_regions *s = t->regions;
	struct tailnet_relay **list = obj_alloc((s->relays.count + 1) * sizeof(*list)), *r;
	size_t n = 0;

	for (size_t at = 0; (r = map_next(&s->relays, &at)) != NULL;)
		if (r->r.is_announced)
			list[n++] = r;
	qsort(list, n, sizeof(*list), name_order);
	for (size_t i = 0; i < n; i++) {
		struct region *region = map_region_of(t, list[i]->r.region_id);

		if (region != NULL && region->n_nodes < REGION_NODES_MAX)
			region->nodes[region->n_nodes++] = list[i]->r.node;
	}
	free(list);
}

/* Makes the map anew, and tells nodes if it is another. */
static void
remap(struct tailnet *t)
{
	struct tailnet_regions *s = t->regions;
	struct region **before = s->in_map, *r;
	unsigned n_before = s->n_in_map;

	s->in_map = obj_alloc((s->by_id.count + s->n_configured + 1) * sizeof(struct region *));
	s->n_in_map = 0;
	for (size_t at = 0; (r = map_next(&s->by_id, &at)) != NULL;)
		if (!tailnet_region_is_own(t, r->id))
			map_region(s, r);
	for (unsigned i = 0; i < s->n_configured; i++)
		if (tailnet_region_find(t, s->configured[i]->id) == s->configured[i])
			map_region(s, s->configured[i]);
	map_relays(t);
	qsort(s->in_map, s->n_in_map, sizeof(struct region *), id_order);
	if (t->priv->is_started)
		change_note_all(t, CHANGE_ALL_DERP);
	list_free(before, n_before);
}

/* --- life ------------------------------------------------------------------------------------- */

void
tailnet_region_init(struct tailnet *t)
{
	struct tailnet_regions *s = obj_alloc(sizeof(*s));

	s->magic = TAILNET_REGIONS_MAGIC;
	MAP_INIT(&s->by_id, struct region, id);
	MAP_INIT(&s->relays, struct tailnet_relay, r.name);
	t->regions = s;
}

/* Before the map state is loaded, which reads in_map. */
void
tailnet_region_start(struct tailnet *t)
{
	bool is_started = t->priv->is_started;

	t->priv->is_started = false;
	remap(t);
	t->priv->is_started = is_started;
}

void
tailnet_region_fini(struct tailnet *t)
{
	struct tailnet_regions *s = t->regions;
	struct tailnet_relay *relay;
	struct region *r;

	OBJ_CHECK(s, TAILNET_REGIONS_MAGIC);
	for (size_t at = 0; (relay = map_next(&s->relays, &at)) != NULL;)
		free(relay);
	for (size_t at = 0; (r = map_next(&s->by_id, &at)) != NULL;) {
		explicit_bzero(r->mesh_key, KEY_BYTES);
		free(r);
	}
	map_fini(&s->relays);
	map_fini(&s->by_id);
	list_free(s->configured, s->n_configured);
	list_free(s->in_map, s->n_in_map);
	s->magic = 0;
	free(s);
	t->regions = NULL;
}

void
tailnet_region_configure_take(struct tailnet *t, struct region **list, unsigned n)
{
	ASSERT(t->regions->configured == NULL);
	t->regions->configured = list;
	t->regions->n_configured = n;
}

static void
apply_region(struct tailnet *t, struct mutation *m)
{
	struct region *r = map_find(&t->regions->by_id, &m->u.region->id);

	if (m->kind == MUTATION_REGION_ADD) {
		ASSERT(r == NULL);
		r = obj_alloc(sizeof(*r));
		*r = *m->u.region;
		ASSERT(map_put(&t->regions->by_id, r) == NULL);
	} else if (m->kind == MUTATION_REGION_SET) {
		ASSERT(r != NULL);
		*r = *m->u.region;
	} else {
		ASSERT(r != NULL);
		map_remove(&t->regions->by_id, &r->id);
		explicit_bzero(r->mesh_key, KEY_BYTES);
		free(r);
	}
}

static void
tell(struct tailnet *t, struct tailnet_relay *r, bool is_gone)
{
	if (t->regions->_on_change != NULL)
		t->regions->_on_change(t, r, is_gone);
}

static void
apply_relay(struct tailnet *t, struct mutation *m)
{
	struct tailnet_relay *r = map_find(&t->regions->relays, m->u.relay->name);

	if (m->kind == MUTATION_RELAY_ADD) {
		ASSERT(r == NULL);
		r = obj_alloc(sizeof(*r));
		r->magic = TAILNET_RELAY_MAGIC;
		r->r = *m->u.relay;
		ASSERT(map_put(&t->regions->relays, r) == NULL);
	} else if (m->kind == MUTATION_RELAY_SET) {
		OBJ_CHECK(r, TAILNET_RELAY_MAGIC);
		r->r = *m->u.relay;
	} else {
		OBJ_CHECK(r, TAILNET_RELAY_MAGIC);
		tell(t, r, true);
		map_remove(&t->regions->relays, m->u.relay->name);
		r->magic = 0;
		free(r);
		return;
	}
	tell(t, r, false);
}

void
tailnet_region_apply(struct tailnet *t, struct mutation *m)
{
	if (m->kind == MUTATION_REGION_ADD || m->kind == MUTATION_REGION_SET || m->kind == MUTATION_REGION_DEL)
		apply_region(t, m);
	else
		apply_relay(t, m);
	if (!t->priv->is_started)
		return;		/* loading */
	remap(t);
	tell(t, NULL, false);
}

void
tailnet_region_mutation_fini(struct mutation *m)
{
	if (m->kind == MUTATION_RELAY_ADD || m->kind == MUTATION_RELAY_SET || m->kind == MUTATION_RELAY_DEL) {
		free(m->u.relay);
		return;
	}
	if (m->u.region != NULL)
		explicit_bzero(m->u.region->mesh_key, KEY_BYTES);
	free(m->u.region);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Another region with this code, or NULL. */
static const struct region *
code_find(const struct tailnet *t, const struct region *like)
{
	const struct tailnet_regions *s = t->regions;
	const struct region *r;

	for (size_t at = 0; (r = map_next(&s->by_id, &at)) != NULL;)
		if (r->id != like->id && strcmp(r->code, like->code) == 0)
			return r;
	for (unsigned i = 0; i < s->n_configured; i++)
		if (s->configured[i]->id != like->id && strcmp(s->configured[i]->code, like->code) == 0)
			return s->configured[i];
	return NULL;
}

static enum err
check(const struct tailnet *t, const struct region *r, struct err_text *why)
{
	const struct config *cfg = t->deps.cfg;
	const struct region *other;
	enum err rc = region_check(r, why);

	if (rc != ERR_OK)
		return rc;
	if (tailnet_region_is_own(t, r->id))
		return err_say(why, ERR_EXISTS, "region %u is this server's own: derp.region_id of its "
		    "configuration", r->id);
	if (cfg->derp.is_enabled && strcmp(cfg->derp.region_code, r->code) == 0)
		return err_say(why, ERR_EXISTS, "the code %s is this server's own region's", r->code);
	if ((other = code_find(t, r)) != NULL)
		return err_say(why, ERR_EXISTS, "region %u has the code %s already", other->id, r->code);
	return ERR_OK;
}

static unsigned
free_id(const struct tailnet *t)
{
	unsigned id = 1;

	while (tailnet_region_find(t, id) != NULL || tailnet_region_is_own(t, id))
		id++;
	return id;
}

static void
refuse(tailnet_done_fn *done, void *arg, enum err rc, const struct err_text *why)
{
	tailnet_op_answer(done, arg, rc, why, 0);
}

/* Sends off the change from before to after, one of which may be NULL. */
static void
submit(struct tailnet *t, const struct actor *by, const struct region *before, const struct region *after,
	struct tailnet_op *op)
{
	enum mutation_kind kind = before == NULL ? MUTATION_REGION_ADD :
	    after == NULL ? MUTATION_REGION_DEL : MUTATION_REGION_SET;
	struct txn *x = tailnet_op_txn(op);
	struct region *r = txn_add(x, kind)->u.region = obj_alloc(sizeof(*r));

	(void)t;
	*r = after != NULL ? *after : *before;
	op->id = r->id;
	op->exists_text = "a region with this id or code was made just now";
	audit_region(x, by, before == NULL ? "region.create" : after == NULL ? "region.remove" : "region.set",
	    before, after);
	tailnet_op_submit_take(op, x);
}

void
tailnet_region_create(struct tailnet *t, const struct actor *by, const struct region *spec,
	tailnet_done_fn *done, void *arg)
{
	struct region r = *spec;
	const struct region *other;
	struct err_text why;
	enum err rc;

	if (r.id == 0)
		r.id = free_id(t);
	if (t->regions->by_id.count >= REGIONS_MAX)
		rc = err_say(&why, ERR_FULL, "there are %d regions: too many", REGIONS_MAX);
	else if ((other = tailnet_region_find(t, r.id)) != NULL)
		rc = err_say(&why, ERR_EXISTS, "region %u is there already: %s", r.id, other->name);
	else
		rc = check(t, &r, &why);
	if (rc != ERR_OK) {
		refuse(done, arg, rc, &why);
		return;
	}
	static const uint8_t none[KEY_BYTES];
	if (memcmp(r.mesh_key, none, KEY_BYTES) == 0)
		rand_bytes(r.mesh_key, KEY_BYTES);
	r.created_unix_s = clock_wall_s();
	submit(t, by, NULL, &r, tailnet_op_new(t, done, arg));
	explicit_bzero(r.mesh_key, KEY_BYTES);
}

/* The stored one; NULL: refused with a reason. */
static const struct region *
find_or_refuse(struct tailnet *t, unsigned id, tailnet_done_fn *done, void *arg)
{
	const struct region *r = map_find(&t->regions->by_id, &id);
	struct err_text why;

	if (r != NULL)
		return r;
	if (tailnet_region_is_own(t, id))
		refuse(done, arg, err_say(&why, ERR_DENIED, "region %u is this server's own: its configuration "
		    "(derp.*) says what it is", id), &why);
	else if (tailnet_region_is_configured(t, id))
		refuse(done, arg, err_say(&why, ERR_DENIED, "region %u is in a file of derp.paths: change it "
		    "there", id), &why);
	else
		refuse(done, arg, err_say(&why, ERR_NOTFOUND, "there is no region %u", id), &why);
	return NULL;
}

void
tailnet_region_set(struct tailnet *t, const struct actor *by, const struct region *r, tailnet_done_fn *done,
	void *arg)
{
	const struct region *before = find_or_refuse(t, r->id, done, arg);
	struct err_text why;
	enum err rc;

	if (before == NULL)
		return;
	rc = check(t, r, &why);
	if (rc == ERR_OK && r->n_nodes + tailnet_region_relays(t, r->id) > REGION_NODES_MAX)
		rc = err_say(&why, ERR_LIMIT, "a region has at most %d nodes and relays together",
		    REGION_NODES_MAX);
	if (rc != ERR_OK)
		refuse(done, arg, rc, &why);
	else
		submit(t, by, before, r, tailnet_op_new(t, done, arg));
}

void
tailnet_region_remove(struct tailnet *t, const struct actor *by, unsigned id, tailnet_done_fn *done, void *arg)
{
	const struct region *before = find_or_refuse(t, id, done, arg);
	unsigned n = tailnet_region_relays(t, id);
	struct err_text why;

	if (before == NULL)
		return;
	if (n > 0)
		refuse(done, arg, err_say(&why, ERR_EXISTS, "region %u has %u relay%s: remove %s "
		    "first (fairlead relays list)", id, n, n == 1 ? "" : "s", n == 1 ? "it" : "them"), &why);
	else
		submit(t, by, before, NULL, tailnet_op_new(t, done, arg));
}
