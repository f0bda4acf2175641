/*
 * Glue around uacme 1.7. An attempt is two runs of it, `new` (the account; it exists from the second
 * time on) and `issue`. Files:
 *
 *	<data_dir>/acme/attempt		of attempts since the last success: count, unix time of the last
 *	<data_dir>/acme/challenge/	answers, see acme_challenge
 *	<data_dir>/acme/<authority>/	uacme's: private/key.pem (account), private/<host>/key.pem,
 *					<host>/cert.pem; one per authority, since accounts are
 */
#include "server/acme.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "server/child.h"

#define ACME_MAGIC		0xac3e0001u
#define ACME_PATH_BYTES		4400
#define ACME_HURRY_S		5
/* uacme gives up on a challenge without a token (dns-persist-01) that comes before http-01 in the
 * authority's list, whose order is random: it is asked again then. No validation has failed. */
#define ACME_SHUFFLES_MAX	16
#define ACME_SHUFFLE_S		1

enum step { ACME_IDLE, ACME_ACCOUNT, ACME_ISSUE };

struct acme {
	uint32_t magic;
	struct acme_params p;
	char attempt_file[ACME_PATH_BYTES], challenge_dir[ACME_PATH_BYTES];
	char conf_dir[ACME_PATH_BYTES];
	char cert_file[ACME_PATH_BYTES + 512], key_file[ACME_PATH_BYTES + 512];
	char hook[ACME_PATH_BYTES], hook_env[ACME_PATH_BYTES + 64];
	struct event *timer;
	struct child *child;			/* owned; NULL: none runs */
	_Atomic bool is_asking;			/* read by workers */
	enum step step;
	bool is_account_there, is_shuffled, is_rationed, is_detail;	/* what the run has said */
	unsigned n_shuffles;
	struct err_text why;			/* of the run; "" = nothing yet */
	int64_t due_unix_s;			/* 0: now */
	int64_t retry_unix_s;			/* not before; 0: any time */
	int64_t last_unix_s;			/* attempt */
	unsigned n_failures;			/* in a row */
};

/* --- pure ------------------------------------------------------------------------------------- */

int64_t
acme_due_unix_s(int64_t not_before_unix_s, int64_t not_after_unix_s)
{
	return not_after_unix_s - (not_after_unix_s - not_before_unix_s) / 3;
}

int64_t
acme_retry_s(unsigned n_failures)
{
	int64_t s = ACME_RETRY_FIRST_S;

	while (n_failures-- > 1 && s < ACME_RETRY_MAX_S)
		s *= 2;
	return s < ACME_RETRY_MAX_S ? s : ACME_RETRY_MAX_S;
}

bool
acme_reason(const char *line, bool *is_detail, struct err_text *why)
{
	static const char own[] = "uacme: ", fact[] = "\"detail\": \"";
	const char *detail = strstr(line, fact);

	if (detail != NULL && !*is_detail) {
		size_t n = strlen(detail += sizeof(fact) - 1);

		while (n > 0 && strchr("\",", detail[n - 1]) != NULL)
			n--;
		err_say(why, ERR_DENIED, "%.*s", (int)(n < 300 ? n : 300), detail);
		*is_detail = true;
		return true;
	}
	if (why->s[0] != '\0' || strncmp(line, own, sizeof(own) - 1) != 0)
		return false;
	err_say(why, ERR_IO, "%.300s", line + sizeof(own) - 1);
	return true;
}

/* --- the record of attempts ------------------------------------------------------------------- */

static void
attempt_load(struct acme *a)
{
	FILE *f = fopen(a->attempt_file, "re");
	int64_t now = clock_wall_s();

	if (f == NULL)
		return;
	if (fscanf(f, "%5u %" SCNd64, &a->n_failures, &a->last_unix_s) != 2)
		a->n_failures = 0;
	fclose(f);
	if (a->last_unix_s > now)
		a->last_unix_s = now;
	/* A start is a person's doing, mostly: then the first pause is enough. */
	if (a->n_failures > 0)
		a->retry_unix_s = a->last_unix_s + ACME_RETRY_FIRST_S;
}

/* Written before the attempt, which counts as failed until it has not. */
static void
attempt_save(const struct acme *a, unsigned n)
{
	FILE *f = fopen(a->attempt_file, "we");
	bool ok = f != NULL && fprintf(f, "%u %" PRId64 "\n", n, a->last_unix_s) > 0;

	if (f != NULL && fclose(f) != 0)
		ok = false;
	if (!ok)
		log_warn(LOG_TLS, "the attempt cannot be noted", "file", a->attempt_file, "err",
		    strerror(errno));
}

/* --- plan ------------------------------------------------------------------------------------- */

static void
arm(struct acme *a)
{
	int64_t now = clock_wall_s();

	if (a->retry_unix_s > now + 2 * ACME_RETRY_MAX_S)
		a->retry_unix_s = now;		/* the clock was set back */
	int64_t at = a->due_unix_s > a->retry_unix_s ? a->due_unix_s : a->retry_unix_s;
	int64_t wait = at - now;
	if (a->child != NULL || a->step != ACME_IDLE)
		return;
	if (wait > ACME_CHECK_S - 3600)
		wait = ACME_CHECK_S - (int64_t)rand_below(3600);
	ASSERT(event_add(a->timer, &(const struct timeval){ .tv_sec = wait > 0 ? wait : 0 }) == 0);
}

static void
end_well(struct acme *a)
{
	a->step = ACME_IDLE;
	a->is_asking = false;
	a->n_failures = 0;
	a->retry_unix_s = 0;
	if (unlink(a->attempt_file) != 0 && errno != ENOENT)
		log_warn(LOG_TLS, "file cannot be removed", "file", a->attempt_file);
	metric_add(METRIC_ACME_ISSUED, 1);
	metric_set(METRIC_ACME_FAILING, 0);
	log_info(LOG_TLS, "certificate issued", "name", a->p.cfg->acme.hostname);
	arm(a);
}

static void
end_badly(struct acme *a, const char *why)
{
	char next[CLOCK_RFC3339_BYTES];
	unsigned n = a->n_failures + 1;
	int64_t pause = a->is_rationed ? ACME_RETRY_MAX_S : acme_retry_s(n);

	a->step = ACME_IDLE;
	a->is_asking = false;
	a->n_failures = n < 99999 ? n : n - 1;
	a->retry_unix_s = clock_wall_s() + pause + (int64_t)rand_below((uint64_t)pause / 8);
	metric_add(METRIC_ACME_FAILED, 1);
	metric_set(METRIC_ACME_FAILING, a->n_failures);
	log_error(LOG_TLS, "no certificate from the authority; the one in use stays", "name",
	    a->p.cfg->acme.hostname, "err", why, "attempts", LOG_NUM(a->n_failures), "next",
	    clock_rfc3339(a->retry_unix_s, next));
	arm(a);
}

/* --- runs of the client ------------------------------------------------------------------------- */

static void
on_line(void *arg, const char *text)
{
	struct acme *a = arg;

	OBJ_CHECK(a, ACME_MAGIC);
	if (strstr(text, "Account already exists") != NULL) {
		a->is_account_there = true;
		return;
	}
	if (strstr(text, "failed to parse challenge") != NULL)
		a->is_shuffled = true;
	else if (strstr(text, "error:rateLimited") != NULL)
		a->is_rationed = true;
	else if (strstr(text, "autoaccepted") == NULL)
		log_debug(LOG_TLS, "uacme", "says", text);
	(void)acme_reason(text, &a->is_detail, &a->why);
}

static void start_step(struct acme *a);

static void
on_done(void *arg, const struct child_end *end)
{
	struct acme *a = arg;
	bool ok = end->code == 0;

	OBJ_CHECK(a, ACME_MAGIC);
	a->child = NULL;
	if (end->is_timed_out) {
		end_badly(a, "uacme did not end in time");
	} else if (a->step == ACME_ACCOUNT && (ok || a->is_account_there)) {
		a->step = ACME_ISSUE;
		start_step(a);
	} else if (a->step == ACME_ISSUE && a->is_shuffled && a->n_shuffles++ < ACME_SHUFFLES_MAX) {
		ASSERT(event_add(a->timer, &(const struct timeval){ .tv_sec = ACME_SHUFFLE_S }) == 0);
	} else if (!ok) {
		end_badly(a, a->why.s[0] != '\0' ? a->why.s : "uacme failed without a word");
	} else if (!a->p.issued(a->p.arg)) {
		end_badly(a, "what uacme has written cannot be used");
	} else {
		end_well(a);
	}
}

static void
start_step(struct acme *a)
{
	const struct config *cfg = a->p.cfg;
	const char *email = cfg->acme.email[0] != '\0' ? cfg->acme.email : NULL;
	/* -y: the terms of service are accepted; -o: no question about revocation; -f: we decide. */
	const char *const account[] = { a->p.program, "-y", "-t", "EC", "-c", a->conf_dir, "-a",
		cfg->acme.url, "new", email, NULL };
	const char *const issue[] = { a->p.program, "-t", "EC", "-o", "-f", "-c", a->conf_dir, "-a",
		cfg->acme.url, "-h", a->hook, "issue", cfg->acme.hostname, NULL };
	const char *const env[] = { a->hook_env, NULL };
	struct child_spec spec = {
		.argv = a->step == ACME_ACCOUNT ? account : issue,
		.env = env,
		.timeout_ms = a->p.run_ms,
		.line = on_line,
		.done = on_done,
		.arg = a,
	};
	struct err_text why = { "" };

	a->is_account_there = a->is_shuffled = a->is_rationed = a->is_detail = false;
	a->why.s[0] = '\0';
	enum err rc = child_start(a->p.base, &spec, &a->child, &why);
	if (rc == ERR_NOTFOUND)
		end_badly(a, "the program uacme is not installed (Debian package uacme)");
	else if (rc != ERR_OK)
		end_badly(a, why.s);
}

static void
start_attempt(struct acme *a)
{
	a->last_unix_s = clock_wall_s();
	a->n_shuffles = 0;
	a->step = ACME_ACCOUNT;
	a->is_asking = true;
	attempt_save(a, a->n_failures + 1);
	log_info(LOG_TLS, "asking for a certificate", "name", a->p.cfg->acme.hostname, "authority",
	    a->p.cfg->acme.url);
	start_step(a);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct acme *a = arg;
	int64_t now = clock_wall_s();

	(void)fd;
	(void)what;
	OBJ_CHECK(a, ACME_MAGIC);
	if (a->step == ACME_ISSUE)
		start_step(a);
	else if (now < a->due_unix_s || now < a->retry_unix_s)
		arm(a);
	else
		start_attempt(a);
}

/* --- public ----------------------------------------------------------------------------------- */

static enum err
make_dir(const char *path, struct err_text *why)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_say(why, ERR_IO, "cannot make %s: %s", path, strerror(errno));
	return ERR_OK;
}

/* The file of the running program, by its name: after an upgrade the new one will do as well. */
static enum err
find_hook(struct acme *a, struct err_text *why)
{
	static const char deleted[] = " (deleted)";
	size_t n_deleted = sizeof(deleted) - 1;

	if (a->p.hook != NULL) {
		snprintf(a->hook, sizeof(a->hook), "%s", a->p.hook);
		return ERR_OK;
	}
	ssize_t n = readlink("/proc/self/exe", a->hook, sizeof(a->hook) - 1);
	if (n <= 0)
		return err_say(why, ERR_IO, "cannot find the own program: %s", strerror(errno));
	a->hook[n] = '\0';
	if ((size_t)n > n_deleted && strcmp(a->hook + n - n_deleted, deleted) == 0)
		a->hook[(size_t)n - n_deleted] = '\0';
	return ERR_OK;
}

/* "https://ca.example/dir" is "ca.example_dir". */
static void
put_authority(const char *url, char out[128])
{
	size_t n = 0;

	for (const char *p = url + strcspn(url, "/"); *p != '\0' && n < 127; p++) {
		if (*p == '/' && n == 0)
			continue;
		bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		    *p == '-' || (*p == '.' && n > 0);
		out[n++] = is_plain ? *p : '_';
	}
	out[n] = '\0';
}

enum err
acme_new(const struct acme_params *p, struct acme **out, struct err_text *why)
{
	struct acme *a = obj_alloc(sizeof(*a));
	char dir[ACME_PATH_BYTES - 256], authority[128];
	enum err rc;

	a->magic = ACME_MAGIC;
	a->p = *p;
	a->timer = evtimer_new(p->base, on_timer, a);
	ASSERT(a->timer != NULL);
	put_authority(p->cfg->acme.url, authority);
	int n = snprintf(dir, sizeof(dir), "%s/acme", p->cfg->data_dir);
	ASSERT(n > 0 && (size_t)n < sizeof(dir));	/* datadir_open has a limit below */
	snprintf(a->attempt_file, sizeof(a->attempt_file), "%s/attempt", dir);
	snprintf(a->challenge_dir, sizeof(a->challenge_dir), "%s/challenge", dir);
	snprintf(a->conf_dir, sizeof(a->conf_dir), "%s/%s", dir, authority);
	snprintf(a->cert_file, sizeof(a->cert_file), "%s/%s/cert.pem", a->conf_dir,
	    p->cfg->acme.hostname);
	snprintf(a->key_file, sizeof(a->key_file), "%s/private/%s/key.pem", a->conf_dir,
	    p->cfg->acme.hostname);
	snprintf(a->hook_env, sizeof(a->hook_env), "%s=%s", ACME_CHALLENGE_ENV, a->challenge_dir);
	if ((rc = find_hook(a, why)) != ERR_OK || (rc = make_dir(dir, why)) != ERR_OK ||
	    (rc = make_dir(a->challenge_dir, why)) != ERR_OK ||
	    (rc = make_dir(a->conf_dir, why)) != ERR_OK) {
		acme_free(a);
		return rc;
	}
	attempt_load(a);
	metric_set(METRIC_ACME_FAILING, a->n_failures);
	*out = a;
	return ERR_OK;
}

void
acme_free(struct acme *a)
{
	if (a == NULL)
		return;
	OBJ_CHECK(a, ACME_MAGIC);
	child_free(a->child);
	event_free(a->timer);
	a->magic = 0;
	free(a);
}

const char *
acme_cert_file(const struct acme *a)
{
	OBJ_CHECK(a, ACME_MAGIC);
	return a->cert_file;
}

const char *
acme_key_file(const struct acme *a)
{
	OBJ_CHECK(a, ACME_MAGIC);
	return a->key_file;
}

void
acme_set_dates(struct acme *a, int64_t not_before_unix_s, int64_t not_after_unix_s)
{
	OBJ_CHECK(a, ACME_MAGIC);
	int64_t life = not_after_unix_s - not_before_unix_s;

	a->due_unix_s = 0;
	if (life > 0)		/* not all servers that began on one day at the same time */
		a->due_unix_s = acme_due_unix_s(not_before_unix_s, not_after_unix_s) +
		    (int64_t)rand_below((uint64_t)life / 50 + 1);
	arm(a);
}

void
acme_hurry(struct acme *a)
{
	OBJ_CHECK(a, ACME_MAGIC);
	int64_t now = clock_wall_s(), next = a->last_unix_s + ACME_HURRY_S;

	if (a->step != ACME_IDLE || a->retry_unix_s <= now)
		return;
	a->retry_unix_s = next > now ? next : now;
	arm(a);
}

bool
acme_answer(struct acme *a, const char *token, size_t n, char out[2 * ACME_CHALLENGE_MAX])
{
	OBJ_CHECK(a, ACME_MAGIC);
	return a->is_asking && acme_challenge_read(a->challenge_dir, token, n, out);
}
