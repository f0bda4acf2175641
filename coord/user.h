/* Users of a tailnet. Coordinator thread. */
#ifndef COORD_USER_H
#define COORD_USER_H

#include <stdbool.h>
#include <stdint.h>

#define USER_MAGIC	0x05e40001u
#define USER_NAME_MAX	128
/* Owner of tagged nodes towards clients, as other servers have it ("tagged-devices"). */
#define USER_TAGGED_ID	2147455555
#define USER_TAGGED_LOGIN	"tagged-devices"
#define USER_TAGGED_DISPLAY	"Tagged devices"

/* X(id, word): most powerful first */
#define USER_ROLE_TABLE(X) \
	X(OWNER, "owner") X(ADMIN, "admin") X(NETWORK_ADMIN, "network-admin") \
	X(AUDITOR, "auditor") X(MEMBER, "member")

enum user_role {
#define X(id, word) USER_##id,
	USER_ROLE_TABLE(X)
#undef X
	USER_ROLE_COUNT
};

struct user {
	uint32_t magic;
	enum user_role role;
	int64_t id;
	char name[USER_NAME_MAX];		/* login name, unique, zero-padded */
	char display_name[USER_NAME_MAX];
	char email[USER_NAME_MAX];		/* as an identity provider says; "": none, or the name is one */
	char provider_id[USER_NAME_MAX];	/* of the person there; "": none */
	int64_t created_unix_s;
	unsigned n_nodes, n_keys;		/* that name this user */
};

/* Word of the role; static. */
const char *user_role_word(enum user_role role);
/* false: no such word, *out untouched. */
bool user_role_parse(const char *word, enum user_role *out);
/* 1-127 characters of [A-Za-z0-9._@+-]? */
bool user_name_is_valid(const char *name);

#endif
