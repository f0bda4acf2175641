/*
 * A session of coord/h2 and its scripted client, in memory. cmocka is included before.
 */
#ifndef TESTS_UNIT_H2_RIG_H
#define TESTS_UNIT_H2_RIG_H

#include "coord/h2.h"
#include "tests/unit/h2_client.h"

#define BODY_MAX 5000

struct seen {
	unsigned n_requests, n_closed;
	char method[16], path[64];
	size_t n_body;
	uint32_t body_sum;
	int32_t id;
	int answer_status;	/* answered at once, unless 0 */
};

struct pair {
	struct h2c c;
	struct h2 *h;
	struct seen seen;
	int64_t now_ms;
};

static struct h2_env *env;
static struct pair the_pair;

static inline struct shbuf *
text(const char *s)
{
	return shbuf_new(s, strlen(s));
}

static inline void
on_request(void *arg, struct h2_stream *s)
{
	struct pair *p = arg;

	p->seen.n_requests++;
	snprintf(p->seen.method, sizeof p->seen.method, "%s", s->method);
	snprintf(p->seen.path, sizeof p->seen.path, "%.63s", s->path);
	p->seen.n_body = s->body.len;
	p->seen.body_sum = 0;
	for (size_t i = 0; i < s->body.len; i++)
		p->seen.body_sum += s->body.p[i];
	p->seen.id = s->id;
	if (p->seen.answer_status != 0)
		h2_answer(p->h, s, &(struct h2_answer){ .status = p->seen.answer_status,
		    .content_type = "text/plain", .body = text("hello") });
}

static inline void
on_closed(void *arg, struct h2_stream *s)
{
	struct pair *p = arg;

	assert_true(s->id > 0);
	p->seen.n_closed++;
}

static inline int
group_setup(void **state)
{
	(void)state;
	env = h2_env_new(&(struct h2_limits){ .streams_max = 10, .body_bytes = BODY_MAX,
	    .bodies_bytes = 1 },
	    &(struct h2_hooks){ .on_request = on_request, .on_closed = on_closed });
	return 0;
}

static inline int
group_teardown(void **state)
{
	(void)state;
	h2_env_free(env);
	h2_env_free(NULL);
	return 0;
}

static inline struct pair *
pair_new(uint32_t window)
{
	struct pair *p = &the_pair;

	memset(p, 0, sizeof *p);
	h2c_init(&p->c, window);
	p->h = h2_new(env, p);
	p->now_ms = 1000;
	return p;
}

static inline void
pair_free(struct pair *p)
{
	h2_free(p->h);
	h2_free(NULL);
	h2c_fini(&p->c);
}

/* Both ways until nobody has anything to say; the server's pieces are of at most room bytes. */
static inline enum err
run(struct pair *p, size_t room)
{
	static uint8_t space[200000];
	bool is_more = true;

	while (is_more) {
		struct h2_out out = { .p = space, .cap = room };
		enum err rc;

		h2c_flush(&p->c);
		rc = h2_recv(p->h, p->c.out.p, p->c.out.len, p->now_ms);
		is_more = p->c.out.len > 0;
		buf_clear(&p->c.out);
		if (rc != ERR_OK)
			return rc;
		rc = h2_send(p->h, &out);
		if (rc != ERR_OK && rc != ERR_AGAIN)
			return rc;
		if (out.len > 0)
			h2c_recv(&p->c, space, out.len);
		is_more = is_more || out.len > 0;
	}
	return ERR_OK;
}

static inline void
run_ok(struct pair *p)
{
	assert_int_equal(run(p, 100000), ERR_OK);
}

#endif
