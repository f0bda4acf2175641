/* Nearest word by edit distance (optimal string alignment). */
#include "server/suggest.h"

#include <limits.h>
#include <string.h>

#define WORD_MAX 63

static unsigned
min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
suggest_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	unsigned rows[3][WORD_MAX + 1];

	if (na > WORD_MAX || nb > WORD_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = min2(min2(up[j], row[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min2(row[j], up2[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

void
suggest_try(struct suggest *s, const char *candidate)
{
	unsigned d = suggest_distance(s->word, candidate);
	size_t n = strlen(s->word);
	unsigned near = n < 4 ? 1 : n < 8 ? 2 : 3;
	size_t nc = strlen(candidate);

	/* A beginning, or the last part of a dotted name, is what people leave out. */
	if (n >= 3 && nc > n && (strncmp(candidate, s->word, n) == 0 ||
	    (candidate[nc - n - 1] == '.' && strcmp(candidate + nc - n, s->word) == 0)))
		d = 1;
	if (d <= near && (s->best == NULL || d < s->distance)) {
		s->best = candidate;
		s->distance = d;
	}
}
