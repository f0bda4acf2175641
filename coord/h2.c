/*
 * HTTP/2 server sessions over nghttp2 (RFC 9113).
 *
 * Answers are sent without a copy inside nghttp2: it decides how many bytes a DATA frame takes
 * (read_part) and then asks for head and payload to be put into the caller's buffer (send_data),
 * straight from the shared segments.
 *
 * Floods: nghttp2 bounds SETTINGS, CONTINUATION, unsent acknowledgements and, with the rate set
 * here, RST_STREAM ("rapid reset", CVE-2023-44487); streams opened are rationed here.
 */
#include "coord/h2.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "coord/h2_mem.h"

#define H2_MAGIC		0x42f0a5e5u
#define STREAM_MAGIC		0x42f0a5e6u
#define HEAD_BYTES_MAX		(16u << 10)	/* of one request, 32 more counted per field */
#define PATH_BYTES_MAX		1023
#define ACKS_MAX		100	/* unsent SETTINGS and PING acknowledgements */
#define RESETS_BURST		100	/* and so many per second: clients reset some per hour */
#define RESETS_PER_S		5
#define REQUESTS_BURST		300	/* a join takes 8 */
#define REQUESTS_PER_S		20
#define BODIES_OWN_BYTES	(64u << 10)	/* of each session: a client's requests have 20 KiB */
#define BUSY_RETRY_S		5
#define DATA_HEAD_BYTES		9
static_assert(H2_OUT_MIN_BYTES >= DATA_HEAD_BYTES + 16384, "nghttp2's largest DATA frame fits");

struct h2_env {
	struct h2_limits limits;
	struct h2_hooks hooks;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	atomic_size_t *bodies_bytes;	/* owned: of all sessions, beyond the BODIES_OWN_BYTES of each */
};

struct h2 {
	uint32_t magic;
	bool is_full;			/* h2_send's buffer, in this call */
	bool is_flooded, is_met;
	const struct h2_env *env;
	void *arg;
	nghttp2_session *session;
	struct h2_streams streams;
	struct h2_out *out;		/* borrowed, in h2_send only */
	size_t bodies_bytes;		/* of all requests that are being read */
	int64_t now_ms, refilled_ms;
	unsigned requests_left;
	struct h2_mem mem;		/* session's */
};

static_assert(sizeof(struct h2) <= 128 && sizeof(struct h2_stream) <= 192,
    "of the budget of a stream, docs/scaling.md; nghttp2's session comes on top");

/* --- streams ---------------------------------------------------------------------------------- */

static struct h2_stream *
find(nghttp2_session *session, int32_t id)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	ASSERT(s == NULL || s->magic == STREAM_MAGIC);
	return s;
}

/* The session holds n bytes of bodies from here on. false: together with the others that is too
 * much, and it is as before. */
static bool
bodies_hold(struct h2 *h, size_t n)
{
	size_t own = h->bodies_bytes, all;
	size_t before = own > BODIES_OWN_BYTES ? own - BODIES_OWN_BYTES : 0;
	size_t now = n > BODIES_OWN_BYTES ? n - BODIES_OWN_BYTES : 0;

	if (now < before) {
		atomic_fetch_sub_explicit(h->env->bodies_bytes, before - now, memory_order_relaxed);
	} else if (now > before) {
		all = atomic_fetch_add_explicit(h->env->bodies_bytes, now - before,
		    memory_order_relaxed);
		if (all + now - before > h->env->limits.bodies_bytes) {
			atomic_fetch_sub_explicit(h->env->bodies_bytes, now - before,
			    memory_order_relaxed);
			return false;
		}
	}
	h->bodies_bytes = n;
	return true;
}

static void
request_drop(struct h2 *h, struct h2_stream *s)
{
	ASSERT(bodies_hold(h, h->bodies_bytes - s->body.len));
	if (s->body.len > 0)
		explicit_bzero(s->body.p, s->body.len);	/* may hold an auth key */
	buf_fini(&s->body);
	free(s->path);
	s->path = NULL;
}

static void
stream_free(struct h2 *h, struct h2_stream *s)
{
	h->env->hooks.on_closed(h->arg, s);
	TAILQ_REMOVE(&h->streams, s, link);
	request_drop(h, s);
	h2_queue_drop(&s->_out);
	s->magic = 0;
	free(s);
}

/* --- requests --------------------------------------------------------------------------------- */

/* A token bucket: may another stream be opened? */
static bool
request_take(struct h2 *h)
{
	int64_t tokens = (h->now_ms - h->refilled_ms) * REQUESTS_PER_S / 1000;

	if (tokens > 0) {
		h->refilled_ms = h->now_ms;
		h->requests_left = tokens > REQUESTS_BURST - (int64_t)h->requests_left ?
		    REQUESTS_BURST : h->requests_left + (unsigned)tokens;
	}
	if (h->requests_left == 0)
		return false;
	h->requests_left--;
	return true;
}

/* Counted by frames: nghttp2 refuses streams beyond the limit without telling of them. */
static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;

	(void)session;
	if (hd->type != NGHTTP2_HEADERS || request_take(h))
		return 0;
	h->is_flooded = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = obj_alloc(sizeof *s);
	s->magic = STREAM_MAGIC;
	s->id = frame->hd.stream_id;
	s->born_ms = h->now_ms;
	TAILQ_INSERT_TAIL(&h->streams, s, link);
	ASSERT(nghttp2_session_set_stream_user_data(session, s->id, s) == 0);
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
	const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
	struct h2_stream *s = find(session, frame->hd.stream_id);
	struct h2 *h = arg;

	(void)flags;
	if (s == NULL)
		return 0;
	s->_head_bytes += (uint32_t)(n_name + n_value + 32);
	if (s->_head_bytes > HEAD_BYTES_MAX) {
		h->is_flooded = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (n_name == 7 && memcmp(name, ":method", 7) == 0) {
		if (n_value < sizeof s->method)
			memcpy(s->method, value, n_value);
	} else if (n_name == 5 && memcmp(name, ":path", 5) == 0 && s->path == NULL) {
		if (n_value > PATH_BYTES_MAX)
			s->_refusal = 414;
		s->path = obj_alloc(n_value + 1);
		memcpy(s->path, value, n_value);
	}
	return 0;
}

/* Answers at once; what still comes of the request is thrown away. */
static void
refuse(struct h2 *h, struct h2_stream *s, int status)
{
	const char *text = status == 413 ? "the request is too long\n" :
	    status == 414 ? "the path is too long\n" : "the server is busy\n";

	s->_refusal = status;
	request_drop(h, s);
	h2_answer(h, s, &(struct h2_answer){ .status = status, .content_type = "text/plain",
	    .retry_after_s = status == 503 ? BUSY_RETRY_S : 0,
	    .body = shbuf_new(text, strlen(text)) });
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_stream *s = find(session, id);
	struct h2 *h = arg;
	size_t max = h->env->limits.body_bytes;

	(void)flags;
	if (s == NULL || s->_refusal != 0 || s->is_requested)
		return 0;
	if (n > max - s->body.len || n > 2 * max - h->bodies_bytes) {
		refuse(h, s, 413);
		return 0;
	}
	if (!bodies_hold(h, h->bodies_bytes + n)) {
		refuse(h, s, 503);
		return 0;
	}
	buf_append(&s->body, p, n);
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *s;
	struct h2 *h = arg;

	if (frame->hd.type == NGHTTP2_SETTINGS)
		h->is_met = true;
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
	    (s = find(session, frame->hd.stream_id)) == NULL || s->is_requested)
		return 0;
	s->is_requested = true;
	if (s->_refusal != 0) {
		if (!s->is_answered)
			refuse(h, s, s->_refusal);
		return 0;
	}
	if (s->path == NULL)
		s->path = obj_strdup("");
	h->env->hooks.on_request(h->arg, s);
	request_drop(h, s);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_stream *s = find(session, id);

	(void)code;
	if (s != NULL)
		stream_free(arg, s);
	return 0;
}

/* The answer went out before the request was read: tell the client to stop (RFC 9113 8.1). */
static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *s;

	(void)arg;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
	    (s = find(session, frame->hd.stream_id)) != NULL && !s->is_requested)
		return nghttp2_submit_rst_stream(session, 0, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Says how much of the queue goes into the next frame; send_data takes it. */
static ssize_t
read_part(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *data_flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	size_t have;

	(void)session;
	(void)id;
	(void)buf;
	(void)arg;
	ASSERT(s->magic == STREAM_MAGIC);
	have = h2_queue_bytes(&s->_out, n);
	if (have == 0 && !s->_is_last) {
		s->_is_waiting = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (have <= n && s->_is_last)
		*data_flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)(have < n ? have : n);
}

static int
send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
	nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	struct h2 *h = arg;
	struct h2_out *out = h->out;

	(void)session;
	(void)frame;
	ASSERT(s->magic == STREAM_MAGIC && out != NULL);
	if (out->cap - out->len < DATA_HEAD_BYTES + n) {
		h->is_full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	memcpy(out->p + out->len, head, DATA_HEAD_BYTES);
	out->len += DATA_HEAD_BYTES;
	s->sent_bytes += n;
	h2_queue_take(&s->_out, out->p + out->len, n);
	out->len += n;
	return 0;
}

static ssize_t
send_frame(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *arg)
{
	struct h2 *h = arg;
	struct h2_out *out = h->out;
	size_t room = out->cap - out->len;

	(void)session;
	(void)flags;
	if (room == 0) {
		h->is_full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	if (room < n)
		n = room;
	memcpy(out->p + out->len, p, n);
	out->len += n;
	return (ssize_t)n;
}

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, .namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value, .valuelen = strlen(value),
		.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME };
}

static void
submit(struct h2 *h, struct h2_stream *s, const struct h2_answer *a, bool has_body)
{
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = read_part };
	char status[12], length[24], retry[12];
	nghttp2_nv nv[4];
	size_t n = 0;
	int rc;

	snprintf(status, sizeof status, "%d", a->status);
	nv[n++] = field(":status", status);
	if (a->content_type != NULL)
		nv[n++] = field("content-type", a->content_type);
	if (a->body != NULL || !has_body) {
		snprintf(length, sizeof length, "%zu", a->body != NULL ? a->body->len : 0);
		nv[n++] = field("content-length", length);
	}
	if (a->retry_after_s > 0) {
		snprintf(retry, sizeof retry, "%d", a->retry_after_s);
		nv[n++] = field("retry-after", retry);
	}
	rc = nghttp2_submit_response(h->session, s->id, nv, n, has_body ? &provider : NULL);
	ASSERT(rc == 0);	/* only memory and our own misuse can fail here */
	s->is_answered = true;
}

void
h2_answer(struct h2 *h, struct h2_stream *s, const struct h2_answer *a)
{
	OBJ_CHECK(h, H2_MAGIC);
	OBJ_CHECK(s, STREAM_MAGIC);
	if (s->is_answered) {
		shbuf_drop(a->body);
		return;
	}
	s->_is_last = true;
	if (a->body != NULL)
		h2_queue_add(&s->_out, NULL, 0, a->body);
	submit(h, s, a, a->body != NULL);
}

void
h2_push(struct h2 *h, struct h2_stream *s, const struct h2_part *part)
{
	OBJ_CHECK(h, H2_MAGIC);
	OBJ_CHECK(s, STREAM_MAGIC);
	ASSERT(part->n_prefix <= sizeof part->prefix);
	if (s->_is_last) {
		for (unsigned i = 0; i < part->n; i++)
			shbuf_drop(part->segs[i]);
		return;
	}
	if (part->n_prefix > 0)
		h2_queue_add(&s->_out, part->prefix, part->n_prefix,
		    part->n > 0 ? part->segs[0] : NULL);
	for (unsigned i = part->n_prefix > 0 ? 1 : 0; i < part->n; i++)
		h2_queue_add(&s->_out, NULL, 0, part->segs[i]);
	s->_is_last = part->is_last;
	if (!s->is_answered)
		submit(h, s, &(struct h2_answer){ .status = 200 }, true);
	else if (s->_is_waiting)
		ASSERT(nghttp2_session_resume_data(h->session, s->id) == 0);
	s->_is_waiting = false;
}

bool
h2_is_drained(const struct h2_stream *s)
{
	return h2_queue_is_empty(&s->_out);
}

void
h2_reset(struct h2 *h, struct h2_stream *s)
{
	OBJ_CHECK(h, H2_MAGIC);
	ASSERT(nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
	    NGHTTP2_CANCEL) == 0);
}

/* --- sessions --------------------------------------------------------------------------------- */

struct h2_env *
h2_env_new(const struct h2_limits *limits, const struct h2_hooks *hooks)
{
	struct h2_env *env = obj_alloc(sizeof *env);
	nghttp2_session_callbacks *cb;

	env->limits = *limits;
	env->hooks = *hooks;
	env->bodies_bytes = obj_alloc(sizeof *env->bodies_bytes);
	ASSERT(nghttp2_session_callbacks_new(&env->callbacks) == 0);
	ASSERT(nghttp2_option_new(&env->option) == 0);
	cb = env->callbacks;
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_send_callback(cb, send_frame);
	nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
	nghttp2_option_set_no_closed_streams(env->option, 1);
	nghttp2_option_set_max_outbound_ack(env->option, ACKS_MAX);
	nghttp2_option_set_max_deflate_dynamic_table_size(env->option, 0);
	nghttp2_option_set_stream_reset_rate_limit(env->option, RESETS_BURST, RESETS_PER_S);
	return env;
}

void
h2_env_free(struct h2_env *env)
{
	if (env == NULL)
		return;
	nghttp2_option_del(env->option);
	nghttp2_session_callbacks_del(env->callbacks);
	free(env->bodies_bytes);
	free(env);
}

struct h2 *
h2_new(const struct h2_env *env, void *arg)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, env->limits.streams_max },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_BYTES_MAX },
	};
	struct h2 *h = obj_alloc(sizeof *h);
	nghttp2_mem mem = h2_mem_of(&h->mem);

	h->magic = H2_MAGIC;
	h->env = env;
	h->arg = arg;
	h->requests_left = REQUESTS_BURST;
	TAILQ_INIT(&h->streams);
	ASSERT(nghttp2_session_server_new3(&h->session, env->callbacks, h, env->option, &mem) == 0);
	ASSERT(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
	    COUNT_OF(settings)) == 0);
	return h;
}

void
h2_free(struct h2 *h)
{
	struct h2_stream *s;

	if (h == NULL)
		return;
	OBJ_CHECK(h, H2_MAGIC);
	while ((s = TAILQ_FIRST(&h->streams)) != NULL)
		stream_free(h, s);
	nghttp2_session_del(h->session);
	h->magic = 0;
	free(h);
}

enum err
h2_recv(struct h2 *h, const uint8_t *p, size_t n, int64_t now_ms)
{
	ssize_t rc;

	OBJ_CHECK(h, H2_MAGIC);
	if (h->now_ms == 0)
		h->refilled_ms = now_ms;
	h->now_ms = now_ms;
	rc = nghttp2_session_mem_recv(h->session, p, n);
	if (h->is_flooded || rc == NGHTTP2_ERR_FLOODED)
		return ERR_LIMIT;
	return rc == (ssize_t)n ? ERR_OK : ERR_PROTO;
}

enum err
h2_send(struct h2 *h, struct h2_out *out)
{
	int rc;

	OBJ_CHECK(h, H2_MAGIC);
	h->out = out;
	h->is_full = false;
	rc = nghttp2_session_send(h->session);
	h->out = NULL;
	if (rc != 0)
		return ERR_PROTO;
	return h->is_full ? ERR_AGAIN : ERR_OK;
}

bool
h2_wants_send(const struct h2 *h)
{
	return nghttp2_session_want_write(h->session) != 0;
}

bool
h2_is_met(const struct h2 *h)
{
	return h->is_met;
}

bool
h2_is_done(const struct h2 *h)
{
	return nghttp2_session_want_read(h->session) == 0 &&
	    nghttp2_session_want_write(h->session) == 0;
}

void
h2_finish(struct h2 *h)
{
	OBJ_CHECK(h, H2_MAGIC);
	ASSERT(nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0) == 0);
}

struct h2_streams *
h2_streams(struct h2 *h)
{
	return &h->streams;
}

struct h2_stream *
h2_find(struct h2 *h, int32_t id)
{
	OBJ_CHECK(h, H2_MAGIC);
	return find(h->session, id);
}
