/* The ring of events, and the streams that read it. */
#include "web/events.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/rand.h"
#include "web/api_dns.h"
#include "web/flapi.h"
#include "web/flapi_clusters.h"
#include "web/flapi_quotas.h"
#include "web/flapi_regions.h"
#include "web/http_stream.h"

#define EVENTS_MAGIC 0x4773e501u

struct stream {
	struct events *e;
	struct http_stream *http;	/* owned by http */
	struct auth who;
	uint64_t next;			/* event that it wants */
	struct shbuf *text;		/* being sent, or NULL */
	size_t sent;
	bool is_alive_due, is_ended;
	TAILQ_ENTRY(stream) link;
};

/* A node with soft changes that are not told yet. */
struct dirty {
	int64_t id;
	const char *what;		/* static */
};

struct events {
	uint32_t magic;
	struct http *http;
	struct tailnet *t;		/* NULL: none is watched */
	uint32_t epoch;			/* of this run of the server */
	uint64_t seq;			/* of the last event */
	struct shbuf *ring[EVENTS_RING_MAX];	/* event s at s % EVENTS_RING_MAX */
	unsigned n_kept;
	size_t kept_bytes;
	TAILQ_HEAD(, stream) streams;
	unsigned n_streams;
	int64_t last_stream_mono_ms;	/* when one was there last */
	struct map dirty;
	struct event *ev_soft, *ev_wake, *ev_alive;
};

static void
ring_drop_first(struct events *e)
{
	struct shbuf **at = &e->ring[(e->seq - e->n_kept + 1) % EVENTS_RING_MAX];

	e->kept_bytes -= (*at)->len;
	e->n_kept--;
	shbuf_drop(*at);
	*at = NULL;
}

/* Nobody reads, and nobody has for a while: only the number moves on. */
static bool
is_quiet(struct events *e)
{
	if (e->n_streams > 0 || clock_mono_ms() - e->last_stream_mono_ms < EVENTS_QUIET_S * 1000)
		return false;
	while (e->n_kept > 0)
		ring_drop_first(e);
	e->seq++;
	return true;
}

/* Texts of JSON and names without line ends. */
static struct shbuf *
event_text(const struct events *e, uint64_t seq, const char *name, const struct buf *data)
{
	struct buf b = { .len = 0 };
	struct shbuf *text;

	buf_printf(&b, "id: %08" PRIx32 "-%" PRIu64 "\nevent: %s\ndata: ", e->epoch, seq, name);
	buf_append(&b, data->p, data->len);
	buf_str(&b, "\n\n");
	text = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return text;
}

static void
emit(struct events *e, const char *name, const struct buf *data)
{
	struct shbuf *text = event_text(e, e->seq + 1, name, data);

	if (e->n_kept == EVENTS_RING_MAX)
		ring_drop_first(e);
	e->seq++;
	e->n_kept++;
	e->kept_bytes += text->len;
	e->ring[e->seq % EVENTS_RING_MAX] = text;
	while (e->kept_bytes > EVENTS_RING_BYTES && e->n_kept > 1)
		ring_drop_first(e);
	event_active(e->ev_wake, EV_TIMEOUT, 0);
}

/* --- what happened -------------------------------------------------------------------------------- */

static void
settings_put(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	(void)id;
	flapi_put_settings(t, name, w);
}

static void
dns_event_put(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	(void)id;
	flapi_put_dns(t, name, w);
}

static const struct {
	const char *noun;
	void (*put)(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
} nouns[] = {
	{ "node", NULL }, { "user", NULL }, { "key", flapi_put_key }, { "credential", flapi_put_cred },
	{ "login", flapi_put_login }, { "ssh", flapi_put_ssh }, { "settings", settings_put },
	{ "dns", dns_event_put }, { "cluster", flapi_put_cluster },
	{ "region", flapi_put_region },
	{ "relay", flapi_put_relay },
	{ "quota", flapi_put_quota },
};

static void
object_put(struct events *e, unsigned noun, const char *id, struct json_writer *w)
{
	if (nouns[noun].put != NULL)
		nouns[noun].put(e->t, id, nouns[noun].noun, w);
	else if (noun == 0)
		flapi_put_node(e->t, strtoll(id, NULL, 10), "node", w);
	else
		flapi_put_user(e->t, strtoll(id, NULL, 10), "user", w);
}

static void
tell(struct events *e, unsigned noun, const char *what, const char *id, const char *by)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (is_quiet(e))
		return;
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "what", what);
	json_w_str(&w, "id", id);
	json_w_str(&w, "by", by);
	json_w_time(&w, "at", clock_wall_s());
	if (strcmp(what, "login.end") == 0)	/* told while it is still found */
		json_w_null(&w, nouns[noun].noun);
	else
		object_put(e, noun, id, &w);
	json_w_obj_close(&w);
	emit(e, nouns[noun].noun, &b);
	buf_fini(&b);
}

/* Told with the next batch. */
static void
note_soft(struct events *e, int64_t id, const char *what)
{
	static const char *const words[] = { "node.update", "node.online", "node.offline" };
	struct timeval soon = { .tv_usec = EVENTS_SOFT_MS * 1000 };
	struct dirty *d = map_find(&e->dirty, &id);

	if (d == NULL) {
		d = obj_alloc(sizeof(*d));
		d->id = id;
		d->what = words[0];
		map_put(&e->dirty, d);
	}
	for (size_t i = 1; i < COUNT_OF(words); i++)
		if (strcmp(what, words[i]) == 0)
			d->what = words[i];
	if (!event_pending(e->ev_soft, EV_TIMEOUT, NULL))
		ASSERT(event_add(e->ev_soft, &soon) == 0);
}

static void
on_soft(evutil_socket_t fd, short what, void *arg)
{
	struct events *e = arg;
	struct dirty *d;
	char id[24];

	(void)fd;
	(void)what;
	OBJ_CHECK(e, EVENTS_MAGIC);
	for (size_t at = 0; (d = map_next(&e->dirty, &at)) != NULL;) {
		map_remove(&e->dirty, &d->id);
		snprintf(id, sizeof(id), "%" PRId64, d->id);
		if (map_find(&e->t->nodes, &d->id) != NULL)
			tell(e, 0, d->what, id, "");
		free(d);
	}
}

/* tailnet_watch_fn */
static void
on_change(void *arg, const struct tailnet_event *ev)
{
	struct events *e = arg;
	unsigned noun = 0;

	OBJ_CHECK(e, EVENTS_MAGIC);
	if (strncmp(ev->what, "session.", 8) == 0)
		return;
	size_t n = strcspn(ev->target, " ");
	/* "settings" and "dns" have none */
	const char *id_text = ev->target[n] == ' ' ? ev->target + n + 1 : "";
	while (noun < COUNT_OF(nouns) && (strlen(nouns[noun].noun) != n ||
	    memcmp(nouns[noun].noun, ev->target, n) != 0))
		noun++;
	if (noun == COUNT_OF(nouns))
		return;
	int64_t id = strtoll(id_text, NULL, 10);
	if (noun == 0 && ev->by[0] == 0) {
		note_soft(e, id, ev->what);
		return;
	}
	if (noun == 0)
		free(map_remove(&e->dirty, &id));	/* what is told now has it all */
	tell(e, noun, ev->what, id_text, ev->by);
}

/* --- streams -------------------------------------------------------------------------------------- */

static struct shbuf *
notice_text(const struct events *e, const char *name, const char *member, const char *value)
{
	struct buf b = { .len = 0 };
	struct json_writer w;
	struct shbuf *text;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, member, value);
	json_w_time(&w, "now", clock_wall_s());
	json_w_obj_close(&w);
	text = event_text(e, e->seq, name, &b);
	buf_fini(&b);
	return text;
}

/* The next bytes to send into s->text; NULL: nothing now. */
static void
text_next(struct stream *s)
{
	static const char comment[] = ": keep-alive\n\n";
	struct events *e = s->e;

	shbuf_drop(s->text);
	s->text = NULL;
	s->sent = 0;
	if (s->next + e->n_kept <= e->seq) {
		s->next = e->seq + 1;
		s->text = notice_text(e, "reset", "reason", "gap");
	} else if (s->next <= e->seq) {
		s->text = shbuf_hold(e->ring[s->next++ % EVENTS_RING_MAX]);
	} else if (s->is_alive_due) {
		s->text = shbuf_new(comment, sizeof(comment) - 1);
	}
	s->is_alive_due = false;
}

static ssize_t
stream_read(void *arg, char *to, size_t max)
{
	struct stream *s = arg;

	if (s->is_ended)
		return -1;
	if (s->text == NULL || s->sent == s->text->len)
		text_next(s);
	if (s->text == NULL)
		return 0;
	size_t n = s->text->len - s->sent < max ? s->text->len - s->sent : max;
	memcpy(to, s->text->bytes + s->sent, n);
	s->sent += n;
	return (ssize_t)n;
}

static void
stream_gone(void *arg)
{
	struct stream *s = arg;

	TAILQ_REMOVE(&s->e->streams, s, link);
	s->e->n_streams--;
	s->e->last_stream_mono_ms = clock_mono_ms();
	shbuf_drop(s->text);
	free(s);
}

static const struct http_stream_ops stream_ops = {
	.type = "text/event-stream; charset=utf-8", .read = stream_read, .gone = stream_gone,
};

/* Where a client that saw this id goes on; 0: it is not known. */
static uint64_t
after_id(const struct events *e, const char *text)
{
	char *end;
	unsigned long epoch = strtoul(text, &end, 16);

	if (epoch != e->epoch || *end != '-')
		return 0;
	unsigned long long seq = strtoull(end + 1, &end, 10);
	return *end == 0 && seq <= e->seq ? seq + 1 : 0;
}

static bool
is_too_many(const struct events *e, const struct auth *who)
{
	const struct stream *s;
	unsigned n = 0;

	TAILQ_FOREACH(s, &e->streams, link)
		n += strcmp(s->who.cred_id, who->cred_id) == 0;
	return e->n_streams >= EVENTS_STREAMS_MAX || n >= EVENTS_STREAMS_PER_CRED;
}

/* A page that was left is noticed when its stream is written to: reloads must not use up the limit. */
static void
try_streams_of(struct events *e, const struct auth *who)
{
	struct stream *s;

	TAILQ_FOREACH(s, &e->streams, link) {
		if (strcmp(s->who.cred_id, who->cred_id) == 0) {
			s->is_alive_due = true;
			http_stream_wake(s->http);
		}
	}
}

static void
events_get(struct http_req *q)
{
	struct events *e = http_events(q);
	const char *last = http_field(q, "Last-Event-ID");
	struct buf first = { .len = 0 };
	struct shbuf *hello;

	try_streams_of(e, &q->who);
	if (is_too_many(e, &q->who)) {
		http_add_field(q, "Retry-After", "30");
		http_reply_error(q, 429, "too many event streams: %d for one login, %d in all",
		    EVENTS_STREAMS_PER_CRED, EVENTS_STREAMS_MAX);
		return;
	}
	struct stream *s = obj_alloc(sizeof(*s));
	s->e = e;
	s->who = q->who;
	s->next = e->seq + 1;
	if (last != NULL)
		s->next = after_id(e, last);	/* 0: a gap, so a reset */
	/* No id in the greeting: it must not move a client's past what it has missed. */
	hello = notice_text(e, "hello", "version", FAIRLEAD_VERSION);
	buf_str(&first, "retry: 2000\n\n");
	const char *line_end = memchr(hello->bytes, '\n', hello->len);
	buf_append(&first, line_end + 1, hello->len - (size_t)(line_end + 1 - (const char *)hello->bytes));
	shbuf_drop(hello);
	s->text = shbuf_new(first.p, first.len);
	buf_fini(&first);
	TAILQ_INSERT_TAIL(&e->streams, s, link);
	e->n_streams++;
	http_add_field(q, "X-Accel-Buffering", "no");	/* nginx would hold events back */
	s->http = http_stream_start(q, &stream_ops, s);
}

/* --- loop ----------------------------------------------------------------------------------------- */

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct events *e = arg;
	struct stream *s;

	(void)fd;
	(void)what;
	OBJ_CHECK(e, EVENTS_MAGIC);
	TAILQ_FOREACH(s, &e->streams, link)
		http_stream_wake(s->http);
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/events", HTTP_READ, false, events_get },
};

static void
on_alive(evutil_socket_t fd, short what, void *arg)
{
	struct events *e = arg;
	struct stream *s;

	OBJ_CHECK(e, EVENTS_MAGIC);
	TAILQ_FOREACH(s, &e->streams, link) {
		s->is_alive_due = true;
		s->is_ended = s->is_ended || !auth_still(e->t, &s->who, routes[0].access);
	}
	on_wake(fd, what, arg);
}

static void
events_free(void *arg)
{
	struct events *e = arg;
	struct dirty *d;

	OBJ_CHECK(e, EVENTS_MAGIC);
	ASSERT(TAILQ_EMPTY(&e->streams));
	if (e->t != NULL)
		e->t->watch = NULL;
	while (e->n_kept > 0)
		ring_drop_first(e);
	for (size_t at = 0; (d = map_next(&e->dirty, &at)) != NULL;)
		free(d);
	map_fini(&e->dirty);
	event_free(e->ev_soft);
	event_free(e->ev_wake);
	event_free(e->ev_alive);
	e->magic = 0;
	free(e);
}

void
events_attach(struct http *h)
{
	struct events *e = obj_alloc(sizeof(*e));
	struct timeval every = { .tv_sec = EVENTS_ALIVE_S };

	e->magic = EVENTS_MAGIC;
	e->http = h;
	e->t = coord_tailnet(http_coord(h), "default");
	rand_bytes(&e->epoch, sizeof(e->epoch));
	e->last_stream_mono_ms = clock_mono_ms();
	TAILQ_INIT(&e->streams);
	MAP_INIT(&e->dirty, struct dirty, id);
	e->ev_soft = event_new(http_base(h), -1, 0, on_soft, e);
	e->ev_wake = event_new(http_base(h), -1, 0, on_wake, e);
	e->ev_alive = event_new(http_base(h), -1, EV_PERSIST, on_alive, e);
	ASSERT(e->ev_soft != NULL && e->ev_wake != NULL && e->ev_alive != NULL &&
	    event_add(e->ev_alive, &every) == 0);
	if (e->t != NULL) {
		e->t->watch = on_change;
		e->t->watch_arg = e;
	}
	http_set_events(h, e);
	http_routes(h, routes, COUNT_OF(routes));
	http_at_end(h, events_free, e);
}
