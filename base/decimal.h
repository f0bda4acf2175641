/* Whole numbers as people and requests write them. Pure. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stdint.h>

#define DECIMAL_MAX	999999999999999999

/* 1 to 18 decimal digits and nothing else, "0042" too; -1: the text is no such number. */
int64_t decimal_parse(const char *text);

#endif
