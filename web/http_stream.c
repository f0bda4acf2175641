/* Streams on libmicrohttpd's content readers. */
#include "web/http_stream.h"

#include <stdlib.h>

#include "web/http_private.h"

#define BLOCK_BYTES 8192

struct http_stream {
	struct http *http;
	struct MHD_Connection *conn;
	const struct http_stream_ops *ops;
	void *arg;
	bool is_suspended;
	TAILQ_ENTRY(http_stream) link;
};

static ssize_t
on_read(void *cls, uint64_t pos, char *to, size_t max)
{
	struct http_stream *s = cls;
	ssize_t n = s->http->is_stopping ? -1 : s->ops->read(s->arg, to, max);

	(void)pos;
	if (n < 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0) {
		s->is_suspended = true;
		MHD_suspend_connection(s->conn);
	}
	return n;
}

static void
on_free(void *cls)
{
	struct http_stream *s = cls;

	TAILQ_REMOVE(&s->http->streams, s, link);
	s->ops->gone(s->arg);
	free(s);
}

struct http_stream *
http_stream_start(struct http_req *q, const struct http_stream_ops *ops, void *arg)
{
	struct http_stream *s = obj_alloc(sizeof(*s));

	s->http = q->_http;
	s->conn = q->_conn;
	s->ops = ops;
	s->arg = arg;
	TAILQ_INSERT_TAIL(&s->http->streams, s, link);
	http_answer_take(q, 200, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
	    on_read, s,
	    on_free), ops->type);
	return s;
}

void
http_stream_wake(struct http_stream *s)
{
	if (!s->is_suspended)
		return;
	s->is_suspended = false;
	MHD_resume_connection(s->conn);
	http_kick(s->http);
}

void
http_stream_stop_all(struct http *h)
{
	struct http_stream *s;

	h->is_stopping = true;
	TAILQ_FOREACH(s, &h->streams, link) {
		if (s->is_suspended) {
			s->is_suspended = false;
			MHD_resume_connection(s->conn);
		}
	}
}
