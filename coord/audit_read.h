/*
 * Reading the audit record, on a connection of its own that only reads: in WAL mode it neither
 * waits for the store's commits nor holds them up. Each query is a walk along an index over at
 * most AUDIT_READ_MAX rows. Coordinator thread.
 */
#ifndef COORD_AUDIT_READ_H
#define COORD_AUDIT_READ_H

#include <stdint.h>

#include "base/err.h"

#define AUDIT_READ_MAX 500

struct audit_reader;

/* Of the tailnet in the database at path, which is there and migrated. ERR_IO with *why. */
enum err audit_reader_new(const char *path, int64_t tailnet_id, struct audit_reader **out,
	struct err_text *why) MUST_USE;
void audit_reader_free(struct audit_reader *r);		/* NULL is fine */

struct audit_query {
	int64_t before;			/* records with smaller ids only; 0: the newest */
	unsigned limit;			/* 1 to AUDIT_READ_MAX */
	const char *actor, *object;	/* compared whole; NULL: any */
};

/* Valid during the call only; before and after are JSON objects, or NULL. */
struct audit_record {
	int64_t id, at_unix_s;
	const char *actor, *source, *what, *object, *before, *after;
};
typedef void audit_record_fn(void *arg, const struct audit_record *record);

/* Calls fn for each record, newest first. ERR_IO with *why. */
enum err audit_read(struct audit_reader *r, const struct audit_query *q, audit_record_fn *fn, void *arg,
	struct err_text *why) MUST_USE;

#endif
