/* links: */
/* Metrics: counting from several threads, and the text exposition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/metrics.h"

static void *
count_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++)
		metric_add(METRIC_NODES, 1);
	return NULL;
}

static void
test_count(void **state)
{
	pthread_t threads[3];

	(void)state;
	metric_set(METRIC_NODES, 5);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_get(METRIC_NODES), 60005);
	metric_add(METRIC_NODES, -60006);
	assert_int_equal(metric_get(METRIC_NODES), -1);
	assert_int_equal(metric_get(METRIC_STUN_BAD), 0);
}

static size_t
count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
test_exposition(void **state)
{
	struct buf b = { 0 };

	(void)state;
	metric_set(METRIC_DERP_DROP_TAIL_OTHER, 7);
	metric_set(METRIC_DERP_ACCEPTS, INT64_MAX);
	metrics_put(&b);
	const char *text = buf_cstr(&b);
	assert_non_null(strstr(text, "\nderp_packets_dropped{reason=\"queue_tail\",kind=\"other\"} 7\n"));
	assert_non_null(strstr(text, "# HELP derp_accepts DERP connections accepted\n"
	    "# TYPE derp_accepts counter\nderp_accepts 9223372036854775807\n"));
	assert_int_equal(count_of(text, "# TYPE derp_packets_dropped counter\n"), 1);
	assert_int_equal(count_of(text, "# HELP derp_packets_dropped "), 1);
	assert_true(count_of(text, "\nderp_packets_dropped{") > 1);
	assert_int_equal(count_of(text, "# TYPE stun_requests counter\n"), 1);
	assert_int_equal(count_of(text, "# TYPE "), count_of(text, "# HELP "));
	buf_fini(&b);
}

/* Every sample stands under the TYPE line of its own family, each family once (Prometheus refuses
 * anything else), and the text ends with a newline. */
static void
test_families(void **state)
{
	struct buf b = { 0 };
	static const char *const parts[] = { "_bucket", "_sum", "_count" };
	char family[128] = "";
	size_t n_samples = 0;
	bool is_histogram = false;

	(void)state;
	metrics_put(&b);
	const char *line = buf_cstr(&b), *end;
	assert_int_equal(b.p[b.len - 1], '\n');
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		size_t n = strcspn(line, "{ ");

		if (strncmp(line, "# HELP ", 7) == 0)
			continue;
		if (strncmp(line, "# TYPE ", 7) == 0) {
			n = strcspn(line + 7, " ");
			assert_true(n < sizeof(family));
			memcpy(family, line + 7, n);
			family[n] = '\0';
			is_histogram = strncmp(line + 7 + n, " histogram\n", 11) == 0;
			continue;
		}
		/* A histogram's rows have a part of their own behind the name. */
		for (size_t i = 0; i < COUNT_OF(parts); i++) {
			size_t n_part = strlen(parts[i]);

			if (is_histogram && n > n_part && memcmp(line + n - n_part, parts[i], n_part) == 0) {
				n -= n_part;
				break;
			}
		}
		assert_int_equal(strlen(family), n);
		assert_memory_equal(line, family, n);
		assert_true(isdigit((unsigned char)end[-1]));
		n_samples++;
	}
	assert_int_equal(n_samples, METRIC_COUNT);
	buf_fini(&b);
}

/* Buckets are counted each for itself, and told with all below them. */
static void
test_histogram(void **state)
{
	struct buf b = { 0 };

	(void)state;
	metric_set(METRIC_DERP_DELAY_1MS, 100);
	metric_set(METRIC_DERP_DELAY_4MS, 20);
	metric_set(METRIC_DERP_DELAY_INF, 3);
	metric_set(METRIC_DERP_DELAY_SUM, 12034);
	metrics_put(&b);
	const char *text = buf_cstr(&b);
	assert_int_equal(count_of(text, "# TYPE fairlead_derp_queue_delay_seconds histogram\n"), 1);
	assert_non_null(strstr(text, "\nfairlead_derp_queue_delay_seconds_bucket{le=\"0.001\"} 100\n"
	    "fairlead_derp_queue_delay_seconds_bucket{le=\"0.002\"} 100\n"
	    "fairlead_derp_queue_delay_seconds_bucket{le=\"0.004\"} 120\n"));
	assert_non_null(strstr(text, "_bucket{le=\"1.024\"} 120\n"
	    "fairlead_derp_queue_delay_seconds_bucket{le=\"+Inf\"} 123\n"
	    "fairlead_derp_queue_delay_seconds_sum 12.034\n"
	    "fairlead_derp_queue_delay_seconds_count 123\n"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_exposition),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
