/* Quotas: subjects and rates as texts. */
#include "coord/quota_rule.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- subjects --------------------------------------------------------------------------------- */

static const char *const words[] = {
	[QUOTA_RULE_DEFAULT] = "default", [QUOTA_RULE_NODE] = "node", [QUOTA_RULE_TAG] = "tag",
	[QUOTA_RULE_USER] = "user",
};

const char *
quota_rule_word(enum quota_rule_kind kind)
{
	return words[kind];
}

struct quota_rule
quota_rule_make(enum quota_rule_kind kind, int64_t id)
{
	struct quota_rule r = { .kind = kind, .id = id };

	if (kind == QUOTA_RULE_DEFAULT)
		memcpy(r.subject, "default", sizeof("default"));
	else
		snprintf(r.subject, sizeof(r.subject), "%s %" PRId64, words[kind], id);
	return r;
}

struct quota_rule
quota_rule_make_tag(const char *tag)
{
	struct quota_rule r = { .kind = QUOTA_RULE_TAG };

	memcpy(r.subject, tag, strnlen(tag, sizeof(r.subject) - 1));
	return r;
}

enum err
quota_rule_parse(const char *subject, struct quota_rule *out)
{
	if (tag_is_valid(subject)) {
		*out = quota_rule_make_tag(subject);
		return ERR_OK;
	}
	for (int kind = QUOTA_RULE_DEFAULT; kind <= QUOTA_RULE_USER; kind++) {
		size_t n = strlen(words[kind]);
		int64_t id = 0;

		if (kind == QUOTA_RULE_TAG || strncmp(subject, words[kind], n) != 0)
			continue;
		if (kind != QUOTA_RULE_DEFAULT && subject[n] == ' ')
			id = strtoll(subject + n + 1, NULL, 10);
		*out = quota_rule_make((enum quota_rule_kind)kind, id);
		if (strcmp(out->subject, subject) == 0 && (id > 0) == (kind != QUOTA_RULE_DEFAULT))
			return ERR_OK;
	}
	return ERR_INVAL;
}

enum err
quota_rule_check(const struct quota_rule *r, struct err_text *why)
{
	if (r->bytes_per_s == 0 && (r->kind == QUOTA_RULE_TAG || r->kind == QUOTA_RULE_USER))
		return err_say(why, ERR_INVAL, "a %s without a limit needs no quota: unset it",
		    words[r->kind]);
	if (r->bytes_per_s != 0 && (r->bytes_per_s < QUOTA_RULE_MIN_BYTES_PER_S ||
	    r->bytes_per_s > QUOTA_RULE_MAX_BYTES_PER_S))
		return err_say(why, ERR_INVAL, "a quota is at least 1 kB/s (8 kbit/s) and at most 100 GB/s");
	return ERR_OK;
}

/* --- rates ------------------------------------------------------------------------------------ */

/* What follows a number: by how much it is multiplied, 0: that is no unit. */
static double
unit_factor(const char *text)
{
	static const char prefixes[] = "kmgt";
	double base = 1000, factor = 1;
	const char *at;
	size_t n;

	if (*text == '\0')
		return 1;
	if ((at = strchr(prefixes, tolower((unsigned char)*text))) != NULL) {
		text++;
		if (tolower((unsigned char)*text) == 'i') {
			base = 1024;
			text++;
		}
		for (const char *p = prefixes; p <= at; p++)
			factor *= base;
	}
	if (strncasecmp(text, "bit", 3) == 0) {
		text += strncasecmp(text, "bits", 4) == 0 ? 4 : 3;
		factor /= 8;
	} else if (strncasecmp(text, "byte", 4) == 0) {
		text += strncasecmp(text, "bytes", 5) == 0 ? 5 : 4;
	} else if (*text == 'b') {
		text++;
		factor /= 8;
	} else if (*text == 'B') {
		text++;
	} else {
		return 0;
	}
	n = strlen(text);
	return n == 0 || strcasecmp(text, "/s") == 0 || strcasecmp(text, "ps") == 0 ? factor : 0;
}

enum err
quota_rule_rate_parse(const char *text, int64_t *bytes_per_s, struct err_text *why)
{
	char number[24], *end;
	size_t n = strspn(text, "0123456789."), unit_at = n + strspn(text + n, " ");
	double v, factor = unit_factor(text + unit_at);

	if (strcasecmp(text, "none") == 0 || strcasecmp(text, "unlimited") == 0) {
		*bytes_per_s = 0;
		return ERR_OK;
	}
	if (n == 0 || n >= sizeof(number) || factor == 0)
		goto bad;
	memcpy(number, text, n);
	number[n] = '\0';
	v = strtod(number, &end) * factor;
	if (*end != '\0' || !isdigit((unsigned char)number[0]) || !(v <= 9e15))
		goto bad;
	*bytes_per_s = (int64_t)(v + 0.5);
	return ERR_OK;
bad:
	return err_say(why, ERR_INVAL, "\"%.60s\" is no rate such as 10MB/s, 800kbit/s, 1000000 (bytes per "
	    "second) or none", text);
}

char *
quota_rule_rate_put(int64_t bytes_per_s, char out[QUOTA_RULE_TEXT_MAX])
{
	static const char *const units[] = { "B/s", "kB/s", "MB/s", "GB/s" };
	int64_t unit = 1;
	unsigned i = 0;

	if (bytes_per_s == 0)
		return memcpy(out, "none", sizeof("none"));
	while (i + 1 < sizeof(units) / sizeof(units[0]) && bytes_per_s >= unit * 1000) {
		unit *= 1000;
		i++;
	}
	snprintf(out, QUOTA_RULE_TEXT_MAX, "%.10g %s", (double)bytes_per_s / (double)unit, units[i]);
	return out;
}
