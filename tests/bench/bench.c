/* Time, the server's CPU and memory, samples, lines of output. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char label[160] = "bench";

int64_t
bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * BENCH_NS_PER_S + t.tv_nsec;
}

/* /proc/PID/stat counts in hundredths of a second; the process's own clock counts the same in ns. */
double
bench_cpu_s(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (pid < 0)
		return 0;
	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
		bench_die("no process %ld: it ended during the measurement", (long)pid);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double
bench_written_bytes(pid_t pid)
{
	static const char member[] = "\nwrite_bytes: ";
	char path[40], text[512];
	const char *at;

	if (pid < 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
	FILE *f = fopen(path, "re");
	size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
	if (f != NULL)
		fclose(f);
	text[n] = '\0';
	at = strstr(text, member);
	return at == NULL ? 0 : strtod(at + sizeof member - 1, NULL);
}

double
bench_rss_bytes(pid_t pid)
{
	char path[64];
	long pages_total, pages_resident = -1;

	if (pid < 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
	FILE *f = fopen(path, "re");
	if (f == NULL || fscanf(f, "%ld %ld", &pages_total, &pages_resident) != 2)
		bench_die("no process %ld: it ended during the measurement", (long)pid);
	fclose(f);
	return (double)pages_resident * (double)sysconf(_SC_PAGESIZE);
}

double
bench_machine_cpu_s(void)
{
	/* user nice system idle iowait irq softirq steal */
	unsigned long t[8] = { 0 };
	FILE *f = fopen("/proc/stat", "re");

	if (f == NULL || fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &t[0], &t[1], &t[2], &t[3], &t[4],
	    &t[5], &t[6], &t[7]) != 8)
		bench_die("/proc/stat cannot be read");
	fclose(f);
	return (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) / (double)sysconf(_SC_CLK_TCK);
}

void
bench_die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", label);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void
bench_label(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(label, sizeof label, fmt, ap);
	va_end(ap);
}

void
bench_say(const char *what, double value, int decimals, const char *unit)
{
	printf("%s: %s %.*f %s\n", label, what, decimals, value, unit);
	fflush(stdout);
}

long
bench_number(const char *option, const char *text, long min, long max)
{
	char *end;

	errno = 0;
	long v = strtol(text, &end, 10);
	if (*text == 0 || *end != 0 || errno != 0 || v < min || v > max)
		bench_die("%s: \"%s\" is not a number from %ld to %ld", option, text, min, max);
	return v;
}

int
bench_option_set(const struct bench_option *options, size_t n, int opt, const char *name, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (options[i].opt == opt) {
			*options[i].to = (unsigned)bench_number(name, text, options[i].min, options[i].max);
			return 1;
		}
	return 0;
}

void
bench_samples_add(struct bench_samples *s, double value)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 256 : s->cap * 2;
		s->v = obj_realloc(s->v, s->cap * sizeof *s->v);
	}
	s->v[s->n++] = value;
	s->is_sorted = 0;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_samples_quantile(struct bench_samples *s, double q)
{
	if (s->n == 0)
		return 0;
	if (!s->is_sorted)
		qsort(s->v, s->n, sizeof *s->v, by_value);
	s->is_sorted = 1;
	size_t rank = (size_t)(q * (double)s->n);
	return s->v[rank < s->n ? rank : s->n - 1];
}

void
bench_samples_fini(struct bench_samples *s)
{
	free(s->v);
	*s = (struct bench_samples){ 0 };
}
