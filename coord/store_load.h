/*
 * Database -> memory at start, through txn_finish_take: the same code that makes changes later.
 *
 * Order of calls at start (main = coordinator thread):
 *   store_open(path, mbox, &s, why)			opens, backs up, migrates
 *   store_load_tailnet_id(s, "default", &id, why)	makes the row when it is missing
 *   deps.store = s; t = tailnet_new(id, "default", &deps)
 *   store_load_tailnet(s, t, why)			users, keys, nodes, address history
 *   store_start(s, why)				from here on the database is the store thread's
 *   tailnet_start(t)					admits nodes, starts timers
 * and at the end, when workers and API are stopped:
 *   tailnet_flush_soft(t); store_stop(s); one non-blocking turn of the loop (or mbox_close);
 *   tailnet_free(t); store_free(s)
 */
#ifndef COORD_STORE_LOAD_H
#define COORD_STORE_LOAD_H

#include <stdint.h>

#include "base/err.h"

struct store;
struct tailnet;

/* Id of the tailnet of that name, made when there is none. ERR_IO with *why. Before store_start. */
enum err store_load_tailnet_id(struct store *s, const char *name, int64_t *id, struct err_text *why)
	MUST_USE;
/* Fills an empty tailnet. What cannot be understood in a row (a Hostinfo, a role) is replaced by
 * its default and logged; it never keeps the server from starting. ERR_IO with *why: the
 * database cannot be read. Before store_start. */
enum err store_load_tailnet(struct store *s, struct tailnet *t, struct err_text *why) MUST_USE;

#endif
