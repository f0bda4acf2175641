/* Random bytes from the kernel's CSPRNG; injectable in tests. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Fills p. Aborts if the kernel has none. Any thread. */
void rand_bytes(void *p, size_t n);
/* Uniform in [0, bound); bound > 0. */
uint64_t rand_below(uint64_t bound);
/* n_chars characters of [A-Za-z0-9] plus NUL into out. */
void rand_text(char *out, size_t n_chars);

/* Tests only: the given function makes the bytes; NULL restores the kernel. */
void rand_test_source(void (*fill)(void *p, size_t n));

#endif
