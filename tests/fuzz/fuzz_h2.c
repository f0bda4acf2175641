/* links: coord/h2 coord/h2_mem coord/h2_queue */
/* Any bytes as a client's HTTP/2 stream, in pieces: requests are answered whole, in parts, by a
 * reset or not at all; whatever happens, every stream that asked is told of its end. */
#include <string.h>

#include "base/obj.h"
#include "coord/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct h2 *h;
	unsigned n_requests, n_closed;
};

static void
on_request(void *arg, struct h2_stream *s)
{
	static const char text[] = "an answer of some length";
	struct fuzz *f = arg;
	struct shbuf *body = shbuf_new(text, sizeof text);

	ASSERT(s->path != NULL && s->is_requested && !s->is_answered);
	ASSERT(s->body.len <= 3000 && memchr(s->method, 0, sizeof s->method) != NULL);
	switch (f->n_requests++ % 4) {
	case 0:
		h2_answer(f->h, s, &(struct h2_answer){ .status = 200, .retry_after_s = 3, .body = body });
		return;
	case 1:
		h2_push(f->h, s, &(struct h2_part){ .prefix = { 1, 2, 3, 4 }, .n_prefix = 4, .segs = &body,
		    .n = 1 });
		return;
	case 2:
		h2_reset(f->h, s);
		break;
	}
	shbuf_drop(body);
}

static void
on_closed(void *arg, struct h2_stream *s)
{
	struct fuzz *f = arg;

	ASSERT(s->id > 0);
	f->n_closed++;
}

/* More for every stream that goes on, and an end for every other one. */
static void
push_all(struct fuzz *f)
{
	struct h2_stream *s;
	unsigned n = 0;

	TAILQ_FOREACH(s, h2_streams(f->h), link) {
		struct shbuf *seg = shbuf_alloc(3000);

		memset(seg->bytes, 'x', seg->len);
		ASSERT(h2_find(f->h, s->id) == s);
		if (s->is_requested)
			h2_push(f->h, s, &(struct h2_part){ .segs = &seg, .n = 1, .is_last = n++ % 2 });
		else
			shbuf_drop(seg);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static uint8_t space[H2_OUT_MIN_BYTES];
	const struct h2_limits limits = { .streams_max = 10, .body_bytes = 3000,
		.bodies_bytes = 2000 };
	struct h2_env *env = h2_env_new(&limits, &(struct h2_hooks){ on_request, on_closed });
	struct fuzz f = { 0 };
	enum err rc = ERR_OK;

	f.h = h2_new(env, &f);
	/* Inputs that begin with 'P' bring their own preface. */
	if (size == 0 || data[0] != 'P')
		rc = h2_recv(f.h, (const uint8_t *)preface, sizeof preface - 1, 0);
	for (size_t off = 0; rc == ERR_OK && off < size; off += 200) {
		struct h2_out out = { .p = space, .cap = sizeof space };

		rc = h2_recv(f.h, data + off, size - off < 200 ? size - off : 200, (int64_t)off);
		if (rc != ERR_OK)
			break;
		push_all(&f);
		rc = h2_send(f.h, &out);
		ASSERT(out.len <= out.cap);
		if (rc == ERR_AGAIN)
			rc = ERR_OK;
		if (h2_is_done(f.h))
			break;
	}
	h2_free(f.h);
	ASSERT(f.n_closed >= f.n_requests);
	h2_env_free(env);
	return 0;
}
