/* Random bytes from getrandom(2). */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/obj.h"

static void (*test_fill)(void *p, size_t n);

void
rand_test_source(void (*fill)(void *p, size_t n))
{
	test_fill = fill;
}

void
rand_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	if (test_fill != NULL) {
		test_fill(p, n);
		return;
	}
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0) {
			ASSERT(errno == EINTR);
			continue;
		}
		at += got;
		n -= (size_t)got;
	}
}

uint64_t
rand_below(uint64_t bound)
{
	ASSERT(bound > 0);
	uint64_t n_uneven = (UINT64_MAX % bound + 1) % bound;	/* 2^64 mod bound */
	uint64_t v = 0;

	/* Values of the last, incomplete run of bound are drawn again. 64 refusals in a row have a
	 * chance of 2^-64: the limit only matters for a test's constant source. */
	for (int tries = 0; tries < 64; tries++) {
		rand_bytes(&v, sizeof(v));
		if (v <= UINT64_MAX - n_uneven)
			break;
	}
	return v % bound;
}

void
rand_text(char *out, size_t n_chars)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint64_t v[32];

	for (size_t done = 0; done < n_chars;) {
		size_t n = n_chars - done < COUNT_OF(v) ? n_chars - done : COUNT_OF(v);

		rand_bytes(v, n * sizeof(v[0]));
		for (size_t i = 0; i < n; i++)	/* 64 bits each: the bias is 2^-58 */
			out[done++] = letters[v[i] % (sizeof(letters) - 1)];
	}
	out[n_chars] = '\0';
}
