/*
 * The phase of a command beside: something is changed from outside (a policy), and every node has to hear
 * of it. It is done several times, because one time says little on a machine with others.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/bench/nodes_phase.h"
#include "tests/bench/nodes_watch.h"

#define COMMAND_MS	60000

struct command_sums {
	struct bench_samples took_ms, last_ms, cpu_ms, bytes;
	unsigned missed;
};

/* The text with the round's number for every {}; owned by b. */
static const char *
fill(struct buf *b, const char *text, unsigned round)
{
	const char *at;

	buf_clear(b);
	while ((at = strstr(text, "{}")) != NULL) {
		buf_append(b, text, (size_t)(at - text));
		buf_printf(b, "%u", round);
		text = at + 2;
	}
	buf_str(b, text);
	return buf_cstr(b);
}

static bool
all_got_it(void)
{
	return nodes_watch_seen() >= run.n;
}

static void
run_one(unsigned round, struct command_sums *s)
{
	struct bench_samples took_ms = { 0 };
	struct buf command = { 0 }, expect = { 0 };
	struct phase_usage u;
	int status = 0;

	nodes_run_settle();
	fill(&command, run.o->command, round);
	u = phase_begin();
	if (run.o->expect != NULL)
		nodes_watch_text(fill(&expect, run.o->expect, round), NULL, &took_ms);
	else
		nodes_watch_any(&took_ms);
	pid_t pid = fork();
	if (pid < 0)
		bench_die("the command could not be started");
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", buf_cstr(&command), (char *)NULL);
		_exit(127);
	}
	(void)nodes_run_until(all_got_it, COMMAND_MS);
	s->missed += run.n - nodes_watch_seen();
	nodes_watch_stop();
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		bench_die("the command failed: %s", buf_cstr(&command));
	nodes_run_settle();
	u = phase_since(&u);
	for (size_t i = 0; i < took_ms.n; i++)
		bench_samples_add(&s->took_ms, took_ms.v[i]);
	bench_samples_add(&s->last_ms, bench_samples_quantile(&took_ms, 1));
	bench_samples_add(&s->cpu_ms, u.server_s * 1e3);
	bench_samples_add(&s->bytes, (double)u.wire_bytes / run.n);
	phase_say_trouble(&u);
	bench_samples_fini(&took_ms);
	buf_fini(&command);
	buf_fini(&expect);
}

void
phase_command(void)
{
	struct command_sums s = { .missed = 0 };

	if (run.o->command == NULL)
		bench_die("phase command: --command says what to run");
	for (unsigned i = 1; i <= run.o->rounds; i++)
		run_one(i, &s);
	bench_say("command, message to all p50", bench_samples_quantile(&s.took_ms, 0.5), 1, "ms");
	bench_say("command, message to the last, median", bench_samples_quantile(&s.last_ms, 0.5), 1, "ms");
	bench_say("command, message to the last, lowest", bench_samples_quantile(&s.last_ms, 0), 1, "ms");
	if (s.missed > 0)
		bench_say("command, nodes without a message", s.missed, 0, "");
	if (run.o->pid > 0) {
		bench_say("command, server cpu, median", bench_samples_quantile(&s.cpu_ms, 0.5), 1, "ms");
		bench_say("command, server cpu, lowest", bench_samples_quantile(&s.cpu_ms, 0), 1, "ms");
	}
	bench_say("command, received", bench_samples_quantile(&s.bytes, 0.5), 0, "bytes per node");
	bench_samples_fini(&s.took_ms);
	bench_samples_fini(&s.last_ms);
	bench_samples_fini(&s.cpu_ms);
	bench_samples_fini(&s.bytes);
}
