/*
 * Memory of nghttp2's sessions. Each has a buffer of 16 KiB for frames, of which a long-poll touches a page.
 * Out of the heap it would be made of what TLS handshakes have touched before; so it has pages of its own.
 * The rest is malloc's.
 */
#ifndef COORD_H2_MEM_H
#define COORD_H2_MEM_H

#include <nghttp2/nghttp2.h>

#define H2_MEM_PAGES_BYTES	(16u << 10)	/* what is as long has pages of its own, if nothing else has */

/* Of one session. All zero at first; lies still as long as the session lives. */
struct h2_mem {
	void *pages;		/* owned; NULL: none */
	size_t pages_bytes;
};

/* The functions for nghttp2_session_server_new3; m is borrowed by the session. */
nghttp2_mem h2_mem_of(struct h2_mem *m);

#endif
