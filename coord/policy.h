/*
 * A policy: the text as written and what it says, parsed and checked. Immutable once made, counted,
 * so that threads share it. Pure. The language is that of Tailscale's tailnet policy file; what it
 * says of the nodes there are is coord/policy_world.
 *
 * Selectors are interned: every list in here holds indexes into sels, equal texts have equal indexes.
 */
#ifndef COORD_POLICY_H
#define COORD_POLICY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "coord/ipset.h"
#include "coord/user.h"

#define POLICY_TEXT_MAX		(4u << 20)	/* bytes; longer ones are refused */
#define POLICY_DEPTH_MAX	32		/* of brackets */
#define POLICY_RULES_MAX	20000		/* acls and grants together, unfolded by destination: 100,000 */
#define POLICY_PAIRS_MAX	100000
#define POLICY_SSH_MAX		1000		/* rules of ssh */
#define POLICY_ERRORS_MAX	50		/* told at once */

enum policy_sel_kind {
	POLICY_SEL_SET,		/* address, prefix, name from hosts, ipset: set */
	POLICY_SEL_ANY,		/* "*": set is 100.64.0.0/10 without 100.115.92.0/23, and ULA */
	POLICY_SEL_ALL,		/* autogroup:danger-all: set is everything */
	POLICY_SEL_INTERNET,	/* autogroup:internet: set */
	POLICY_SEL_SELF,	/* autogroup:self */
	POLICY_SEL_USER,	/* users[0] */
	POLICY_SEL_GROUP,	/* users */
	POLICY_SEL_DOMAIN,	/* user:*@domain: untagged nodes of users whose e-mail ends in "@"
				 * and tag, letter case not counting */
	POLICY_SEL_ROLE,	/* autogroup:admin, owner, …: untagged nodes of users of that role */
	POLICY_SEL_MEMBER,	/* autogroup:member */
	POLICY_SEL_TAGGED,	/* autogroup:tagged */
	POLICY_SEL_TAG,		/* tag */
	POLICY_SEL_NOBODY	/* autogroup:shared: nodes of other tailnets, of which there are none */
};

struct policy_sel {
	enum policy_sel_kind kind;
	char *text;			/* as written, blanks at the ends cut */
	bool is_host, is_ipset;		/* SET: by a name of hosts, ipsets */
	struct ipset set;		/* SET, ANY, ALL, INTERNET */
	char **users;			/* USER, GROUP: tokens as they are looked up ('@' at the
					 * end cut) */
	unsigned n_users;
	char *tag;			/* TAG: "tag:x"; DOMAIN */
	uint32_t roles;			/* ROLE: bits 1 << enum user_role; 0: a role nobody has */
	bool is_single;			/* SET: exactly one address */
};

struct policy_list {			/* of selectors, postures, tags: indexes */
	uint32_t *v;			/* owned */
	unsigned n;
};

struct policy_ports {
	uint16_t first, last;		/* 0-65535: all */
};

/* What may be reached: a protocol (-1: the default set) and its ports. */
struct policy_cap {
	int proto;
	struct policy_ports *ports;	/* owned, at least one */
	unsigned n_ports;
	char *text;			/* as written: "tcp:80-90", "*" */
};

struct policy_dst {
	uint32_t sel;
	struct policy_ports *ports;	/* acls: owned, at least one; grants: none */
	unsigned n_ports;
	char *text;			/* as written, "tag:k3s:*" */
};

struct policy_app {
	char *name;			/* "tailscale.com/cap/drive" */
	char *values;			/* compact JSON array */
};

struct policy_rule {
	bool is_grant;
	unsigned line, column;		/* of its opening brace */
	int proto;			/* acls; -1: the default set */
	struct policy_list src;
	struct policy_list postures;	/* indexes into postures; a source node must meet one of
					 * them; empty: none asked (defaultSrcPosture is filled in) */
	struct policy_dst *dst;		/* owned */
	unsigned n_dst;
	struct policy_cap *ip;		/* grants */
	unsigned n_ip;
	struct policy_app *app;		/* grants */
	unsigned n_app;
	struct policy_list via;		/* grants: TAG selectors */
};

enum policy_posture_op {
	POLICY_POSTURE_EQ, POLICY_POSTURE_NE, POLICY_POSTURE_LT, POLICY_POSTURE_LE, POLICY_POSTURE_GT,
	POLICY_POSTURE_GE, POLICY_POSTURE_IN, POLICY_POSTURE_NOT_IN, POLICY_POSTURE_IS_SET,
	POLICY_POSTURE_NOT_SET
};

struct policy_posture_test {
	char *attribute;		/* "node:os", "custom:tier" */
	enum policy_posture_op op;
	char **values;			/* texts; numbers and booleans as written */
	unsigned n_values;
};

struct policy_posture {			/* all of its tests hold */
	char *name;			/* "posture:x" */
	struct policy_posture_test *tests;
	unsigned n_tests;
};

struct policy_tag {			/* of tagOwners */
	char *tag;
	struct policy_list owners;	/* USER, GROUP, TAG, ROLE, MEMBER, TAGGED, DOMAIN selectors */
};

struct policy_approver {
	struct net_prefix prefix;	/* of exitNode: unused */
	struct policy_list who;
};

struct policy_attr {
	unsigned line;
	struct policy_list target;
	char **attrs;			/* owned texts */
	unsigned n_attrs;
	struct policy_app *app;		/* "app": capability with values */
	unsigned n_app;
	struct net_prefix *ip_pool;
	unsigned n_ip_pool;
};

struct policy_ssh {
	unsigned line;
	bool is_check;
	int64_t check_period_s;		/* check: 0 each time; default 12 h */
	struct policy_list src, dst, postures;
	char **users;			/* as written, blanks cut */
	unsigned n_users;
	char **accept_env;
	unsigned n_accept_env;
};

struct policy_fact {			/* of srcPostureAttrs: what the test's source is to be */
	char *attribute;		/* "node:os" */
	char *value;			/* text; numbers and booleans as written */
};

struct policy_test {			/* of tests */
	unsigned line;
	uint32_t src;			/* UINT32_MAX: none (then there is a problem) */
	int proto;			/* -1: the default set */
	struct policy_dst *accept, *deny;	/* what could be read of them, if there is a problem */
	unsigned n_accept, n_deny;
	struct policy_fact *facts;
	unsigned n_facts;
	char *problem;			/* why it is malformed, one per line; NULL: it is not. The test
					 * fails then ("test(s) failed") */
};

struct policy_ssh_test {
	unsigned line;
	uint32_t src;
	struct policy_list dst;
	char **accept, **deny, **check;	/* users */
	unsigned n_accept, n_deny, n_check;
	struct policy_fact *facts;
	unsigned n_facts;
	char *problem;
};

/* A user as the text names one, and where it does so first. */
struct policy_token {
	char *token;			/* as in policy_sel.users */
	unsigned line, column;
};

enum policy_cgnat {			/* OneCGNATRoute: one route for 100.64.0.0/10, on macOS */
	POLICY_CGNAT_DEFAULT, POLICY_CGNAT_MAC_ALWAYS, POLICY_CGNAT_MAC_NEVER
};

struct policy {
	atomic_uint refs;
	char *text;			/* as written */
	size_t text_bytes;
	bool has_rules;			/* acls or grants are there: what they do not allow is
					 * forbidden. Without, rules holds one that allows everything
					 * (line 0) */
	struct policy_sel *sels;
	unsigned n_sels;
	struct policy_token *tokens;	/* every user named anywhere, once */
	unsigned n_tokens;
	struct policy_rule *rules;	/* grants first, then acls, in file order */
	unsigned n_rules;
	struct policy_posture *postures;
	unsigned n_postures;
	bool has_tag_owners;		/* tagOwners is there: tags that it does not name are refused. Without,
					 * administrators give any */
	struct policy_tag *tags;	/* sorted by name */
	unsigned n_tags;
	struct policy_approver *routes, exit_node;
	unsigned n_routes;
	struct policy_attr *attrs;
	unsigned n_attrs;
	struct policy_ssh *ssh;
	unsigned n_ssh;
	struct policy_test *tests;
	unsigned n_tests;
	struct policy_ssh_test *ssh_tests;
	unsigned n_ssh_tests;
	bool randomize_client_port, disable_ipv4;
	enum policy_cgnat one_cgnat_route;
	struct arena *_arena;		/* of all but sels, their sets, and tokens */
};

/* One fault of a text. */
struct policy_error {
	unsigned line, column;		/* from 1; 0: of the whole */
	char *text;			/* owned; names what was wrong */
};
struct policy_errors {
	struct policy_error *v;		/* owned */
	unsigned n, n_left_off;		/* beyond POLICY_ERRORS_MAX */
};
void policy_errors_fini(struct policy_errors *e);
/* Appends them for people, one per line: "line 3, column 7: …". */
void policy_errors_put(struct buf *b, const struct policy_errors *e);
/* For those who check further (tests, users). The text is copied. */
void policy_errors_add(struct policy_errors *e, unsigned line, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Parses and checks all that needs neither users nor nodes. Empty text is as "{}". On success *out is
 * one reference, the caller's. ERR_INVAL, with at least one error in *errors (zeroed by the caller).
 * Ambiguous users: coord/policy_users; tests: coord/policy_test. */
enum err policy_parse(const char *text, size_t n, struct policy **out, struct policy_errors *errors)
	MUST_USE;
struct policy *policy_hold(struct policy *p);
void policy_drop(struct policy *p);	/* NULL is fine */

#endif
