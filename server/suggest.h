/* "Did you mean": the nearest of some words, for mistyped keys, flags and verbs. Pure. */
#ifndef SERVER_SUGGEST_H
#define SERVER_SUGGEST_H

/* Insertions, deletions, replacements and swaps of neighbours between the two; words longer than 63
 * characters are far from everything. */
unsigned suggest_distance(const char *a, const char *b);

/* Keeps the nearest word seen so far. Start with { .word = typed, .best = NULL }. */
struct suggest {
	const char *word;
	const char *best;	/* borrowed; NULL: nothing is near enough to be named */
	unsigned distance;
};
void suggest_try(struct suggest *s, const char *candidate);

#endif
