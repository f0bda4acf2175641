/* links: coord/dns_lookup coord/dns_resolve coord/dns_params */
/* Proves: names are looked up beside the loop, each wanted one, and what was found stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "coord/dns_lookup.h"

static int changes;

static void
on_changed(void *arg)
{
	(void)arg;
	changes++;
}

/* Runs the loop until so many changes were told of. */
static void
wait_changes(struct event_base *base, int n)
{
	for (int i = 0; i < 10000 && changes < n; i++)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_int_equal(changes, n);
}

/* An address is its own name: found without a name server. */
static void
names(void **state)
{
	struct event_base *base = event_base_new();
	struct dns_lookup *l = dns_lookup_new(base, on_changed, NULL);
	struct dns_ips ips = { .n = 0 };
	char problem[DNS_PROBLEM_MAX] = "", text[NET_TEXT_MAX];

	(void)state;
	log_set_level(LOG_ERROR);
	dns_lookup_begin(l);
	assert_false(dns_lookup_find(l, "192.0.2.1", &ips, problem));
	assert_string_equal(problem, "192.0.2.1 is being looked up");
	assert_false(dns_lookup_find(l, "two..dots", &ips, problem));
	assert_false(dns_lookup_find(l, "fd00::1", &ips, problem));
	dns_lookup_end(l);
	wait_changes(base, 3);

	dns_lookup_begin(l);
	assert_true(dns_lookup_find(l, "192.0.2.1", &ips, problem));
	assert_int_equal(ips.n, 1);
	assert_string_equal(net_ip_put(&ips.v[0], text), "192.0.2.1");
	assert_true(dns_lookup_find(l, "fd00::1", &ips, problem));
	assert_int_equal(ips.n, 2);
	assert_false(dns_lookup_find(l, "two..dots", &ips, problem));
	assert_non_null(strstr(problem, "two..dots cannot be looked up: "));
	dns_lookup_end(l);
	assert_int_equal(changes, 3);		/* nothing is asked for again yet */

	/* what is not wanted is forgotten, also while it is being looked up */
	dns_lookup_begin(l);
	assert_false(dns_lookup_find(l, "192.0.2.2", &ips, problem));
	dns_lookup_end(l);
	assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	dns_lookup_begin(l);
	assert_false(dns_lookup_find(l, "192.0.2.1", &ips, problem));
	dns_lookup_end(l);
	wait_changes(base, 4);
	dns_lookup_begin(l);
	assert_false(dns_lookup_find(l, "192.0.2.2", &ips, problem));
	dns_lookup_end(l);
	dns_lookup_free(l);			/* with one under way */
	dns_lookup_free(NULL);
	event_base_free(base);
}

static void
too_many(void **state)
{
	struct event_base *base = event_base_new();
	struct dns_lookup *l = dns_lookup_new(base, on_changed, NULL);
	struct dns_ips ips = { .n = 0 };
	char problem[DNS_PROBLEM_MAX] = "", name[32];

	(void)state;
	dns_lookup_begin(l);
	for (int i = 0; i <= DNS_LOOKUP_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.invalid", i);
		assert_false(dns_lookup_find(l, name, &ips, problem));
	}
	assert_string_equal(problem, "only 256 names of outside are looked up");
	dns_lookup_end(l);
	dns_lookup_free(l);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names), cmocka_unit_test(too_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
