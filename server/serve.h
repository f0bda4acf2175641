/*
 * `fairlead serve`: everything in one process, made in order and ended in the reverse order.
 * The only place that knows every module.
 */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "base/config.h"
#include "base/err.h"

struct serve;

struct serve_options {
	bool makes_new_key;	/* print a fresh auth key even when there are users already */
	bool takes_over;	/* from the server that runs on the same data directory, if there is one */
};

/* Locks the data directory, loads keys, certificate and state, binds every socket, or takes what a server
 * before has of these. cfg is borrowed. ERR_* with *why: one sentence. Main thread. */
enum err serve_new(const struct config *cfg, const struct serve_options *options,
	struct serve **out, struct err_text *why) MUST_USE;
/* Starts the workers, prints how to join, runs until a signal, or until another server has taken
 * over. ERR_* with *why. */
enum err serve_run(struct serve *s, struct err_text *why) MUST_USE;
/* Ends connections, writes what is to be written, frees. NULL is fine. */
void serve_free(struct serve *s);

#endif
