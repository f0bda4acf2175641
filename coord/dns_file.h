/*
 * The file of further names (dns.extra_records_path): [{"name", "type", "value"}]. It is looked at every two
 * seconds, which also sees links that are turned to another file. One that cannot be read or used leaves the
 * last good records in force. Coordinator thread.
 */
#ifndef COORD_DNS_FILE_H
#define COORD_DNS_FILE_H

#include <sys/stat.h>

#include "coord/dns.h"

#define DNS_FILE_BYTES_MAX	(1u << 20)
#define DNS_FILE_LOOK_MS	2000

struct dns_file {
	const char *path;		/* borrowed */
	struct dns_params good;		/* its records; the rest is zero */
	char problem[320];		/* "": none */
	struct stat seen;		/* when it was last read; zero: never, or it was not there */
};

/* Reads it if it is different from what was seen. true: the records or the problem changed. */
bool dns_file_look(struct dns_file *f);
void dns_file_fini(struct dns_file *f);

#endif
