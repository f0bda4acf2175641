/* links: */
/* Names are looked up beside the caller; results that nobody waits for are let go. */
#include "base/lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct addrinfo *
wait_for(struct lookup *lk, const char **why)
{
	const struct addrinfo *found = NULL;

	assert_non_null(lk);
	while (!lookup_is_done(lk, &found, why))
		sched_yield();
	return found;
}

static void
test_found(void **state)
{
	struct lookup *lk = lookup_new("127.0.0.1", 443);
	const char *why = NULL;
	const struct addrinfo *a = wait_for(lk, &why);
	const struct sockaddr_in *sa;

	(void)state;
	assert_non_null(a);
	assert_null(why);
	assert_int_equal(a->ai_family, AF_INET);
	sa = (const struct sockaddr_in *)(const void *)a->ai_addr;
	assert_int_equal(ntohs(sa->sin_port), 443);
	assert_int_equal(ntohl(sa->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_null(a->ai_next);		/* streams only */
	lookup_drop(lk);
}

static void
test_not_found(void **state)
{
	struct lookup *lk = lookup_new("two..dots", 1);
	const char *why = NULL;

	(void)state;
	assert_null(wait_for(lk, &why));
	assert_non_null(why);
	lookup_drop(lk);
	lookup_drop(NULL);
}

/* Whoever comes last frees it: many, so that both orders are met. */
static void
test_not_wanted(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++)
		lookup_drop(lookup_new("127.0.0.1", 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found), cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_not_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
