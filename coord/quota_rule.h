/*
 * Quotas of the relay as an administrator sets them: whose, and how much. Records, and rates as people
 * write them. Pure. What enforces them is in relay/quota.
 */
#ifndef COORD_QUOTA_RULE_H
#define COORD_QUOTA_RULE_H

#include <stdint.h>

#include "base/err.h"
#include "coord/tag.h"

/* Less than one packet of 1,400 bytes a second is of no use; above is no line. 0 is no limit. */
#define QUOTA_RULE_MIN_BYTES_PER_S	1000
#define QUOTA_RULE_MAX_BYTES_PER_S	100000000000
#define QUOTA_RULE_SUBJECT_MAX		TAG_TEXT_MAX
#define QUOTA_RULE_TEXT_MAX		32

enum quota_rule_kind { QUOTA_RULE_DEFAULT, QUOTA_RULE_NODE, QUOTA_RULE_TAG, QUOTA_RULE_USER };

struct quota_rule {
	char subject[QUOTA_RULE_SUBJECT_MAX];	/* "default", "node 17", "user 3", "tag:x"; zero-padded */
	enum quota_rule_kind kind;
	int64_t id;				/* of the node or user */
	int64_t bytes_per_s;			/* 0: no limit */
};

/* One with its subject; of a tag, which is valid. */
struct quota_rule quota_rule_make(enum quota_rule_kind kind, int64_t id);
struct quota_rule quota_rule_make_tag(const char *tag);
/* The same from a stored subject. ERR_INVAL: it is none. */
enum err quota_rule_parse(const char *subject, struct quota_rule *out) MUST_USE;
/* "default", "node", "tag", "user". */
const char *quota_rule_word(enum quota_rule_kind kind);
/* May it be stored? ERR_INVAL with *why: the rate. */
enum err quota_rule_check(const struct quota_rule *r, struct err_text *why) MUST_USE;

/* "10MB/s", "800 kbit/s", "1.5 MiB/s", "1000000" (bytes), "none": 0. Units in any case but for the b: B
 * is bytes, b and bit are bits; /s or ps or nothing behind. ERR_INVAL with *why. */
enum err quota_rule_rate_parse(const char *text, int64_t *bytes_per_s, struct err_text *why) MUST_USE;
/* "10 MB/s", "1.5 kB/s", "none": the shortest that means the same. Returns out. */
char *quota_rule_rate_put(int64_t bytes_per_s, char out[QUOTA_RULE_TEXT_MAX]);

#endif
