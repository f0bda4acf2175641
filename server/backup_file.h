/*
 * The file that `fairlead backup` writes: a tar archive (POSIX.1-1988 "ustar", IEEE Std 1003.1 pax,
 * "ustar Interchange Format"), so that tar can look into it too, with exactly these members:
 *
 *	fairlead-backup/MANIFEST	text, below
 *	fairlead-backup/config.yaml	the configuration that was in force
 *	fairlead-backup/data/NAME	files of the data directory
 *
 *	fairlead backup 1
 *	version TEXT			of the fairlead that made it
 *	made 2026-11-23T20:01:37Z
 *	file SHA256 BYTES NAME		for each of the others, in their order; SHA256 as 64 hex digits
 *	end SHA256			of all lines above this one
 *
 * Reading is strict: every byte of the file is either checked against a sum or must be what the
 * writer would have put there. Does no locking; touches nothing but the FILE. Any thread.
 */
#ifndef SERVER_BACKUP_FILE_H
#define SERVER_BACKUP_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define BACKUP_NAME_BYTES	224	/* "config.yaml" or "data/…", with NUL */
#define BACKUP_FILES_MAX	256
#define BACKUP_SUM_BYTES	32	/* SHA-256 */
#define BACKUP_FILE_MAX_BYTES	((UINT64_C(1) << 33) - 1)	/* what a tar header can say */

#define BACKUP_CONFIG		"config.yaml"
#define BACKUP_DATA		"data/"

struct backup_member {
	char name[BACKUP_NAME_BYTES];
	uint64_t n_bytes;
	uint8_t sum[BACKUP_SUM_BYTES];
};

struct backup_list {
	char version[64], made[32];
	unsigned n;
	struct backup_member members[BACKUP_FILES_MAX];
};

/* A file to be written: bytes in memory, or all of a descriptor (read by offset). */
struct backup_source {
	char name[BACKUP_NAME_BYTES];
	int fd;				/* -1: p */
	const void *p;
	uint64_t n_bytes;
};

struct backup_write {
	const struct backup_source *sources;
	unsigned n_sources;
	const char *version;
	int64_t made_unix_s;
	const atomic_bool *stop;	/* NULL: none; true ends it with ERR_CLOSED */
};

/* Is this a name that a member may have? */
bool backup_name_is_good(const char *name);

/* Writes a backup to f, and flushes it. ERR_IO, ERR_CLOSED, ERR_LIMIT (a file of 8 GiB, too many files, a
 * name that does not fit) with *why. */
enum err backup_file_write(FILE *f, const struct backup_write *w, struct err_text *why) MUST_USE;

/* Where the members go, one after the other; an error ends the reading and is its result. */
struct backup_sink {
	void *arg;
	enum err (*begin)(void *arg, const struct backup_member *m, struct err_text *why);
	enum err (*data)(void *arg, const uint8_t *p, size_t n, struct err_text *why);
	enum err (*end)(void *arg, struct err_text *why);
};

/* Reads a backup from f to its end. Bytes reach the sink before their sum is known: only ERR_OK makes them
 * good. sink may be NULL. *out is filled on success. ERR_INVAL (not a backup), ERR_PROTO (cut off or damaged),
 * ERR_UNSUPPORTED (of a newer fairlead), ERR_IO, or the sink's error, with *why. */
enum err backup_file_read(FILE *f, const struct backup_sink *sink, struct backup_list *out,
	struct err_text *why) MUST_USE;

#endif
