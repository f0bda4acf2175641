/* Settings of a tailnet: one table makes their members, names and ranges. */
#include <string.h>

#include "coord/change.h"
#include "coord/store.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route.h"

static const struct {
	const char *name;
	size_t offset;
	int64_t min, max, initial;
} settings[] = {
#define X(member, min_v, max_v, initial_v, text) { #member, \
	offsetof(struct tailnet_settings, member), min_v, max_v, initial_v },
	TAILNET_SETTINGS(X)
#undef X
};

static int64_t *
value_at(struct tailnet_settings *s, size_t i)
{
	return (int64_t *)(void *)((char *)s + settings[i].offset);
}

/* Index; COUNT_OF(settings): there is none of that name. */
static size_t
find(const char *name)
{
	size_t i = 0;

	while (i < COUNT_OF(settings) && strcmp(settings[i].name, name) != 0)
		i++;
	return i;
}

void
tailnet_settings_init(struct tailnet_settings *s)
{
	for (size_t i = 0; i < COUNT_OF(settings); i++)
		*value_at(s, i) = settings[i].initial;
}

const char *
tailnet_setting_name(const char *name)
{
	size_t i = find(name);

	return i < COUNT_OF(settings) ? settings[i].name : NULL;
}

void
tailnet_setting_apply(struct tailnet *t, const char *name, int64_t value)
{
	size_t i = find(name);

	ASSERT(i < COUNT_OF(settings));
	if (value >= settings[i].min && value <= settings[i].max)	/* the database may hold anything */
		*value_at(&t->settings, i) = value;
	if (!t->priv->is_started)
		return;
	change_note_all(t, CHANGE_ALL_ATTRS);
	tailnet_route_note_all(t);	/* overlaps may be refused, or no more */
}

int64_t
tailnet_key_days(const struct tailnet *t)
{
	return t->settings.key_days >= 0 ? t->settings.key_days :
	    (int64_t)t->deps.cfg->node.key_expiry_days;
}

void
tailnet_settings_set(struct tailnet *t, const struct actor *by, const struct tailnet_settings *s,
	tailnet_done_fn *done, void *arg)
{
	struct tailnet_settings next = *s;
	struct tailnet_op *op;
	struct err_text why;
	struct txn *x;
	bool is_changed = false;

	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		int64_t v = *value_at(&next, i);

		is_changed |= v != *value_at(&t->settings, i);
		if (v >= settings[i].min && v <= settings[i].max)
			continue;
		err_say(&why, ERR_INVAL, "%s is a number from %lld to %lld", settings[i].name,
		    (long long)settings[i].min, (long long)settings[i].max);
		tailnet_op_answer(done, arg, ERR_INVAL, &why, 0);
		return;
	}
	if (!is_changed) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, 0);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = tailnet_op_txn(op);
	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		struct mutation *m;

		if (*value_at(&next, i) == *value_at(&t->settings, i))
			continue;
		m = txn_add(x, MUTATION_SETTING);
		m->u.setting.name = settings[i].name;
		m->u.setting.value = *value_at(&next, i);
	}
	audit_settings(x, by, &t->settings, &next);
	tailnet_op_submit_take(op, x);
}
