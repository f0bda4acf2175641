/*
 * Reading the versions of the policy, on a connection of its own that only reads: see
 * coord/audit_read.h. Coordinator thread.
 */
#ifndef COORD_POLICIES_READ_H
#define COORD_POLICIES_READ_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define POLICIES_READ_MAX 500

struct policies_reader;

/* Of the tailnet in the database at path, which is there and migrated. ERR_IO with *why. */
enum err policies_reader_new(const char *path, int64_t tailnet_id, struct policies_reader **out,
	struct err_text *why) MUST_USE;
void policies_reader_free(struct policies_reader *r);	/* NULL is fine */

/* Valid during the call only. */
struct policies_record {
	int64_t version, made_unix_s, confirm_by_unix_s, reverts_to;
	const char *author, *comment;
	size_t n_bytes;			/* of the text */
};
typedef void policies_record_fn(void *arg, const struct policies_record *record);

/* Calls fn for at most limit versions (POLICIES_READ_MAX) before that one (0: the newest first).
 * ERR_IO with *why. */
enum err policies_read(struct policies_reader *r, int64_t before, unsigned limit, policies_record_fn *fn,
	void *arg, struct err_text *why) MUST_USE;
/* Appends the text of that version; 0 is the empty one. ERR_NOTFOUND, ERR_IO with *why. */
enum err policies_read_text(struct policies_reader *r, int64_t version, struct buf *out, struct err_text *why)
	MUST_USE;

#endif
