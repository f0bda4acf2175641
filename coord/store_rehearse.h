/*
 * Would this program open that database? Asked while another process writes it, by a program that is to take
 * its place: a migration is tried on a copy, so that one that fails harms nobody.
 */
#ifndef COORD_STORE_REHEARSE_H
#define COORD_STORE_REHEARSE_H

#include "base/err.h"

/* Names of files beside the database begin so while a rehearsal runs. */
#define STORE_REHEARSE_SUFFIX ".rehearsal"

/* The database at path is read, and copied only if it has to be migrated; nothing stays behind. ERR_UNSUPPORTED
 * (of a newer program), ERR_INVAL (not ours), ERR_IO, ERR_FULL with *why. Any one thread. */
enum err store_rehearse(const char *path, struct err_text *why) MUST_USE;

#endif
