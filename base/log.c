/*
 * Log lines: time=… level=… part=… event=… key=value …
 * A value is quoted when it is empty or holds a space, '=', '"', a control byte or anything beyond
 * ASCII; inside quotes '"' and '\' get a backslash, control characters and bytes that are not UTF-8
 * become \xNN. A line that would be too long ends with cut=true.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define LOG_LINE_MAX_BYTES	2048
#define LOG_TAIL_BYTES		16	/* kept free for: quote, " cut=true", newline */

struct line {
	char s[LOG_LINE_MAX_BYTES];
	size_t n;
	bool is_cut;		/* something did not fit: nothing more is put */
};

static const char *const level_words[] = { "debug", "info", "warn", "error" };

static const char *const part_words[] = {
#define X(name, word) [LOG_##name] = word,
	LOG_PART_TABLE(X)
#undef X
};

static _Atomic int least_level = LOG_INFO;

void
log_set_level(enum log_level least)
{
	atomic_store(&least_level, (int)least);
}

bool
log_level_parse(const char *word, enum log_level *out)
{
	for (size_t i = 0; i < COUNT_OF(level_words); i++) {
		if (strcmp(word, level_words[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *
log_num(struct log_num *store, int64_t value)
{
	snprintf(store->s, sizeof(store->s), "%" PRId64, value);
	return store->s;
}

/* All n bytes or none. */
static void
put(struct line *l, const char *p, size_t n)
{
	if (l->is_cut || n > sizeof(l->s) - LOG_TAIL_BYTES - l->n) {
		l->is_cut = true;
		return;
	}
	memcpy(l->s + l->n, p, n);
	l->n += n;
}

/* Into the part that put leaves free. */
static void
put_tail(struct line *l, const char *s)
{
	size_t n = strlen(s);

	ASSERT(n <= sizeof(l->s) - l->n);
	memcpy(l->s + l->n, s, n);
	l->n += n;
}

static bool
needs_quotes(const char *s)
{
	if (*s == '\0')
		return true;
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s >= 0x7f || *s == '=' || *s == '"')
			return true;
	}
	return false;
}

/* Length of the text at p that may be written as it is; 0: its first byte must be escaped. */
static size_t
plain_len(const uint8_t *p, size_t n)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 0;
	size_t len = utf8_char_len(p, n);
	if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)	/* C1 controls: terminals obey them */
		return 0;
	return len;
}

static void
put_value(struct line *l, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t left = strlen(s), n;
	char hex[8];

	if (!needs_quotes(s)) {
		for (; left > 0 && !l->is_cut; left--, s++)
			put(l, s, 1);
		return;
	}
	put(l, "\"", 1);
	if (l->is_cut)
		return;
	for (; left > 0 && !l->is_cut; p += n, left -= n) {
		n = plain_len(p, left);
		if (n == 0) {
			n = 1;
			put(l, hex, (size_t)snprintf(hex, sizeof(hex), "\\x%02x", *p));
		} else if (*p == '"' || *p == '\\') {
			put(l, (const char[]){ '\\', (char)*p }, 2);
		} else {
			put(l, (const char *)p, n);
		}
	}
	put_tail(l, "\"");
}

/* The first pair has no space in front. */
static void
put_pair(struct line *l, const char *key, const char *value)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "%s%.48s=", l->n > 0 ? " " : "", key);

	put(l, head, (size_t)n);
	if (!l->is_cut)
		put_value(l, value != NULL ? value : "-");
}

static void
put_time(struct line *l)
{
	int64_t ms = clock_wall_ms();
	char whole[CLOCK_RFC3339_BYTES], text[CLOCK_RFC3339_BYTES + 8];

	clock_rfc3339(ms / 1000, whole);
	snprintf(text, sizeof(text), "%.19s.%03dZ", whole, (int)(ms % 1000));
	put_pair(l, "time", text);
}

void
log_line(enum log_level level, enum log_part part, const char *event, ...)
{
	struct line l = { .n = 0 };
	const char *key;
	va_list ap;

	if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
		return;
	ASSERT((unsigned)level < COUNT_OF(level_words) && (unsigned)part < COUNT_OF(part_words));
	int saved = errno;		/* a log line may stand between a failure and its errno */
	put_time(&l);
	put_pair(&l, "level", level_words[level]);
	put_pair(&l, "part", part_words[part]);
	put_pair(&l, "event", event);
	va_start(ap, event);
	while ((key = va_arg(ap, const char *)) != NULL)
		put_pair(&l, key, va_arg(ap, const char *));
	va_end(ap);
	put_tail(&l, l.is_cut ? " cut=true\n" : "\n");
	ssize_t n;
	do
		n = write(STDERR_FILENO, l.s, l.n);
	while (n < 0 && errno == EINTR);
	errno = saved;
}

_Noreturn void
log_fatal(enum log_part part, const char *event, const char *why)
{
	log_error(part, event, "err", why);
	_exit(1);		/* other threads may run: no destructors under their feet */
}
