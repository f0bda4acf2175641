/* Device postures. The attributes are those of tailscale.com/kb/1288/device-posture. */
#include "coord/policy_posture.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

/* A boolean of the whole Hostinfo, which is parsed again: few policies ask. NULL: it is absent, or none. */
static const char *
flag_of(const struct hostinfo *h, const char *member)
{
	const char *value = NULL;
	struct err_text why;
	json_t *v = NULL;

	if (h->json == NULL || json_parse(h->json->bytes, h->json->len, &v, &why) != ERR_OK)
		return NULL;
	if (json_is_boolean(json_get(v, member)))
		value = json_is_true(json_get(v, member)) ? "true" : "false";
	json_decref(v);
	return value;
}

const char *
policy_posture_of_host(void *arg, const char *attribute)
{
	const struct hostinfo *h = arg;
	const char *value = NULL;

	if (h == NULL)
		return NULL;
	if (strcmp(attribute, "node:os") == 0)
		value = h->os;
	else if (strcmp(attribute, "node:osVersion") == 0)
		value = h->os_version;
	else if (strcmp(attribute, "node:tsVersion") == 0)
		value = h->client_version;
	else if (strcmp(attribute, "node:tsReleaseTrack") == 0 && h->client_version[0] != '\0') {
		/* 1.103 is unstable, 1.102 is stable */
		const char *dot = strchr(h->client_version, '.');

		value = dot != NULL && strtoul(dot + 1, NULL, 10) % 2 != 0 ? "unstable" : "stable";
	} else if (strcmp(attribute, "node:tsStateEncrypted") == 0) {
		value = flag_of(h, "StateEncrypted");
	} else if (strcmp(attribute, "node:tsAutoUpdate") == 0 && h->json != NULL) {
		/* Clients leave it out when it is false. */
		value = flag_of(h, "AllowsUpdate");
		value = value == NULL ? "false" : value;
	}
	return value != NULL && *value != '\0' ? value : NULL;
}

const char *
policy_posture_of_facts(void *arg, const char *attribute)
{
	const struct policy_posture_facts *f = arg;

	for (unsigned i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].attribute, attribute) == 0)
			return f->v[i].value;
	}
	return NULL;
}

/* Number by number; what follows the dotted numbers ("-t1a2b3c") does not count. */
static int
compare_versions(const char *a, const char *b)
{
	for (;;) {
		char *a_end, *b_end;
		unsigned long x = strtoul(a, &a_end, 10), y = strtoul(b, &b_end, 10);

		if (x != y)
			return x < y ? -1 : 1;
		bool a_more = *a_end == '.' && isdigit((unsigned char)a_end[1]);
		bool b_more = *b_end == '.' && isdigit((unsigned char)b_end[1]);

		if (!a_more && !b_more)
			return 0;
		a = a_more ? a_end + 1 : "0";
		b = b_more ? b_end + 1 : "0";
	}
}

static int
compare_values(const char *attribute, const char *a, const char *b)
{
	size_t n = strlen(attribute);
	char *a_end, *b_end;

	if (n >= 7 && strcasecmp(attribute + n - 7, "Version") == 0)
		return compare_versions(a, b);
	double x = strtod(a, &a_end), y = strtod(b, &b_end);

	if (a_end != a && b_end != b && *a_end == '\0' && *b_end == '\0' && isfinite(x) &&
	    isfinite(y))
		return (x > y) - (x < y);
	/* Clients write macOS and iOS, policies macos and ios. */
	return strcmp(attribute, "node:os") == 0 ? strcasecmp(a, b) : strcmp(a, b);
}

static bool
is_met(const struct policy_posture_test *t, const char *value)
{
	bool is_in = false;
	int order;

	if (t->op == POLICY_POSTURE_IS_SET || t->op == POLICY_POSTURE_NOT_SET)
		return (value != NULL) == (t->op == POLICY_POSTURE_IS_SET);
	if (value == NULL || t->n_values == 0)
		return false;
	for (unsigned i = 0; i < t->n_values && !is_in; i++)
		is_in = compare_values(t->attribute, value, t->values[i]) == 0;
	order = compare_values(t->attribute, value, t->values[0]);
	switch (t->op) {
	case POLICY_POSTURE_EQ:
	case POLICY_POSTURE_IN:
		return is_in;
	case POLICY_POSTURE_NE:
	case POLICY_POSTURE_NOT_IN:
		return !is_in;
	case POLICY_POSTURE_LT:
		return order < 0;
	case POLICY_POSTURE_LE:
		return order <= 0;
	case POLICY_POSTURE_GT:
		return order > 0;
	case POLICY_POSTURE_GE:
		return order >= 0;
	case POLICY_POSTURE_IS_SET:
	case POLICY_POSTURE_NOT_SET:
		break;
	}
	return false;
}

const struct policy_posture_test *
policy_posture_failing(const struct policy_posture *posture, policy_posture_get_fn *get, void *arg)
{
	for (unsigned i = 0; i < posture->n_tests; i++) {
		const struct policy_posture_test *t = &posture->tests[i];

		if (!is_met(t, get(arg, t->attribute)))
			return t;
	}
	return NULL;
}

bool
policy_posture_any(const struct policy *p, const struct policy_list *postures,
    policy_posture_get_fn *get, void *arg)
{
	for (unsigned i = 0; i < postures->n; i++) {
		if (policy_posture_failing(&p->postures[postures->v[i]], get, arg) == NULL)
			return true;
	}
	return postures->n == 0;
}

void
policy_posture_put(struct buf *b, const struct policy_posture_test *t)
{
	static const char *const words[] = {
		[POLICY_POSTURE_EQ] = "==", [POLICY_POSTURE_NE] = "!=", [POLICY_POSTURE_LT] = "<",
		[POLICY_POSTURE_LE] = "<=", [POLICY_POSTURE_GT] = ">", [POLICY_POSTURE_GE] = ">=",
		[POLICY_POSTURE_IN] = "IN", [POLICY_POSTURE_NOT_IN] = "NOT IN",
		[POLICY_POSTURE_IS_SET] = "IS SET", [POLICY_POSTURE_NOT_SET] = "NOT SET",
	};
	bool is_list = t->op == POLICY_POSTURE_IN || t->op == POLICY_POSTURE_NOT_IN;

	buf_printf(b, "%s %s", t->attribute, words[t->op]);
	for (unsigned i = 0; i < t->n_values; i++)
		buf_printf(b, "%s'%s'", i > 0 ? ", " : is_list ? " [" : " ", t->values[i]);
	if (is_list)
		buf_byte(b, ']');
}
