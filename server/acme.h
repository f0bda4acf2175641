/*
 * The certificate of config.acme: the ACME client uacme, a child process, asks the authority for it
 * when there is none or when two thirds of its life are over. What it writes is loaded by server/tls.
 *
 * Authorities ration their answers, so an attempt that failed is followed by a pause that doubles
 * (12 minutes to 12 hours) and is remembered on disk: a server that is started again and again does
 * not ask more often.
 */
#ifndef SERVER_ACME_H
#define SERVER_ACME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "server/acme_challenge.h"

struct acme;
struct event_base;

#define ACME_RETRY_FIRST_S	720	/* 5 failures an hour are what Let's Encrypt allows */
#define ACME_RETRY_MAX_S	43200
#define ACME_CHECK_S		43200	/* at least so often is looked whether it is time */
#define ACME_RUN_MS		600000	/* a client that takes longer is killed */

struct acme_params {
	struct event_base *base;	/* the coordinator's loop */
	const struct config *cfg;	/* borrowed: acme, data_dir */
	const char *program;		/* the client; "uacme" */
	const char *hook;		/* this program's file; NULL: looked up */
	unsigned run_ms;		/* ACME_RUN_MS */
	/* The client says that it has written a certificate. true: it serves, is not due yet, and
	 * acme_set_dates was told of it. */
	bool (*issued)(void *arg);
	void *arg;
};

/* Everything here: on the coordinator thread, unless said otherwise. */

/* Makes <data_dir>/acme and what is in it. Nothing is asked before acme_set_dates. ERR_IO with
 * *why. */
enum err acme_new(const struct acme_params *p, struct acme **out, struct err_text *why) MUST_USE;
/* Kills a client that runs. After the workers stopped; NULL is fine. */
void acme_free(struct acme *a);
/* Where the certificate chain and its key are, or will be. */
const char *acme_cert_file(const struct acme *a);
const char *acme_key_file(const struct acme *a);

/* The dates of the certificate in use, 0, 0 when it is none of the authority's: plans the next
 * attempt, at once if it is due. */
void acme_set_dates(struct acme *a, int64_t not_before_unix_s, int64_t not_after_unix_s);
/* Somebody asked (SIGHUP): what is due is tried now, whatever the pause; but not within seconds of
 * the last attempt. */
void acme_hurry(struct acme *a);

/* The answer to the authority's question for a token of n characters; false: there is none. Any
 * thread. */
bool acme_answer(struct acme *a, const char *token, size_t n, char out[2 * ACME_CHALLENGE_MAX]);

/* --- pure, for tests --- */

/* When a certificate with these dates is due to be renewed. */
int64_t acme_due_unix_s(int64_t not_before_unix_s, int64_t not_after_unix_s);
/* The pause after the n-th failure in a row, without its random part; n >= 1. */
int64_t acme_retry_s(unsigned n_failures);
/* The part of a line of uacme that says why it failed, into *why. false: it says nothing new. Of
 * several lines "detail" of the authority's answer is the best, else the first one. */
bool acme_reason(const char *line, bool *is_detail, struct err_text *why);

#endif
