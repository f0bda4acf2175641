/*
 * Scopes of the API v2, as OAuth clients have them ("devices:core", "devices:core:read"). Write implies read;
 * "all" implies everything, "all:read" every reading. Pure.
 */
#ifndef WEB_SCOPE_H
#define WEB_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* X(id, word) */
#define SCOPE_TABLE(X) \
	X(ALL, "all") X(AUTH_KEYS, "auth_keys") X(OAUTH_KEYS, "oauth_keys") \
	X(FEDERATED_KEYS, "federated_keys") X(API_TOKENS, "api_access_tokens") \
	X(DEVICES, "devices:core") X(ROUTES, "devices:routes") \
	X(ATTRIBUTES, "devices:posture_attributes") X(DEVICE_INVITES, "device_invites") X(DNS, "dns") \
	X(POLICY, "policy_file") X(SERVICES, "services") X(USERS, "users") \
	X(USER_INVITES, "user_invites") X(FEATURES, "feature_settings") \
	X(NETWORKING, "networking_settings") X(ACCOUNT, "account_settings") X(WEBHOOKS, "webhooks") \
	X(LOG_STREAMING, "log_streaming") X(LOGS_CONFIG, "logs:configuration") \
	X(LOGS_NETWORK, "logs:network")

enum scope {
#define X(id, word) SCOPE_##id,
	SCOPE_TABLE(X)
#undef X
	SCOPE_COUNT
};

/* A set: bit 2 n = scope n may be read, bit 2 n + 1 = written. */
typedef uint64_t scope_set;
#define SCOPE_READ(id)	((scope_set)1 << (2 * (id)))
#define SCOPE_WRITE(id)	((scope_set)2 << (2 * (id)))
#define SCOPE_EVERYTHING (SCOPE_WRITE(SCOPE_ALL))

/* Words separated by blanks. ERR_INVAL with *why names the first unknown one. "" is the empty set. */
enum err scope_parse(const char *text, scope_set *out, struct err_text *why) MUST_USE;
/* Does the set allow it? */
bool scope_may(scope_set set, enum scope scope, bool is_write);
/* Does it allow all that the other one allows? */
bool scope_includes(scope_set set, scope_set other);

#endif
