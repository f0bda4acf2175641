/* What the running server says of itself: GET /status and /doctor. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "server/doctor.h"

#define FILES_LOW	4096	/* a connection is a descriptor, or two */
#define FILES_WARN_PERCENT 80
#define EPHEMERAL_LOW_S	120	/* a client that restarts, or moves, is away for some seconds to a minute */

static void
say_version(const struct doctor *d, struct doctor_report *r)
{
	const char *version = json_get_str(d->status, "version", "?");
	char span[CLI_TIME_MAX];

	cli_span_put(json_get_int(d->status, "uptimeSeconds", 0), span);
	if (strcmp(version, FAIRLEAD_VERSION) == 0) {
		doctor_ok(r, "server", "version %s, up for %s", version, span);
		return;
	}
	doctor_bad(r, DOCTOR_WARN, "server", "version %s runs, this command is %s", version,
	    FAIRLEAD_VERSION);
	doctor_todo(r, "restart the server to bring the new version into use");
}

static void
say_files(const struct doctor *d, struct doctor_report *r)
{
	const json_t *f = json_object_get(d->facts, "files");
	int64_t open = json_get_int(f, "open", 0), limit = json_get_int(f, "limit", INT64_MAX);

	if (open > 0 && open >= limit / 100 * FILES_WARN_PERCENT) {
		doctor_bad(r, DOCTOR_FAIL, "files", "%" PRId64 " of at most %" PRId64 " files are open",
		    open, limit);
		doctor_todo(r, "raise LimitNOFILE= in the unit (ulimits: nofile in Docker): beyond it"
		    " nobody can connect");
	} else if (limit < FILES_LOW) {
		doctor_bad(r, DOCTOR_WARN, "files", "only %" PRId64 " files may be open", limit);
		doctor_todo(r, "raise LimitNOFILE= in the unit (ulimits: nofile in Docker): each"
		    " connection needs one or two");
	} else if (limit == INT64_MAX) {
		doctor_ok(r, "files", "%" PRId64 " are open, without a limit", open);
	} else {
		doctor_ok(r, "files", "%" PRId64 " of at most %" PRId64 " are open", open, limit);
	}
}

static void
say_policy(const struct doctor *d, struct doctor_report *r)
{
	const json_t *p = json_object_get(d->status, "policy");
	const char *problem = json_get_str(p, "problem", NULL);

	if (problem != NULL) {
		doctor_bad(r, DOCTOR_FAIL, "policy", "%s", problem);
		doctor_todo(r, "the last good policy stays in force, or nobody reaches anybody: correct"
		    " it with `fairlead policy set FILE`");
	} else if (json_get_str(p, "confirmBy", NULL) != NULL) {
		doctor_bad(r, DOCTOR_WARN, "policy", "is taken back at %s unless it is confirmed",
		    json_get_str(p, "confirmBy", ""));
		doctor_todo(r, "fairlead policy confirm");
	} else {
		int64_t version = json_get_int(p, "version", 0);
		doctor_ok(r, "policy", version > 0 ? "version %" PRId64 " is in force" : "none:"
		    " everything is allowed",
		    version);
	}
}

static void
say_clusters(const struct doctor *d, struct doctor_report *r)
{
	const json_t *list = json_object_get(d->status, "clusterConflicts");
	size_t n = json_array_size(list);

	if (n == 0)
		return;
	doctor_bad(r, DOCTOR_WARN, "clusters", "%zu conflicts: %s", n, json_get_str(json_array_get(list,
	    0), "text",
	    "?"));
	doctor_todo(r, "nodes reach only one of them: see `fairlead clusters list`");
}

static void
say_silent(const struct doctor *d, struct doctor_report *r)
{
	const json_t *list = json_object_get(d->facts, "silentNodes");
	int64_t n = json_get_int(d->facts, "silentNodesCount", 0);
	struct buf b = { .len = 0 };

	if (n == 0) {
		doctor_ok(r, "silent-nodes", "every node that uses the relay holds its map stream");
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(list, i)));
	doctor_bad(r, DOCTOR_WARN, "silent-nodes", "%" PRId64 " use the relay without a map stream: %s",
	    n, buf_cstr(&b));
	doctor_todo(r, "they hear of no change: restart tailscaled there, and look for a proxy that"
	    " cuts quiet connections");
	buf_fini(&b);
}

static void
say_failures(const struct doctor *d, struct doctor_report *r)
{
	const json_t *cert = json_object_get(d->status, "certificate");
	int64_t n_store = json_get_int(json_object_get(d->status, "metrics"), "storeFailures", 0);
	int64_t n_acme = json_get_int(cert, "failedAttempts", 0);
	int64_t ephemeral_s = json_get_int(d->facts, "ephemeralTimeoutSeconds", EPHEMERAL_LOW_S);

	if (n_store > 0) {
		doctor_bad(r, DOCTOR_WARN, "store", "%" PRId64 " changes were refused since the start",
		    n_store);
		doctor_todo(r, "the log says why (part=store); see disk-space and disk-write");
	} else {
		doctor_ok(r, "store", "no change was refused since the start");
	}
	if (n_acme > 0) {
		doctor_bad(r, DOCTOR_WARN, "acme", "%" PRId64 " failed attempts to get a certificate",
		    n_acme);
		doctor_todo(r, "the log has the authority's reason; port 80 must reach this server from"
		    " the internet");
	}
	if (ephemeral_s < EPHEMERAL_LOW_S) {
		doctor_bad(r, DOCTOR_WARN, "ephemeral", "ephemeral nodes are deleted after %" PRId64 ""
		    " s offline",
		    ephemeral_s);
		doctor_todo(r, "raise node.ephemeral_timeout_s: a node whose network changes is away"
		    " for up to a minute");
	}
}

void
doctor_server(const struct doctor *d, struct doctor_report *r)
{
	if (d->status == NULL || d->facts == NULL)
		return;
	say_version(d, r);
	say_files(d, r);
	say_policy(d, r);
	say_clusters(d, r);
	say_silent(d, r);
	say_failures(d, r);
}
