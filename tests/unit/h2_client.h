/* A scripted HTTP/2 client over nghttp2 for the tests: requests as calls, answers as buffers. */
#ifndef TESTS_UNIT_H2_CLIENT_H
#define TESTS_UNIT_H2_CLIENT_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define H2C_STREAMS 512		/* ids up to twice that */

struct h2c_stream {
	int status;
	char content_type[64], retry_after[16];
	struct buf body;
	bool is_closed;
	uint32_t code;			/* of RST_STREAM, or 0 */
	/* of the request */
	const uint8_t *send;
	size_t n_send, off;
	bool is_open_ended;		/* the request's body never ends */
};

struct h2c {
	nghttp2_session *session;
	struct h2c_stream streams[H2C_STREAMS];
	struct buf out;			/* to the server */
	bool has_settings, has_goaway;
	uint32_t goaway_code;
	unsigned n_pings;
};

static inline struct h2c_stream *
h2c_at(struct h2c *c, int32_t id)
{
	ASSERT(id > 0 && id / 2 < H2C_STREAMS);
	return &c->streams[id / 2];
}

static ssize_t
h2c_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *arg)
{
	struct h2c *c = arg;

	(void)session;
	(void)flags;
	buf_append(&c->out, p, n);
	return (ssize_t)n;
}

static int
h2c_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
	const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
	struct h2c_stream *s = h2c_at(arg, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (n_name == 7 && memcmp(name, ":status", 7) == 0)
		s->status = atoi((const char *)value);
	else if (n_name == 12 && memcmp(name, "content-type", 12) == 0)
		snprintf(s->content_type, sizeof s->content_type, "%.*s", (int)n_value, (const char *)value);
	else if (n_name == 11 && memcmp(name, "retry-after", 11) == 0)
		snprintf(s->retry_after, sizeof s->retry_after, "%.*s", (int)n_value, (const char *)value);
	return 0;
}

static int
h2c_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	(void)session;
	(void)flags;
	buf_append(&h2c_at(arg, id)->body, p, n);
	return 0;
}

static int
h2c_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2c *c = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_SETTINGS)
		c->has_settings = true;
	if (frame->hd.type == NGHTTP2_PING)
		c->n_pings++;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->has_goaway = true;
		c->goaway_code = frame->goaway.error_code;
	}
	return 0;
}

static int
h2c_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2c_stream *s = h2c_at(arg, id);

	(void)session;
	s->is_closed = true;
	s->code = code;
	return 0;
}

/* window > 0: every stream takes so many bytes, and nothing is ever given back. */
static inline void
h2c_init(struct h2c *c, uint32_t window)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window > 0 ? window : 4194304 },
	};
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;

	memset(c, 0, sizeof *c);
	ASSERT(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
	nghttp2_session_callbacks_set_send_callback(cb, h2c_send);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2c_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2c_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2c_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2c_on_close);
	nghttp2_option_set_no_auto_window_update(option, window > 0);
	nghttp2_option_set_peer_max_concurrent_streams(option, H2C_STREAMS);
	ASSERT(nghttp2_session_client_new2(&c->session, cb, c, option) == 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	ASSERT(nghttp2_submit_settings(c->session, 0, settings, COUNT_OF(settings)) == 0);
	if (window == 0)
		ASSERT(nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 30) == 0);
}

static inline void
h2c_fini(struct h2c *c)
{
	for (unsigned i = 0; i < H2C_STREAMS; i++)
		buf_fini(&c->streams[i].body);
	buf_fini(&c->out);
	nghttp2_session_del(c->session);
}

static ssize_t
h2c_read(nghttp2_session *session, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2c_stream *s = h2c_at(arg, id);
	size_t left = s->n_send - s->off;

	(void)session;
	(void)source;
	if (left == 0 && s->is_open_ended)
		return NGHTTP2_ERR_DEFERRED;
	if (left < n)
		n = left;
	if (n > 0)
		memcpy(p, s->send + s->off, n);
	s->off += n;
	if (s->off == s->n_send && !s->is_open_ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static inline nghttp2_nv
h2c_field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, .namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value, .valuelen = strlen(value) };
}

/* body is borrowed until it is sent; NULL: none, n ignored. Returns the stream's id. */
static inline int32_t
h2c_request(struct h2c *c, const char *method, const char *path, const char *body)
{
	const nghttp2_nv nv[] = {
		h2c_field(":method", method), h2c_field(":scheme", "https"),
		h2c_field(":authority", "control"), h2c_field(":path", path),
		h2c_field("accept-encoding", "gzip"), h2c_field("ts-lb", "nodekey:x"),
	};
	nghttp2_data_provider provider = { .read_callback = h2c_read };
	int32_t id = (int32_t)nghttp2_session_get_next_stream_id(c->session);
	struct h2c_stream *s = h2c_at(c, id);

	s->send = (const uint8_t *)body;
	s->n_send = body != NULL ? strlen(body) : 0;
	ASSERT(nghttp2_submit_request(c->session, NULL, nv, COUNT_OF(nv),
	    body != NULL ? &provider : NULL, NULL) == id);
	return id;
}

/* Everything that the client has to say is behind c->out. */
static inline void
h2c_flush(struct h2c *c)
{
	ASSERT(nghttp2_session_send(c->session) == 0);
}

static inline void
h2c_recv(struct h2c *c, const uint8_t *p, size_t n)
{
	ASSERT(nghttp2_session_mem_recv(c->session, p, n) == (ssize_t)n);
}

#endif
