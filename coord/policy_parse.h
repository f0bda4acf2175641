/*
 * Inside of the policy parser: what its files (policy_parse*.c) share. Each section of the text has one
 * function that reads it into the policy and adds its faults to the list; none stops at the first.
 */
#ifndef COORD_POLICY_PARSE_H
#define COORD_POLICY_PARSE_H

#include "base/arena.h"
#include "coord/hujson.h"
#include "coord/policy.h"

#define POLICY_NONE UINT32_MAX		/* no selector, nothing found */
#define POLICY_IPSET_WORK_MAX (2u << 20)	/* ranges written over all ipsets: what hostile ones cost */
#define POLICY_IPSET_DEPTH_MAX 32	/* of ipsets in ipsets */

/* Texts to numbers. All zero is empty. The texts are borrowed. */
struct policy_names {
	struct policy_name { const char *text; uint32_t value; } *_slots;
	unsigned n, _cap;
};
uint32_t policy_names_find(const struct policy_names *names, const char *text);	/* or POLICY_NONE */
/* text is not in there yet. */
void policy_names_put(struct policy_names *names, const char *text, uint32_t value);

struct policy_group {
	const char *name;
	char **users;
	unsigned n_users;
};
struct policy_host {
	const char *name;
	struct net_prefix prefix;
};
struct policy_ipset {
	const struct hujson *ops;
	struct ipset set;
	enum { POLICY_IPSET_NEW, POLICY_IPSET_OPEN, POLICY_IPSET_DONE } state;
};

/* Where a selector stands. */
enum policy_place {
	POLICY_AT_SRC, POLICY_AT_ACL_DST, POLICY_AT_GRANT_DST, POLICY_AT_VIA, POLICY_AT_SSH_SRC,
	POLICY_AT_SSH_DST, POLICY_AT_OWNER, POLICY_AT_APPROVER, POLICY_AT_TARGET, POLICY_AT_TEST_SRC,
	POLICY_AT_TEST_DST, POLICY_AT_SSH_TEST_DST
};

struct policy_parser {
	struct policy *p;
	struct arena *arena;			/* p's */
	struct policy_errors *errors;
	struct policy_names sels, tokens, groups, hosts, ipsets, tags, postures;
	struct policy_group *group;		/* by the numbers in groups, likewise below */
	struct policy_host *host;
	struct policy_ipset *ipset;
	unsigned n_ipset_sets;			/* of ipset, to be freed */
	size_t ipset_work;
	bool *is_sel_undefined;			/* beside p->sels */
	unsigned cap_sels, cap_tokens;
	struct policy_list default_postures;
	unsigned n_pairs;
};

/* policy_parse.c: reading the tree. */

/* A fault at the value, with its place. */
void policy_parse_fail(struct policy_parser *s, const struct hujson *at, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* Members of an object by name, letter case not counting: out[i] is that of names[i], NULL: absent or
 * null. Unknown ones, and such as come twice, are faults; with a name "#", those that begin so are
 * passed over. false: no object, a fault too. */
bool policy_parse_fields(struct policy_parser *s, const struct hujson *object,
	const char *const *names, unsigned n, const struct hujson **out);
/* Is it a list of strings (or NULL: an empty one)? If not, faults. */
bool policy_parse_is_strings(struct policy_parser *s, const struct hujson *list, const char *what);
/* Is it an object or a list (or NULL)? If not, a fault. */
bool policy_parse_is_object(struct policy_parser *s, const struct hujson *v, const char *what);
bool policy_parse_is_list(struct policy_parser *s, const struct hujson *v, const char *what);
/* Text of a string; NULL: v is NULL, or no string, a fault. */
const char *policy_parse_text(struct policy_parser *s, const struct hujson *v, const char *what);
/* Into the arena, without blanks at the ends. */
char *policy_parse_trim(struct policy_parser *s, const char *text);
/* Strings of a list into the arena, trimmed if asked; *n of them. */
char **policy_parse_texts(struct policy_parser *s, const struct hujson *list, const char *what,
	bool trims, unsigned *n);

/* policy_parse_sel.c */

/* The user that a text with '@' names, as it is looked up; notes where. */
char *policy_parse_token(struct policy_parser *s, const char *text, const struct hujson *at);
/* The selector; POLICY_NONE with *why: it is none, undefined, or may not stand there. */
uint32_t policy_parse_sel(struct policy_parser *s, enum policy_place place, const char *text,
	const struct hujson *at, struct err_text *why);
/* A list of them; the bad ones are faults and left out. */
struct policy_list policy_parse_sels(struct policy_parser *s, enum policy_place place,
	const struct hujson *list, const char *what);
/* A prefix or address; ERR_INVAL with *why. */
enum err policy_parse_prefix(const char *text, struct net_prefix *out, struct err_text *why) MUST_USE;
/* Adds what autogroup:internet stands for. */
void policy_parse_internet(struct ipset *set);

/* policy_parse_cap.c: what of the destination may be reached. */

/* Name or number of a protocol; "": -1. ERR_INVAL with *why. */
enum err policy_parse_proto(const char *text, int *out, struct err_text *why) MUST_USE;
/* Do all ports suit the protocol? ERR_INVAL with *why. */
enum err policy_parse_suits(int proto, const struct policy_ports *ports, unsigned n,
	struct err_text *why) MUST_USE;
/* "tag:x:80", "[fd7a::1]:80". ERR_INVAL with *why. */
enum err policy_parse_dst(struct policy_parser *s, enum policy_place place, const struct hujson *v,
	struct policy_dst *out, struct err_text *why) MUST_USE;
/* "*", "443", "tcp:1-9". ERR_INVAL with *why. */
enum err policy_parse_cap(struct policy_parser *s, const char *text, struct policy_cap *out,
	struct err_text *why) MUST_USE;
/* Capabilities of an "app" object. is_grant: some names are refused. */
struct policy_app *policy_parse_app(struct policy_parser *s, const struct hujson *v, bool is_grant,
	unsigned *n_out);

/* The sections, in the order in which they must be read; v is NULL if absent. policy_parse_names.c: */
void policy_parse_groups(struct policy_parser *s, const struct hujson *v);
void policy_parse_hosts(struct policy_parser *s, const struct hujson *v);
void policy_parse_tag_owners(struct policy_parser *s, const struct hujson *v);
void policy_parse_approvers(struct policy_parser *s, const struct hujson *v);
/* policy_parse_ipset.c: */
void policy_parse_ipsets(struct policy_parser *s, const struct hujson *v);
/* policy_parse_posture.c: */
void policy_parse_postures(struct policy_parser *s, const struct hujson *v,
	const struct hujson *defaults);
/* Names of postures ("srcPosture"); NULL: dflt. */
struct policy_list policy_parse_src_posture(struct policy_parser *s, const struct hujson *v,
	const struct policy_list *dflt);
/* policy_parse_rule.c: */
void policy_parse_rules(struct policy_parser *s, const struct hujson *acls,
	const struct hujson *grants);
/* policy_parse_ssh.c: */
void policy_parse_ssh(struct policy_parser *s, const struct hujson *v);
void policy_parse_attrs(struct policy_parser *s, const struct hujson *v);
/* policy_parse_test.c: */
void policy_parse_tests(struct policy_parser *s, const struct hujson *v);
void policy_parse_ssh_tests(struct policy_parser *s, const struct hujson *v);

#endif
