/*
 * Coordination: public face. The coordinator thread owns every struct tailnet; workers send it
 * register and map requests through the hooks given to ts2021, the API calls tailnet functions
 * directly (it runs on the same loop). The store thread is the only writer of the database.
 */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include "base/config.h"
#include "base/mbox.h"
#include "base/worker.h"
#include "coord/audit_read.h"
#include "coord/cred.h"
#include "coord/hujson_plain.h"
#include "coord/policies_read.h"
#include "coord/policy_plan.h"
#include "coord/policy_preview.h"
#include "coord/tailnet.h"
#include "coord/tailnet_cluster_save.h"
#include "coord/tailnet_cred.h"
#include "coord/tailnet_dns.h"
#include "coord/tailnet_login.h"
#include "coord/tailnet_quota.h"
#include "coord/tailnet_region.h"
#include "coord/tailnet_relay.h"
#include "coord/tailnet_route.h"
#include "coord/tailnet_policy_save.h"
#include "coord/tailnet_ssh.h"
#include "coord/tailnet_tag.h"
#include "coord/tailnet_task.h"
#include "coord/ts2021.h"

struct coord;

struct coord_params {
	struct event_base *base;	/* the coordinator's loop */
	struct mbox *mbox;		/* its mailbox */
	struct worker_group *workers;
	const struct config *cfg;
	const struct private_key *noise_key;
	bool is_held;			/* writes nothing until coord_resume */
	struct region **regions;	/* of the configuration, n_regions; taken, also by a failure */
	unsigned n_regions;
	struct tailnet_deps tailnet;	/* base, cfg, control and store are filled in by coord */
};

/* Opens and migrates the database <data_dir>/fairlead.db, loads all, starts the store thread.
 * ERR_* with *why. Main (= coordinator) thread, before the workers start. */
enum err coord_new(const struct coord_params *p, struct coord **out, struct err_text *why) MUST_USE;
/* Writes everything, closes the database and calls done(arg): another process may have it then.
 * Changes wait until coord_resume; what is served from memory goes on. Not twice. Coordinator thread. */
void coord_pause(struct coord *c, void (*done)(void *arg), void *arg);
/* Opens the database again, if it was closed. ERR_IO, ERR_UNSUPPORTED with *why: still paused. */
enum err coord_resume(struct coord *c, struct err_text *why) MUST_USE;
/* After the workers stopped and the API ended: writes soft state, stops the store thread,
 * closes the mailbox; changes under way are answered ERR_CLOSED. Idempotent parts of a failed coord_new too. */
void coord_stop(struct coord *c);
void coord_free(struct coord *c);		/* NULL is fine */

/* The relay's certificate has changed: pin as in tailnet_deps.derp_pin (copied). Nodes are told.
 * Coordinator thread. */
void coord_set_derp_pin(struct coord *c, const char *pin);

/* The DERP map as nodes get it, JSON; borrowed until the next turn. Coordinator thread. */
const struct shbuf *coord_derp_map(const struct coord *c);

/* Borrowed parts. Any thread for the control connections, else the coordinator thread. */
struct ts2021 *coord_control(struct coord *c);
/* The tailnet of that name, or NULL. "default" is always there. */
struct tailnet *coord_tailnet(struct coord *c, const char *name);
const struct config *coord_config(const struct coord *c);
/* Reads the audit record. */
struct audit_reader *coord_audit(struct coord *c);
/* Reads versions of the policy. */
struct policies_reader *coord_policies(struct coord *c);

#endif
