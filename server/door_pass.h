/*
 * The passage: bytes of one client connection, TLS taken off, to and from libmicrohttpd through a
 * socketpair, on the connection's worker. Bounded both ways: a side that does not read stops the
 * other side from being read.
 */
#ifndef SERVER_DOOR_PASS_H
#define SERVER_DOOR_PASS_H

#include "base/buf.h"
#include "base/io.h"
#include "base/worker.h"

struct door_pass;
struct door_worker;

/* Takes io and *in (what was read of it, empty afterwards) and calls the door's pass function.
 * peer: the client without X-Forwarded-For. ERR_IO: no descriptor is left, both are still the
 * caller's. On io's worker. */
enum err door_pass_start(struct door_worker *dw, struct io *io, const struct net_addr *peer,
	struct buf *in) MUST_USE;
/* The passage becomes an upgrade as soon as all that http wrote has reached the client. *request
 * (taken): the head and what follows it. */
void door_pass_back(struct door_pass *p, struct buf *request);
/* Ends the passages that were idle too long at now_ms (INT64_MAX: all). Are there any left? */
bool door_pass_expire(struct door_worker *dw, int64_t now_ms);

#endif
