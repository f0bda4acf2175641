/*
 * DNS settings as they are written: in the configuration, in a file of records, and as the object that
 * is kept in the database when they are changed while the server runs:
 *
 *  {"magicDNS": b, "overrideLocalDNS": b, "nameservers": [{"address": s, "useWithExitNode": b}],
 *   "splitDNS": {domain: [{"address", "useWithExitNode"}]}, "searchPaths": [s], "noDNSTags": [s],
 *   "records": [{"id": s, "name": s, "type": s, "value": s, "comment": s}]}
 *
 * A member that is absent stays as configured; records are added to those of configuration and file.
 * Pure.
 */
#ifndef COORD_DNS_SPEC_H
#define COORD_DNS_SPEC_H

#include <jansson.h>

#include "base/config.h"
#include "coord/dns.h"

#define DNS_SPEC_NAME_MAX	256
#define DNS_SPEC_RESOLVERS_MAX	16	/* of one domain, or in general */
#define DNS_SPEC_SPLIT_MAX	256
#define DNS_SPEC_SEARCH_MAX	32	/* systems use six or fewer */
#define DNS_SPEC_TAGS_MAX	64
#define DNS_SPEC_RECORDS_MAX	4096
#define DNS_SPEC_RECORDS_WARN	1000	/* every client holds all of them */

/* "corp.example=10.0.0.53": the domain in lower case, and the resolver, a part of text; NULL: that is none. */
const char *dns_spec_split_parse(const char *text, char domain[DNS_SPEC_NAME_MAX]);
/* "NAME TYPE VALUE" into *out, whose members the caller owns. ERR_INVAL with *why. */
enum err dns_spec_record_parse(const char *text, struct dns_record *out, struct err_text *why) MUST_USE;

/* Appends the records of a file: [{"name", "type", "value"}]. ERR_INVAL with *why, and nothing is appended. */
enum err dns_spec_file_parse(const void *text, size_t n, struct dns_params *out, struct err_text *why)
	MUST_USE;

/* What the configuration says, into *out (zeroed by the caller), with records of all types. */
void dns_spec_config(const struct config *cfg, struct dns_params *out);

/* Is the object as above, every member within its limits? ERR_INVAL with *why. */
enum err dns_spec_check(const json_t *spec, struct err_text *why) MUST_USE;
/* Puts a checked object over *out. */
void dns_spec_apply(const json_t *spec, struct dns_params *out);

#endif
