/*
 * An answer without end, such as server-sent events: the connection is suspended while there is nothing to
 * send. A client that leaves is noticed at the next wake. Coordinator thread.
 */
#ifndef WEB_HTTP_STREAM_H
#define WEB_HTTP_STREAM_H

#include "web/http_req.h"

struct http_stream;

struct http_stream_ops {
	const char *type;	/* Content-Type; static */
	/* Writes up to max bytes; 0: nothing now (until http_stream_wake); -1: the end. */
	ssize_t (*read)(void *arg, char *to, size_t max);
	/* The stream has gone: it must not be woken any more. */
	void (*gone)(void *arg);
};

/* Answers q with 200. The stream lives until gone is called. */
struct http_stream *http_stream_start(struct http_req *q, const struct http_stream_ops *ops, void *arg);
/* There is something to read, or nothing for so long that the connection is to be tried. */
void http_stream_wake(struct http_stream *s);

#endif
