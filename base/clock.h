/* Time: monotonic for intervals, wall for what people and clients see. Injectable in tests. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_s(void);	/* unix seconds */
int64_t clock_wall_ms(void);	/* unix milliseconds */

/* Tests only: from now on both clocks read these values (until clock_test_stop). */
void clock_test_set(int64_t mono_ms, int64_t wall_unix_s);
void clock_test_stop(void);

#define CLOCK_RFC3339_BYTES 32
/* "2026-11-23T20:01:37Z" of unix seconds; 0 gives "0001-01-01T00:00:00Z" (the clients' zero time).
 * Returns out. */
char *clock_rfc3339(int64_t unix_s, char out[CLOCK_RFC3339_BYTES]);
/* Parses n bytes of RFC 3339 (any offset, fractions ignored) to unix seconds; years 0 and 1 give 0.
 * Returns 0, or -1 when it is not a time. */
int clock_rfc3339_parse(const char *text, size_t n, int64_t *out_unix_s);

#endif
