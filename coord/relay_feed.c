/* The state, its records, and the queues of the streams. */
#include "coord/relay_feed.h"

#include <event2/event.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"

#define HUB_MAGIC	0xfeed0001u
#define FEED_MAGIC	0xfeed0002u
#define DELTA_MAX_BYTES	(1u << 20)	/* of one record; more goes at once */

struct admitted {
	struct node_key key;
};

struct relay_hub {
	uint32_t magic;
	struct admit_signer signer;
	uint32_t valid_s;
	uint64_t epoch, seq;
	struct map keys;		/* struct admitted, owned */
	struct buf delta;		/* changes that are not told yet */
	int64_t flushed_mono_ms;	/* the last were */
	struct event *delta_timer, *tick_timer;
	TAILQ_HEAD(, relay_feed) feeds;
};

struct record {
	struct shbuf *bytes;
	STAILQ_ENTRY(record) link;
};

struct relay_feed {
	uint32_t magic;
	struct relay_hub *hub;		/* borrowed; NULL: it has gone */
	void (*gone)(void *owner);	/* NULL: let go of */
	void *owner;
	void (*wake)(void *arg);	/* NULL: not yet */
	void *wake_arg;
	char *config;			/* owned: as last sent */
	STAILQ_HEAD(, record) queue;
	size_t queued_bytes, sent;	/* sent: of the first record */
	bool is_ended;
	TAILQ_ENTRY(relay_feed) link;
};

/* --- a stream --------------------------------------------------------------------------------- */

static void
feed_wake(struct relay_feed *f)
{
	if (f->wake != NULL)
		f->wake(f->wake_arg);
}

static void
queue_drop(struct relay_feed *f)
{
	struct record *r;

	while ((r = STAILQ_FIRST(&f->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->queue, link);
		shbuf_drop(r->bytes);
		free(r);
	}
	f->queued_bytes = f->sent = 0;
}

/* Takes the caller's reference. */
static void
feed_put_take(struct relay_feed *f, struct shbuf *bytes)
{
	struct record *r;

	if (f->is_ended || f->queued_bytes + bytes->len > RELAY_FEED_MAX_BYTES) {
		shbuf_drop(bytes);
		f->is_ended = true;	/* it comes again, and is told all */
		return;
	}
	r = obj_alloc(sizeof(*r));
	r->bytes = bytes;
	STAILQ_INSERT_TAIL(&f->queue, r, link);
	f->queued_bytes += bytes->len;
}

static struct shbuf *
record_new(const struct relay_hub *hub, enum admit_kind kind, const void *payload, size_t n)
{
	return admit_record_new(&hub->signer, &(struct admit_record){
		.kind = kind, .valid_s = hub->valid_s, .epoch = hub->epoch, .seq = hub->seq,
		.issued_unix_s = clock_wall_s(), .payload = payload, .n = n,
	});
}

static void
feed_put_config(struct relay_feed *f, const char *config)
{
	if (f->config != NULL)
		sodium_memzero(f->config, strlen(f->config));
	free(f->config);
	f->config = obj_strdup(config);
	feed_put_take(f, record_new(f->hub, ADMIT_CONFIG, config, strlen(config)));
}

static void
feed_put_snapshot(struct relay_feed *f)
{
	struct buf keys = { .len = 0 };
	const struct admitted *k;

	for (size_t at = 0; (k = map_next(&f->hub->keys, &at)) != NULL;)
		buf_append(&keys, k->key.b, KEY_BYTES);
	if (keys.len + ADMIT_HEAD_BYTES <= ADMIT_RECORD_MAX)
		feed_put_take(f, record_new(f->hub, ADMIT_SNAPSHOT, keys.p, keys.len));
	else
		f->is_ended = true;	/* more nodes than anybody has */
	buf_fini(&keys);
}

static void hub_flush(struct relay_hub *hub);

struct relay_feed *
relay_feed_new(struct relay_hub *hub, const char *config, void (*gone)(void *owner), void *owner)
{
	struct relay_feed *f = obj_alloc(sizeof(*f));

	OBJ_CHECK(hub, HUB_MAGIC);
	hub_flush(hub);		/* the snapshot has what the others are told later otherwise */
	f->magic = FEED_MAGIC;
	f->hub = hub;
	f->gone = gone;
	f->owner = owner;
	STAILQ_INIT(&f->queue);
	TAILQ_INSERT_TAIL(&hub->feeds, f, link);
	feed_put_config(f, config);
	feed_put_snapshot(f);
	return f;
}

void
relay_feed_config(struct relay_feed *f, const char *config)
{
	OBJ_CHECK(f, FEED_MAGIC);
	if (f->hub == NULL || strcmp(f->config, config) == 0)
		return;
	feed_put_config(f, config);
	feed_wake(f);
}

void
relay_feed_end(struct relay_feed *f)
{
	OBJ_CHECK(f, FEED_MAGIC);
	f->is_ended = true;
	f->gone = NULL;
	feed_wake(f);
}

void
relay_feed_on_wake(struct relay_feed *f, void (*wake)(void *arg), void *arg)
{
	OBJ_CHECK(f, FEED_MAGIC);
	f->wake = wake;
	f->wake_arg = arg;
}

ssize_t
relay_feed_read(struct relay_feed *f, void *to, size_t max)
{
	struct record *r;
	size_t n;

	OBJ_CHECK(f, FEED_MAGIC);
	if (f->is_ended)
		return -1;
	if ((r = STAILQ_FIRST(&f->queue)) == NULL)
		return 0;
	n = r->bytes->len - f->sent < max ? r->bytes->len - f->sent : max;
	memcpy(to, r->bytes->bytes + f->sent, n);
	f->sent += n;
	if (f->sent == r->bytes->len) {
		STAILQ_REMOVE_HEAD(&f->queue, link);
		f->queued_bytes -= r->bytes->len;
		f->sent = 0;
		shbuf_drop(r->bytes);
		free(r);
	}
	return (ssize_t)n;
}

void
relay_feed_gone(struct relay_feed *f)
{
	OBJ_CHECK(f, FEED_MAGIC);
	if (f->gone != NULL)
		f->gone(f->owner);
	if (f->hub != NULL)
		TAILQ_REMOVE(&f->hub->feeds, f, link);
	queue_drop(f);
	if (f->config != NULL)
		sodium_memzero(f->config, strlen(f->config));
	free(f->config);
	f->magic = 0;
	free(f);
}

/* --- the state -------------------------------------------------------------------------------- */

/* The same bytes to all. */
static void
hub_put_take(struct relay_hub *hub, struct shbuf *bytes)
{
	struct relay_feed *f;

	TAILQ_FOREACH(f, &hub->feeds, link) {
		feed_put_take(f, shbuf_hold(bytes));
		feed_wake(f);
	}
	shbuf_drop(bytes);
}

static void
hub_flush(struct relay_hub *hub)
{
	if (hub->delta.len == 0)
		return;
	hub->seq++;
	hub->flushed_mono_ms = clock_mono_ms();
	hub_put_take(hub, record_new(hub, ADMIT_DELTA, hub->delta.p, hub->delta.len));
	buf_fini(&hub->delta);
	event_del(hub->delta_timer);
}

static void
on_delta(evutil_socket_t fd, short what, void *arg)
{
	struct relay_hub *hub = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(hub, HUB_MAGIC);
	hub_flush(hub);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct relay_hub *hub = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(hub, HUB_MAGIC);
	hub_flush(hub);
	if (!TAILQ_EMPTY(&hub->feeds))
		hub_put_take(hub, record_new(hub, ADMIT_TICK, NULL, 0));
}

void
relay_hub_note(struct relay_hub *hub, const struct node_key *key, bool is_admitted)
{
	int64_t since_ms = clock_mono_ms() - hub->flushed_mono_ms;
	struct timeval soon = { .tv_usec = since_ms >= RELAY_DELTA_MS ? 0 : RELAY_DELTA_MS * 1000 };
	struct admitted *k = map_find(&hub->keys, key);

	OBJ_CHECK(hub, HUB_MAGIC);
	if (is_admitted == (k != NULL))
		return;
	if (is_admitted) {
		k = obj_alloc(sizeof(*k));
		k->key = *key;
		map_put(&hub->keys, k);
	} else {
		free(map_remove(&hub->keys, key));
	}
	if (TAILQ_EMPTY(&hub->feeds))
		return;		/* who comes is told all */
	buf_byte(&hub->delta, is_admitted);
	buf_append(&hub->delta, key->b, KEY_BYTES);
	if (hub->delta.len >= DELTA_MAX_BYTES)
		hub_flush(hub);
	else if (!event_pending(hub->delta_timer, EV_TIMEOUT, NULL))
		ASSERT(event_add(hub->delta_timer, &soon) == 0);
}

size_t
relay_hub_count(const struct relay_hub *hub)
{
	return hub->keys.count;
}

const uint8_t *
relay_hub_public(const struct relay_hub *hub)
{
	return hub->signer.public;
}

struct relay_hub *
relay_hub_new(struct event_base *base, const struct private_key *noise, uint32_t valid_s)
{
	struct timeval every = { .tv_sec = RELAY_TICK_S };
	struct relay_hub *hub = obj_alloc(sizeof(*hub));

	hub->magic = HUB_MAGIC;
	admit_signer_init(&hub->signer, noise);
	hub->valid_s = valid_s;
	rand_bytes(&hub->epoch, sizeof(hub->epoch));
	MAP_INIT(&hub->keys, struct admitted, key);
	TAILQ_INIT(&hub->feeds);
	hub->delta_timer = evtimer_new(base, on_delta, hub);
	hub->tick_timer = event_new(base, -1, EV_PERSIST, on_tick, hub);
	ASSERT(hub->delta_timer != NULL && hub->tick_timer != NULL && event_add(hub->tick_timer, &every) == 0);
	return hub;
}

void
relay_hub_free(struct relay_hub *hub)
{
	struct relay_feed *f;
	struct admitted *k;

	if (hub == NULL)
		return;
	OBJ_CHECK(hub, HUB_MAGIC);
	while ((f = TAILQ_FIRST(&hub->feeds)) != NULL) {
		TAILQ_REMOVE(&hub->feeds, f, link);
		f->hub = NULL;
		f->is_ended = true;
	}
	for (size_t at = 0; (k = map_next(&hub->keys, &at)) != NULL;)
		free(k);
	map_fini(&hub->keys);
	buf_fini(&hub->delta);
	event_free(hub->delta_timer);
	event_free(hub->tick_timer);
	sodium_memzero(&hub->signer, sizeof(hub->signer));
	hub->magic = 0;
	free(hub);
}
