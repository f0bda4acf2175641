/* What classes are told, made anew where it may be something else. */
#include "coord/policy_ssh.h"
#include "coord/policy_world_private.h"

struct policy_bundle *
policy_bundle_hold(struct policy_bundle *b)
{
	b->refs++;
	return b;
}

void
policy_bundle_drop(struct policy_bundle *b)
{
	if (b == NULL || --b->refs > 0)
		return;
	shbuf_drop(b->filter);
	shbuf_drop(b->parts);
	shbuf_drop(b->caps);
	free(b);
}

bool
policy_world_wants_ssh(const struct policy_world *w, const struct policy_class_private *c)
{
	for (unsigned i = 0; i < w->policy->n_ssh && c->facts.user_id >= 0; i++) {
		const struct policy_list *lists[] = { &w->policy->ssh[i].src, &w->policy->ssh[i].dst };

		for (unsigned k = 0; k < COUNT_OF(lists); k++) {
			for (unsigned j = 0; j < lists[k]->n; j++) {
				uint32_t sel = lists[k]->v[j];

				if (pw_list_has(&c->facts.sels, sel) || (c->facts.user_id > 0 &&
				    w->policy->sels[sel].kind == POLICY_SEL_SELF))
					return true;
			}
		}
	}
	return false;
}

/* Whether the class is told anything else. */
static bool
bundle_make(struct policy_class_private *c)
{
	struct policy_bundle *old = c->class.bundle, *b;

	if (old != NULL && old->filter == c->program->text && old->ssh == c->ssh &&
	    shbuf_eq(old->caps, c->caps))
		return false;
	b = obj_alloc(sizeof(*b));
	b->refs = 1;
	b->filter = shbuf_hold(c->program->text);
	b->parts = c->program->parts == NULL ? NULL : shbuf_hold(c->program->parts);
	b->ssh = c->ssh;
	b->caps = shbuf_hold(c->caps);
	b->is_ipv4_off = c->is_ipv4_off;
	b->is_exit_suggested = c->is_exit_suggested;
	c->class.bundle = b;
	policy_bundle_drop(old);
	return true;
}

static bool
program_refresh(struct policy_world *w, struct pw_program *g)
{
	struct policy_class_private *c;
	bool is_changed = false;

	if (g->refreshed == w->_p->n_refreshes)
		return false;		/* by another of its classes */
	g->refreshed = w->_p->n_refreshes;
	if (!policy_world_program_refresh(w, g))
		return false;
	TAILQ_FOREACH(c, &g->classes, program_link) {
		if (!c->is_new)
			is_changed = bundle_make(c) || is_changed;
	}
	return is_changed;
}

/* Classes that route tailnet addresses: their filters name those that are there. */
static void
odd_refresh(struct policy_world *w)
{
	const struct pw_prefix *x;

	TAILQ_FOREACH(x, &w->_p->wide, link) {
		for (uint32_t i = 0; i < x->n_routers && !x->is_exit; i++) {
			struct policy_class_private *c = pw_private(x->routers[i]->class);

			if (policy_world_program_again(w, c) && !c->is_new) {
				/* As if it were: its bundle is looked at when all texts are
				 * made. */
				c->is_new = true;
				TAILQ_INSERT_TAIL(&w->_p->new_classes, c, new_link);
			}
		}
	}
}

static bool
filters_refresh(struct policy_world *w, bool is_any_source)
{
	struct policy_world_private *p = w->_p;
	struct policy_class_private *c;
	struct pw_program *g;
	struct pw_user *u;
	bool is_changed = false;
	size_t cursor = 0;

	while (is_any_source && (g = map_next(&p->programs, &cursor)) != NULL)
		is_changed = program_refresh(w, g) || is_changed;
	TAILQ_FOREACH(u, &p->touched_users, touched_link) {
		TAILQ_FOREACH(c, &u->classes, user_link)
			is_changed = program_refresh(w, c->program) || is_changed;
	}
	TAILQ_FOREACH(c, &p->new_classes, new_link)
		is_changed = program_refresh(w, c->program) || is_changed;
	while ((u = TAILQ_FIRST(&p->touched_users)) != NULL) {
		TAILQ_REMOVE(&p->touched_users, u, touched_link);
		u->is_touched = false;
	}
	return is_changed;
}

void
policy_world_ssh_touch(struct policy_world *w)
{
	policy_ssh_maker_free(w->_p->ssh);
	w->_p->ssh = NULL;
	w->_p->is_ssh_touched = true;
}

struct policy_ssh_maker *
policy_world_ssh(struct policy_world *w)
{
	if (w->_p->ssh == NULL)
		w->_p->ssh = policy_ssh_maker_new(w);
	return w->_p->ssh;
}

/* SSH policies name sources: all that a rule concerns are looked at when one comes or goes. */
static bool
ssh_refresh(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	struct policy_class_private *c;
	bool is_changed = false;
	size_t cursor = 0;

	TAILQ_FOREACH(c, &p->new_classes, new_link)
		c->ssh = c->is_ssh_wanted ? policy_ssh_maker_digest(policy_world_ssh(w), &c->class) : 0;
	while (p->is_ssh_touched && (c = map_next(&p->classes, &cursor)) != NULL) {
		uint64_t old = c->ssh;

		if (!c->is_ssh_wanted || c->is_new)
			continue;
		c->ssh = policy_ssh_maker_digest(policy_world_ssh(w), &c->class);
		if (old != c->ssh)
			is_changed = bundle_make(c) || is_changed;
	}
	p->is_ssh_touched = false;
	return is_changed;
}

bool
policy_world_refresh(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	struct policy_class_private *c;

	p->n_refreshes++;
	if (p->is_touched)
		odd_refresh(w);
	bool is_changed = filters_refresh(w, policy_world_source_refresh(w));

	is_changed = ssh_refresh(w) || is_changed;
	while ((c = TAILQ_FIRST(&p->new_classes)) != NULL) {
		TAILQ_REMOVE(&p->new_classes, c, new_link);
		c->is_new = false;
		is_changed = bundle_make(c) || is_changed;
	}
	p->is_touched = false;
	return is_changed;
}
