/* Texts for people: durations, times as distances, tables. Pure. */
#ifndef SERVER_CLI_TEXT_H
#define SERVER_CLI_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

/* "30m", "24h", "7d", "1d12h", "2w" -> seconds; "never" and "0" are 0. At most 3650 days. ERR_INVAL
 * with *why. */
enum err cli_duration_parse(const char *text, int64_t *out_s, struct err_text *why) MUST_USE;

#define CLI_TIME_MAX 48
/* "never" (0), "just now", "5 minutes ago", "in 89 days". Returns out. */
char *cli_time_put(int64_t unix_s, int64_t now_unix_s, char out[CLI_TIME_MAX]);
/* "3 days" (rounded down to the largest unit). Returns out. */
char *cli_span_put(int64_t seconds, char out[CLI_TIME_MAX]);

/* Appends text as one terminal line may show it: control characters become "?". */
void cli_text_put(struct buf *b, const char *text);

/* An aligned table: all columns as wide as their longest cell. */
struct cli_table;
struct cli_table *cli_table_new(const char *const *heads, unsigned n_cols) MUST_USE;
void cli_table_cell(struct cli_table *t, const char *text);	/* copied; fills rows from the left */
void cli_table_print(const struct cli_table *t, FILE *f);
void cli_table_free(struct cli_table *t);

#endif
