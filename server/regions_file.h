/*
 * Files of derp.paths: further regions of the DERP map, in the form that Headscale and Tailscale have:
 * YAML or JSON, names of members in any case.
 *
 *   regions:
 *     11:
 *       regionid: 11
 *       regioncode: near
 *       regionname: Near
 *       nodes:
 *         - name: 11a
 *           hostname: derp.example.org
 *           ipv4: 192.0.2.1          also ipv6, derpport, stunport, certname, canport80
 */
#ifndef SERVER_REGIONS_FILE_H
#define SERVER_REGIONS_FILE_H

#include "base/config.h"
#include "coord/region.h"

/* The regions of all files, an array and its n records from obj_alloc, the caller's. ERR_IO (cannot be
 * read) or ERR_INVAL with *why, which names the file. Any thread. */
enum err regions_file_load(const struct config_list *paths, struct region ***out, unsigned *n,
	struct err_text *why) MUST_USE;

/* Of a text in memory, appended to *out; name is for *why. Pure. */
enum err regions_file_parse(const char *name, const void *text, size_t n_text, struct region ***out,
	unsigned *n, struct err_text *why) MUST_USE;

#endif
