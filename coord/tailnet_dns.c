/* Settings in effect, and what makes them change. */
#include "coord/tailnet_dns.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "coord/change.h"
#include "coord/dns_file.h"
#include "coord/dns_lookup.h"
#include "coord/dns_spec.h"
#include "coord/tailnet_private.h"

#define TAILNET_DNS_MAGIC	0xd5000001u
#define REMAKE_MS		100	/* nodes come and go in crowds */

struct tailnet_dns {
	uint32_t magic;
	struct tailnet *t;
	struct dns_params params;	/* tailnet.dns points here */
	json_t *spec;			/* committed; never NULL */
	json_t *next;			/* with changes under way; NULL: none is */
	unsigned n_under_way;
	struct dns_wanted *wanted;	/* owned */
	unsigned n_wanted;
	bool leads_to_nodes;		/* a record does */
	struct dns_file file;		/* path NULL: none */
	struct dns_lookup *lookup;
	struct event *file_timer, *remake;	/* NULL before the start */
};

/* A change on its way. */
struct change {
	struct tailnet_dns *d;
	tailnet_done_fn *done;
	void *arg;
};

static bool
find_node(void *arg, const char *label, struct dns_ips *out)
{
	struct tailnet_dns *d = arg;
	char key[DNS_LABEL_MAX] = "";
	const struct node *n;

	d->leads_to_nodes = true;
	snprintf(key, sizeof(key), "%s", label);
	if ((n = map_find(&d->t->nodes_by_name, key)) == NULL)
		return false;
	dns_ips_add(out, &n->ip4);
	dns_ips_add(out, &n->ip6);
	return true;
}

static bool
find_outside(void *arg, const char *name, struct dns_ips *out, char problem[DNS_PROBLEM_MAX])
{
	struct tailnet_dns *d = arg;

	return dns_lookup_find(d->lookup, name, out, problem);
}

static void
wanted_fini(struct tailnet_dns *d)
{
	for (unsigned i = 0; i < d->n_wanted; i++)
		dns_record_fini(&d->wanted[i].r);
	free(d->wanted);
	d->wanted = NULL;
	d->n_wanted = 0;
}

/* Moves the records of p, of which the first n_config are configured and the next n_file of the file. */
static void
wanted_take(struct tailnet_dns *d, struct dns_params *p, unsigned n_config, unsigned n_file)
{
	wanted_fini(d);
	d->n_wanted = p->n_records;
	d->wanted = obj_alloc((d->n_wanted + 1) * sizeof(*d->wanted));
	for (unsigned i = 0; i < d->n_wanted; i++)
		d->wanted[i] = (struct dns_wanted){ .r = p->records[i],
			.origin = i < n_config ? DNS_OF_CONFIG :
			    i < n_config + n_file ? DNS_OF_FILE : DNS_OF_API };
	free(p->records);
	p->records = NULL;
	p->n_records = 0;
}

/* Everything from its sources. */
static void
make(struct tailnet_dns *d)
{
	struct dns_finder f = { .arg = d, .node = find_node, .outside = find_outside };
	struct dns_params p = { .n_split = 0 };
	unsigned n_config;

	dns_spec_config(d->t->deps.cfg, &p);
	n_config = p.n_records;
	for (unsigned i = 0; i < d->file.good.n_records; i++) {
		const struct dns_record *r = &d->file.good.records[i];

		dns_record_add(&p, r->name, r->type, r->value);
	}
	dns_spec_apply(d->spec, &p);
	wanted_take(d, &p, n_config, d->file.good.n_records);
	d->leads_to_nodes = false;
	dns_lookup_begin(d->lookup);
	dns_resolve(d->wanted, d->n_wanted, &f, &p);
	dns_lookup_end(d->lookup);
	if (p.n_records > DNS_SPEC_RECORDS_WARN && d->params.n_records <= DNS_SPEC_RECORDS_WARN)
		log_warn(LOG_COORD, "many DNS records: every client holds all of them", "records",
		    LOG_NUM(p.n_records));
	dns_params_fini(&d->params);
	d->params = p;
}

static void
remake(struct tailnet_dns *d)
{
	make(d);
	change_note_all(d->t, CHANGE_ALL_DNS);
}

static void
on_remake(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet_dns *d = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	remake(d);
}

static void
remake_soon(struct tailnet_dns *d)
{
	struct timeval tv = { .tv_usec = REMAKE_MS * 1000 };

	if (!event_pending(d->remake, EV_TIMEOUT, NULL))
		event_add(d->remake, &tv);
}

static void
on_looked_up(void *arg)
{
	remake_soon(arg);
}

static void
on_file_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet_dns *d = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	if (dns_file_look(&d->file))
		remake(d);
}

void
tailnet_dns_init(struct tailnet *t)
{
	struct tailnet_dns *d = obj_alloc(sizeof(*d));

	d->magic = TAILNET_DNS_MAGIC;
	d->t = t;
	d->spec = json_object();
	t->dns_live = d;
}

void
tailnet_dns_start(struct tailnet *t)
{
	struct tailnet_dns *d = t->dns_live;
	const char *path = t->deps.cfg->dns.records_file;
	struct timeval tv = { .tv_sec = DNS_FILE_LOOK_MS / 1000, .tv_usec = DNS_FILE_LOOK_MS % 1000 * 1000 };

	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	d->lookup = dns_lookup_new(t->deps.base, on_looked_up, d);
	d->remake = event_new(t->deps.base, -1, 0, on_remake, d);
	ASSERT(d->remake != NULL);
	if (path != NULL && *path != 0) {
		d->file.path = path;
		(void)dns_file_look(&d->file);
		d->file_timer = event_new(t->deps.base, -1, EV_PERSIST, on_file_timer, d);
		ASSERT(d->file_timer != NULL);
		event_add(d->file_timer, &tv);
	}
	make(d);
	t->dns = &d->params;
}

void
tailnet_dns_fini(struct tailnet *t)
{
	struct tailnet_dns *d = t->dns_live;

	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	t->dns = NULL;
	if (d->remake != NULL)
		event_free(d->remake);
	if (d->file_timer != NULL)
		event_free(d->file_timer);
	dns_lookup_free(d->lookup);
	dns_file_fini(&d->file);
	wanted_fini(d);
	dns_params_fini(&d->params);
	json_decref(d->spec);
	json_decref(d->next);
	d->magic = 0;
	free(d);
	t->dns_live = NULL;
}

void
tailnet_dns_nodes_changed(struct tailnet *t)
{
	struct tailnet_dns *d = t->dns_live;

	if (d->remake != NULL && d->leads_to_nodes)
		remake_soon(d);
}

void
tailnet_dns_apply(struct tailnet *t, struct mutation *m)
{
	struct tailnet_dns *d = t->dns_live;
	struct err_text why = { "" };
	json_t *spec = NULL;
	enum err rc = json_parse(m->u.dns.json, strlen(m->u.dns.json), &spec, &why);

	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	if (rc == ERR_OK && (rc = dns_spec_check(spec, &why)) == ERR_OK) {
		json_decref(d->spec);
		d->spec = json_incref(spec);
	} else {
		log_warn(LOG_STORE, "stored DNS settings cannot be used: as configured", "err", why.s);
	}
	json_decref(spec);
	if (rc == ERR_OK && t->dns != NULL)
		remake(d);
}

const json_t *
tailnet_dns_spec(const struct tailnet *t)
{
	const struct tailnet_dns *d = t->dns_live;

	OBJ_CHECK(d, TAILNET_DNS_MAGIC);
	return d->next != NULL ? d->next : d->spec;
}

static enum err
spec_check(const struct tailnet *t, const json_t *spec, struct err_text *why)
{
	struct dns_params p = { .n_split = 0 };
	enum err rc = dns_spec_check(spec, why);

	if (rc != ERR_OK)
		return rc;
	dns_spec_config(t->deps.cfg, &p);
	dns_spec_apply(spec, &p);
	if (json_object_get(spec, "overrideLocalDNS") == NULL)
		p.override_local = false;	/* it comes with the first nameserver */
	rc = dns_params_check(&p, why);
	dns_params_fini(&p);
	return rc;
}

/* Records of from that to has not, or otherwise: there may be thousands, of which one is changed. */
static json_t *
other_records(const json_t *from, const json_t *to)
{
	json_t *known = json_object(), *out = json_array(), *v;
	size_t i;

	json_array_foreach(to, i, v)
		json_object_set(known, json_get_str(v, "id", ""), v);
	json_array_foreach(from, i, v)
		if (!json_equal(v, json_object_get(known, json_get_str(v, "id", ""))))
			json_array_append(out, v);
	json_decref(known);
	return out;
}

/* Members of from that to has otherwise, as JSON text; the caller's. */
static char *
difference(const json_t *from, const json_t *to)
{
	json_t *out = json_object(), *v;
	const char *name;
	char *text;

	json_object_foreach((json_t *)(uintptr_t)from, name, v) {
		const json_t *other = json_object_get(to, name);

		if (json_equal(v, other))
			continue;
		if (strcmp(name, "records") == 0)
			json_object_set_new(out, name, other_records(v, other));
		else
			json_object_set(out, name, v);
	}
	text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	ASSERT(text != NULL);
	return text;
}

/* tailnet_done_fn */
static void
on_set(void *arg, const struct tailnet_result *res)
{
	struct change c = *(struct change *)arg;

	free(arg);
	OBJ_CHECK(c.d, TAILNET_DNS_MAGIC);
	if (--c.d->n_under_way == 0) {
		json_decref(c.d->next);
		c.d->next = NULL;
	}
	if (c.done != NULL)
		c.done(c.arg, res);
}

void
tailnet_dns_set(struct tailnet *t, const struct actor *by, json_t *spec_taken, tailnet_done_fn *done,
	void *arg)
{
	struct tailnet_dns *d = t->dns_live;
	const json_t *before = tailnet_dns_spec(t);
	struct err_text why = { "" };
	enum err rc = spec_check(t, spec_taken, &why);
	struct change *c;
	struct tailnet_op *op;
	struct mutation *m;
	struct txn *x;

	if (rc != ERR_OK || json_equal(before, spec_taken)) {
		json_decref(spec_taken);
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	c = obj_alloc(sizeof(*c));
	*c = (struct change){ .d = d, .done = done, .arg = arg };
	op = tailnet_op_new(t, on_set, c);
	x = tailnet_op_txn(op);
	m = txn_add(x, MUTATION_DNS);
	m->u.dns.json = json_dumps(spec_taken, JSON_COMPACT);
	ASSERT(m->u.dns.json != NULL);
	audit_dns(x, by, difference(before, spec_taken), difference(spec_taken, before));
	json_decref(d->next);
	d->next = spec_taken;
	d->n_under_way++;
	tailnet_op_submit_take(op, x);
}

const struct dns_wanted *
tailnet_dns_records(const struct tailnet *t, unsigned *n)
{
	*n = t->dns_live->n_wanted;
	return t->dns_live->wanted;
}

const char *
tailnet_dns_file_problem(const struct tailnet *t)
{
	return t->dns_live->file.problem[0] != 0 ? t->dns_live->file.problem : NULL;
}
