/*
 * Bytes that wait in a connection, mostly none: memory is owned only while there are some. Not for
 * bulk: appending moves what is there.
 */
#ifndef BASE_IO_RUN_H
#define BASE_IO_RUN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes at .. end of p; all zero when there are none. */
struct io_run {
	uint8_t *p;		/* owned */
	uint32_t at, end;
};

size_t io_run_len(const struct io_run *r);
void io_run_clear(struct io_run *r);				/* drops all */
void io_run_drop(struct io_run *r, size_t n);			/* the first n; n <= length */
/* Copies up to cap bytes out and drops them; returns how many. */
size_t io_run_take(struct io_run *r, void *p, size_t cap);
void io_run_append(struct io_run *r, const void *p, size_t n);	/* together under 4 GiB */
void io_run_prepend(struct io_run *r, const void *p, size_t n);

#endif
