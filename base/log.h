/*
 * One logfmt line per event on stderr: time, level, part, event, then key=value pairs.
 * Never keys, tokens or packet bytes; nothing per packet.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/obj.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* X(name, word in the line) */
#define LOG_PART_TABLE(X) \
	X(SERVER, "server") X(DOOR, "door") X(TLS, "tls") X(COORD, "coord") X(STORE, "store") \
	X(CONTROL, "control") X(MAP, "map") X(RELAY, "relay") X(STUN, "stun") X(WEB, "web") \
	X(POLICY, "policy")

enum log_part {
#define X(name, word) LOG_##name,
	LOG_PART_TABLE(X)
#undef X
	LOG_PART_COUNT
};

/* Least level that is written. Call before threads start. */
void log_set_level(enum log_level least);

/* "debug" | "info" | "warn" | "error" -> *out; false: unknown word, *out untouched. */
bool log_level_parse(const char *word, enum log_level *out);

/*
 * Writes one line: event, then pairs (const char *key, const char *value) up to a NULL key.
 * Values are quoted and escaped where needed (they may be hostile); a NULL value prints "-".
 * Any thread; one write(2).
 */
void log_line(enum log_level level, enum log_part part, const char *event, ...)
	__attribute__((sentinel));

#define log_debug(part, ...) log_line(LOG_DEBUG, part, __VA_ARGS__, (char *)NULL)
#define log_info(part, ...)  log_line(LOG_INFO, part, __VA_ARGS__, (char *)NULL)
#define log_warn(part, ...)  log_line(LOG_WARN, part, __VA_ARGS__, (char *)NULL)
#define log_error(part, ...) log_line(LOG_ERROR, part, __VA_ARGS__, (char *)NULL)

/* A number as a value for log_line; lives in the caller's buffer. */
struct log_num {
	char s[24];
};
const char *log_num(struct log_num *store, int64_t value);
#define LOG_NUM(value) log_num(&(struct log_num){ { 0 } }, (int64_t)(value))

/* Logs at error level and ends the process with status 1: boot faults, corrupt database. */
_Noreturn void log_fatal(enum log_part part, const char *event, const char *why);

#endif
