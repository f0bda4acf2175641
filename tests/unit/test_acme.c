/* links: server/acme server/acme_challenge server/child */
/* Proves: how the ACME client is called and what follows from what it says; failures are rationed,
 * over restarts too; one that hangs is ended with all it has started. The client is a script here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "server/acme.h"

#define NOW_S	1795000000	/* November 2026 */
#define DAY_S	86400
#define GIVE_UP_MS 20000

struct fixture {
	char dir[64], script[96], calls[96];
	struct config cfg;
	struct event_base *base;
	struct acme_params p;
	struct acme *a;
	unsigned n_issued;
	bool is_good;		/* what issued() answers */
};

static void
no_jitter(void *p, size_t n)
{
	memset(p, 0, n);
}

static bool
on_issued(void *arg)
{
	struct fixture *f = arg;

	f->n_issued++;
	if (f->is_good)
		acme_set_dates(f->a, clock_wall_s(), clock_wall_s() + 90 * DAY_S);
	return f->is_good;
}

/* The script notes how it was called, then does what is given for the word: new or issue. */
static void
script(struct fixture *f, const char *on_new, const char *on_issue)
{
	FILE *file = fopen(f->script, "we");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\necho \"$* $FAIRLEAD_ACME_HOOK [$FAIRLEAD_SECRET]\" >>%s\n"
	    "case \"$*\" in\n*' new'*) %s ;;\n*) %s ;;\nesac\n", f->calls, on_new, on_issue);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(f->script, 0700), 0);
}

static void
open_acme(struct fixture *f)
{
	struct err_text why = { "" };

	if (acme_new(&f->p, &f->a, &why) != ERR_OK)
		fail_msg("%s", why.s);
}

static int
setup(void **state)
{
	struct fixture *f = obj_alloc(sizeof(*f));

	setenv("FAIRLEAD_SECRET", "hidden", 1);
	log_set_level(LOG_ERROR);
	clock_test_set(1000, NOW_S);
	rand_test_source(no_jitter);
	metric_set(METRIC_ACME_FAILING, 0);
	strcpy(f->dir, "/tmp/fairlead-test-acme-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->script, sizeof(f->script), "%s/client", f->dir);
	snprintf(f->calls, sizeof(f->calls), "%s/calls", f->dir);
	f->cfg.data_dir = f->dir;
	f->cfg.acme.hostname = (char *)(uintptr_t)"vpn.example.com";
	f->cfg.acme.url = (char *)(uintptr_t)"https://ca.example/Dir?x";
	f->cfg.acme.email = (char *)(uintptr_t)"";
	f->base = event_base_new();
	f->is_good = true;
	f->p = (struct acme_params){
		.base = f->base, .cfg = &f->cfg, .program = f->script, .hook = "/hook",
		.run_ms = GIVE_UP_MS, .issued = on_issued, .arg = f,
	};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	acme_free(f->a);
	event_base_free(f->base);
	clock_test_stop();
	rand_test_source(NULL);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Runs the loop until *count has reached n, or for so long; false: it has not. */
static bool
run_until(struct fixture *f, enum metric m, int64_t n, unsigned ms)
{
	bool is_late = false;
	struct event *late = evtimer_new(f->base, on_late, &is_late);

	event_add(late, &(const struct timeval){ ms / 1000, ms % 1000 * 1000 });
	while (!is_late && metric_get(m) < n)
		event_base_loop(f->base, EVLOOP_ONCE);
	event_free(late);
	return !is_late;
}

/* Lines that the script has noted; the last one into out. */
static unsigned
calls(const struct fixture *f, char out[1024])
{
	FILE *file = fopen(f->calls, "re");
	unsigned n = 0;
	char line[1024];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		n++;
		strcpy(out, line);
	}
	if (file != NULL)
		fclose(file);
	return n;
}

static void
when_it_is_due(void **state)
{
	static const struct { int64_t from, until, due; } dates[] = {
		{ 0, 90 * DAY_S, 60 * DAY_S }, { 0, 6 * DAY_S, 4 * DAY_S }, { 100, 130, 120 },
	};
	static const struct { unsigned n; int64_t s; } pauses[] = {
		{ 1, 720 }, { 2, 1440 }, { 3, 2880 }, { 6, 23040 }, { 7, 43200 }, { 1000000, 43200 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(dates); i++)
		assert_int_equal(acme_due_unix_s(dates[i].from, dates[i].until), dates[i].due);
	for (size_t i = 0; i < COUNT_OF(pauses); i++)
		assert_int_equal(acme_retry_s(pauses[i].n), pauses[i].s);
}

static void
what_uacme_says(void **state)
{
	static const struct { const char *lines[5], *want; } cases[] = {
		{ { "uacme: curl_get: GET https://ca/dir failed: Couldn't connect to server",
		    "uacme: curl_get: waiting 5 seconds before retrying", "uacme: acme_get: curl_get failed" },
		    "curl_get: GET https://ca/dir failed: Couldn't connect to server" },
		{ { "uacme: challenge https://ca/c/1 failed with status invalid",
		    "uacme: the server reported the following error:", "{",
		    "    \"detail\": \"Get \\\"http://vpn/\\\": connection refused\",", "}" },
		    "Get \\\"http://vpn/\\\": connection refused" },
		{ { "    \"detail\": \"too many\"", "    \"detail\": \"second\"" }, "too many" },
		{ { "    \"detail\": \"", "nonsense" }, "" },
		{ { "", "not of uacme" }, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		bool is_detail = false;

		for (size_t k = 0; k < COUNT_OF(cases[i].lines) && cases[i].lines[k] != NULL; k++)
			(void)acme_reason(cases[i].lines[k], &is_detail, &why);
		assert_string_equal(why.s, cases[i].want);
	}
}

static void
a_certificate_is_had(void **state)
{
	struct fixture *f = *state;
	char call[1024] = "", want[1024], path[160];
	int64_t n = metric_get(METRIC_ACME_ISSUED);

	f->cfg.acme.email = (char *)(uintptr_t)"ann@example.com";
	script(f, "echo 'uacme: terms autoaccepted'", "exit 0");
	open_acme(f);
	assert_false(run_until(f, METRIC_ACME_ISSUED, n + 1, 50));	/* nobody has asked */
	assert_int_equal(calls(f, call), 0);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_ISSUED, n + 1, GIVE_UP_MS));
	assert_int_equal(f->n_issued, 1);
	assert_int_equal(calls(f, call), 2);
	snprintf(want, sizeof(want), "-t EC -o -f -c %s/acme/ca.example__ir_x -a "
	    "https://ca.example/Dir?x -h /hook issue vpn.example.com %s/acme/challenge []\n",
	    f->dir, f->dir);
	assert_string_equal(call, want);
	snprintf(path, sizeof(path), "%s/acme/attempt", f->dir);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(metric_get(METRIC_ACME_FAILING), 0);

	/* 60 days are not over, then they are; the account exists. */
	script(f, "echo 'uacme: Account already exists at x' >&2; exit 2", "exit 0");
	clock_test_set(1000, NOW_S + 60 * DAY_S - 1);
	acme_set_dates(f->a, NOW_S, NOW_S + 90 * DAY_S);
	acme_hurry(f->a);
	assert_true(event_base_loop(f->base, EVLOOP_NONBLOCK) == 0);
	assert_int_equal(calls(f, call), 2);
	clock_test_set(1000, NOW_S + 60 * DAY_S);
	acme_set_dates(f->a, NOW_S, NOW_S + 90 * DAY_S);
	assert_true(run_until(f, METRIC_ACME_ISSUED, n + 2, GIVE_UP_MS));
	assert_int_equal(calls(f, call), 4);
}

static void
paths_are_of_the_authority(void **state)
{
	struct fixture *f = *state;
	char want[256];

	open_acme(f);
	snprintf(want, sizeof(want), "%s/acme/ca.example__ir_x/vpn.example.com/cert.pem", f->dir);
	assert_string_equal(acme_cert_file(f->a), want);
	snprintf(want, sizeof(want), "%s/acme/ca.example__ir_x/private/vpn.example.com/key.pem", f->dir);
	assert_string_equal(acme_key_file(f->a), want);
	acme_free(f->a);
	f->cfg.acme.url = (char *)(uintptr_t)"https://../../etc";
	open_acme(f);
	snprintf(want, sizeof(want), "%s/acme/_._.._etc/vpn.example.com/cert.pem", f->dir);
	assert_string_equal(acme_cert_file(f->a), want);
}

static void
failures_are_rationed(void **state)
{
	struct fixture *f = *state;
	char call[1024];

	script(f, "exit 0", "echo '    \"detail\": \"no\"'; exit 2");
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_FAILING, 1, GIVE_UP_MS));
	assert_int_equal(calls(f, call), 2);
	acme_set_dates(f->a, 0, 0);		/* whatever happens meanwhile */
	assert_false(run_until(f, METRIC_ACME_FAILING, 2, 50));

	/* A server started again waits as well, for the first pause. */
	acme_free(f->a);
	clock_test_set(1000, NOW_S + 719);
	open_acme(f);
	assert_int_equal(metric_get(METRIC_ACME_FAILING), 1);
	acme_set_dates(f->a, 0, 0);
	acme_hurry(f->a);			/* unless a person asks */
	assert_true(run_until(f, METRIC_ACME_FAILING, 2, GIVE_UP_MS));
	acme_hurry(f->a);			/* not every second */
	assert_false(run_until(f, METRIC_ACME_FAILING, 3, 50));
	assert_int_equal(calls(f, call), 4);
	clock_test_set(1000, NOW_S + 719 + 720);
	acme_free(f->a);
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_FAILING, 3, GIVE_UP_MS));

	/* A clock that was set back does not stop it. */
	clock_test_set(1000, NOW_S - 1000 * DAY_S);
	script(f, "exit 0", "exit 0");
	acme_set_dates(f->a, 0, 0);
	int64_t n = metric_get(METRIC_ACME_ISSUED);
	assert_true(run_until(f, METRIC_ACME_ISSUED, n + 1, GIVE_UP_MS));
	assert_int_equal(metric_get(METRIC_ACME_FAILING), 0);
}

static void
useless_certificates_are_failures(void **state)
{
	struct fixture *f = *state;
	char call[1024];

	f->is_good = false;
	script(f, "exit 0", "exit 0");
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_FAILING, 1, GIVE_UP_MS));
	assert_false(run_until(f, METRIC_ACME_FAILING, 2, 50));
	assert_int_equal(calls(f, call), 2);
}

/* uacme stumbles over challenges without a token, which come in random order. */
static void
unknown_challenges_are_asked_again(void **state)
{
	struct fixture *f = *state;
	char call[1024];
	int64_t n = metric_get(METRIC_ACME_ISSUED);

	script(f, "exit 0", "if [ $(wc -l <\"$(dirname \"$0\")/calls\") -lt 3 ]; then"
	    " echo 'uacme: failed to parse challenge'; exit 2; fi");
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_ISSUED, n + 1, GIVE_UP_MS));
	assert_int_equal(calls(f, call), 3);
	assert_int_equal(metric_get(METRIC_ACME_FAILING), 0);
}

static void
no_client_is_installed(void **state)
{
	struct fixture *f = *state;

	f->p.program = "no-such-program-of-fairlead";
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_FAILING, 1, GIVE_UP_MS));
	assert_int_equal(f->n_issued, 0);
}

/* Its own child holds the output open. */
static void
one_that_hangs_is_ended(void **state)
{
	struct fixture *f = *state;

	f->p.run_ms = 200;
	script(f, "sleep 100 & exec sleep 100", "exit 0");
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_true(run_until(f, METRIC_ACME_FAILING, 1, GIVE_UP_MS));

	acme_free(f->a);			/* and one that runs when the server ends */
	f->p.run_ms = GIVE_UP_MS;
	clock_test_set(1000, NOW_S + DAY_S);
	open_acme(f);
	acme_set_dates(f->a, 0, 0);
	assert_false(run_until(f, METRIC_ACME_FAILING, 2, 100));
	acme_free(f->a);
	f->a = NULL;
}

static void
answers_during_an_attempt_only(void **state)
{
	struct fixture *f = *state;
	char path[160], answer[2 * ACME_CHALLENGE_MAX];

	f->p.run_ms = 300;
	script(f, "exec sleep 100", "exit 0");
	open_acme(f);
	snprintf(path, sizeof(path), "%s/acme/challenge/tok", f->dir);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs("tok.print", file);
	fclose(file);
	assert_false(acme_answer(f->a, "tok", 3, answer));
	acme_set_dates(f->a, 0, 0);
	assert_false(run_until(f, METRIC_ACME_FAILING, 1, 100));
	assert_true(acme_answer(f->a, "tok", 3, answer));
	assert_string_equal(answer, "tok.print");
	assert_false(acme_answer(f->a, "to", 2, answer));
	assert_true(run_until(f, METRIC_ACME_FAILING, 1, GIVE_UP_MS));
	assert_false(acme_answer(f->a, "tok", 3, answer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(when_it_is_due), TEST(what_uacme_says), TEST(a_certificate_is_had),
		TEST(paths_are_of_the_authority), TEST(failures_are_rationed),
		TEST(useless_certificates_are_failures), TEST(unknown_challenges_are_asked_again),
		TEST(no_client_is_installed), TEST(one_that_hangs_is_ended),
		TEST(answers_during_an_attempt_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
