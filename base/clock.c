/* Time, and its RFC 3339 texts. The calendar is computed here: gmtime takes a lock of libc. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/obj.h"

#define DAY_S		86400
#define LAST_UNIX_S	253402300799	/* 9999-12-31T23:59:59Z: the last one with 4 digits */
#define FIRST_UNIX_S	(-62135596800)	/* 0001-01-01T00:00:00Z */

static atomic_bool test_is_on;
static _Atomic int64_t test_mono_ms, test_wall_s;

static int64_t
read_us(clockid_t id)
{
	struct timespec t;

	ASSERT(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_mono_us(void)
{
	if (atomic_load_explicit(&test_is_on, memory_order_acquire))
		return atomic_load(&test_mono_ms) * 1000;
	return read_us(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_wall_ms(void)
{
	if (atomic_load_explicit(&test_is_on, memory_order_acquire))
		return atomic_load(&test_wall_s) * 1000;
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_wall_s(void)
{
	return clock_wall_ms() / 1000;
}

void
clock_test_set(int64_t mono_ms, int64_t wall_unix_s)
{
	atomic_store(&test_mono_ms, mono_ms);
	atomic_store(&test_wall_s, wall_unix_s);
	atomic_store_explicit(&test_is_on, true, memory_order_release);
}

void
clock_test_stop(void)
{
	atomic_store(&test_is_on, false);
}

/* --- calendar ------------------------------------------------------------------------------------
 * Years are counted from March, so that the leap day is the last of its year; 400 years (an era)
 * are 146097 days; 719468 days lie between 0000-03-01 and 1970-01-01. */

static int64_t
days_from_date(int64_t year, int64_t month, int64_t day)
{
	if (month <= 2)
		year--;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void
date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t day_of_era = days - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
	    day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era -
	    (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t march_month = (5 * day_of_year + 2) / 153;

	*day = day_of_year - (153 * march_month + 2) / 5 + 1;
	*month = march_month < 10 ? march_month + 3 : march_month - 9;
	*year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

static int64_t
month_days(int64_t year, int64_t month)
{
	static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : days[month - 1];
}

static char *
put_digits(char *p, int64_t v, unsigned width)
{
	for (unsigned i = width; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

char *
clock_rfc3339(int64_t unix_s, char out[CLOCK_RFC3339_BYTES])
{
	int64_t year, month, day;
	char *p = out;

	if (unix_s == 0 || unix_s < FIRST_UNIX_S)
		unix_s = FIRST_UNIX_S;
	if (unix_s > LAST_UNIX_S)
		unix_s = LAST_UNIX_S;
	int64_t days = unix_s / DAY_S - (unix_s % DAY_S < 0 ? 1 : 0);
	int64_t second = unix_s - days * DAY_S;
	date_from_days(days, &year, &month, &day);
	p = put_digits(p, year, 4);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, day, 2);
	*p++ = 'T';
	p = put_digits(p, second / 3600, 2);
	*p++ = ':';
	p = put_digits(p, second / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, second % 60, 2);
	*p++ = 'Z';
	*p = '\0';
	return out;
}

/* The text that is still to be read. */
struct cursor {
	const char *p, *end;
};

/* width digits, at most max. */
static bool
take_number(struct cursor *c, unsigned width, int64_t max, int64_t *out)
{
	int64_t v = 0;

	if ((size_t)(c->end - c->p) < width)
		return false;
	for (unsigned i = 0; i < width; i++, c->p++) {
		if (*c->p < '0' || *c->p > '9')
			return false;
		v = v * 10 + (*c->p - '0');
	}
	*out = v;
	return v <= max;
}

/* One character out of the set. */
static bool
take_char(struct cursor *c, const char *set, char *out)
{
	if (c->p == c->end)
		return false;
	for (; *set != '\0'; set++) {
		if (*c->p == *set) {
			*out = *c->p++;
			return true;
		}
	}
	return false;
}

static bool
take_fraction(struct cursor *c)
{
	char sign;
	int64_t digit;

	if (!take_char(c, ".", &sign))
		return true;
	if (!take_number(c, 1, 9, &digit))
		return false;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return true;
}

static bool
take_offset(struct cursor *c, int64_t *offset_s)
{
	char sign, colon;
	int64_t hour, minute;

	*offset_s = 0;
	if (!take_char(c, "Zz+-", &sign))
		return false;
	if (sign == 'Z' || sign == 'z')
		return true;
	if (!take_number(c, 2, 23, &hour) || !take_char(c, ":", &colon) ||
	    !take_number(c, 2, 59, &minute))
		return false;
	*offset_s = (hour * 3600 + minute * 60) * (sign == '-' ? -1 : 1);
	return true;
}

int
clock_rfc3339_parse(const char *text, size_t n, int64_t *out_unix_s)
{
	struct cursor c = { text, text + n };
	int64_t year, month, day, hour, minute, second, offset_s;
	char sep;

	if (!take_number(&c, 4, 9999, &year) || !take_char(&c, "-", &sep) ||
	    !take_number(&c, 2, 12, &month) || !take_char(&c, "-", &sep) ||
	    !take_number(&c, 2, 31, &day) || !take_char(&c, "Tt", &sep) ||
	    !take_number(&c, 2, 23, &hour) || !take_char(&c, ":", &sep) ||
	    !take_number(&c, 2, 59, &minute) || !take_char(&c, ":", &sep) ||
	    !take_number(&c, 2, 60, &second) || !take_fraction(&c) || !take_offset(&c, &offset_s))
		return -1;
	if (c.p != c.end || month < 1 || day < 1 || day > month_days(year, month))
		return -1;
	if (year <= 1)
		*out_unix_s = 0;
	else
		*out_unix_s = days_from_date(year, month, day) * DAY_S + hour * 3600 + minute * 60 +
		    second - offset_s;
	return 0;
}
