/* What both load generators share: time, the server's CPU and memory, samples, lines of output. One
 * thread. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/obj.h"

#define BENCH_NS_PER_S	1000000000LL
#define BENCH_NS_PER_MS	1000000LL

int64_t bench_now_ns(void);			/* monotonic */

/* CPU seconds (user and system, all threads, nanosecond resolution) that the process used since its
 * start; pid 0: this process. 0 for a negative pid; ends the program when the process has gone. */
double bench_cpu_s(pid_t pid);
/* Resident bytes of the process. 0 for a negative pid; ends the program when it has gone. */
double bench_rss_bytes(pid_t pid);
/* Bytes that the process has caused to be written to disk. 0 for a negative pid, and where we may not know. */
double bench_written_bytes(pid_t pid);

/* CPU seconds that all processes of the machine used, in hundredths: what is neither the server's
 * nor ours is somebody else's, and spoils the figures. */
double bench_machine_cpu_s(void);

/* Says why on stderr and exits with 1. */
_Noreturn void bench_die(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The prefix of all lines that follow, by the printf format: "relay pairs=10". */
void bench_label(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* One line on stdout: "LABEL: WHAT VALUE UNIT", the value with so many decimals. */
void bench_say(const char *what, double value, int decimals, const char *unit);

/* A number of a command line; ends the program when it is none or outside the range. */
long bench_number(const char *option, const char *text, long min, long max);
/* Options that are numbers: where each goes, and its range. */
struct bench_option {
	int opt;
	unsigned *to;
	long min, max;
};
/* Sets the one that opt is, called name. False: it is none of these n. */
int bench_option_set(const struct bench_option *options, size_t n, int opt, const char *name, const char *text);

/* Values of one kind. All zero is empty. */
struct bench_samples {
	double *v;
	size_t n, cap;
	int is_sorted;
};

void bench_samples_add(struct bench_samples *s, double value);
/* The q-th quantile (0..1, nearest rank); 0 when there are none. */
double bench_samples_quantile(struct bench_samples *s, double q);
void bench_samples_fini(struct bench_samples *s);

#endif
