/*
 * What `fairlead doctor` found: one finding per check, with what to do when it is not good. Checks
 * that wait for the network are probes: they run side by side, each with a report of its own.
 */
#ifndef SERVER_DOCTOR_H
#define SERVER_DOCTOR_H

#include <stdbool.h>

#include "base/config.h"
#include "base/err.h"
#include "server/cli.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

#define DOCTOR_NAME_MAX 72

/* The whole run, set once by cmd_doctor and read by the checks. */
struct doctor {
	struct config *cfg;		/* owned; of the server on this machine; NULL with --server */
	const char *data_dir;		/* borrowed; NULL: not to be looked at */
	bool is_running;		/* the server answers on its socket */
	json_t *status;			/* owned; what it says of itself, NULL: not asked */
	json_t *facts;			/* owned; its /doctor */
	char *url;			/* owned; what clients have as login server; NULL: unknown */
	unsigned stun_port;		/* for a server whose DERP map is not known */
	const char *only;		/* words with commas; NULL: everything */
};

struct doctor_report;
struct doctor_report *doctor_report_new(void) MUST_USE;
void doctor_report_free(struct doctor_report *r);	/* NULL is fine */

/* All is well: what was found. */
void doctor_ok(struct doctor_report *r, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Not so: what was found; then doctor_todo says, once, what to do. */
void doctor_bad(struct doctor_report *r, enum doctor_level level, const char *name, const char *fmt,
    ...)
	PRINTF_LIKE(4, 5);
void doctor_todo(struct doctor_report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Prints what is asked for: in only, "relay" stands for "relay/900a" too. Returns the exit code: 1 when
 * something failed. */
int doctor_print(const struct doctor_report *r, const char *only, bool is_json);

/* Something to be looked at over the network: run fills its report and looks at nothing that
 * another probe changes. */
struct doctor_probe {
	void (*run)(void *arg, struct doctor_report *r);
	void *arg;			/* borrowed */
};
/* Runs all, some at once, and appends what they found to r in the order of the list. */
void doctor_probes_run(const struct doctor_probe *list, size_t n, struct doctor_report *r);

/* The parts, in their order. Each adds its findings. */
void doctor_server(const struct doctor *d, struct doctor_report *r);	/* doctor_server.c:
    the running one */
void doctor_data(const struct doctor *d, struct doctor_report *r);	/* doctor_data.c: directory,
    disk */
void doctor_database(const struct doctor *d, struct doctor_report *r);	/* doctor_database.c */
void doctor_load(const struct doctor *d, struct doctor_report *r);	/* doctor_load.c:
    would it start? */
void doctor_clock(const struct doctor *d, struct doctor_report *r);	/* doctor_data.c */
void doctor_client(const struct doctor *d, struct doctor_report *r);	/* doctor_client.c:
    from outside */

#endif
