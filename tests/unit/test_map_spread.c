/* links: coord/map_spread */
/* Proves: a quiet system spreads at once; a storm's window follows the cost of a round and is
 * bounded; urgent changes wait for no window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coord/map_spread.h"

static void
windows(void **state)
{
	static const struct {
		int64_t spent_us;
		unsigned n_messages;
		bool is_urgent;
		int64_t wait_us;	/* from the start of the round before */
	} cases[] = {
		{ 0, 0, false, 0 },
		{ 50, 2, false, 210 },			/* a small tailnet: nothing to notice */
		{ 50, 2, true, 70 },
		{ 2000, 1000, false, 36000 },
		{ 2000, 1000, true, 12000 },
		{ 15000, 10000, false, 250000 },	/* the cap */
		{ 15000, 10000, true, 115000 },
		{ 900000, 10000, true, 250000 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct map_spread s = { 0 };

		map_spread_note(&s, cases[i].is_urgent);
		assert_true(s.is_pending);
		assert_true(map_spread_due_us(&s) <= 5000);	/* nothing was before */
		map_spread_start(&s, 5000);
		assert_false(s.is_pending);
		map_spread_done(&s, cases[i].spent_us, cases[i].n_messages);
		map_spread_note(&s, false);
		map_spread_note(&s, cases[i].is_urgent);
		assert_int_equal(map_spread_due_us(&s), 5000 + cases[i].wait_us);
		map_spread_start(&s, 6000);
		assert_false(s.is_urgent);
	}
}

static void
cost_fades(void **state)
{
	struct map_spread s = { 0 };

	(void)state;
	map_spread_start(&s, 1);
	map_spread_done(&s, 8000, 0);
	map_spread_start(&s, 2);
	map_spread_done(&s, 10, 0);
	assert_int_equal(s.cost_us, 4000);
	for (unsigned i = 0; i < 20; i++)
		map_spread_done(&s, 10, 0);
	assert_int_equal(s.cost_us, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows),
		cmocka_unit_test(cost_fades),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
