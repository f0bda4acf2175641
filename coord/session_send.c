/* Serving map streams: rounds, slices, full maps and deltas. */
#include <event2/event.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "coord/session_state.h"

/* Chunks compressed before the clock is looked at again: about a tenth of a millisecond each. */
#define CHUNKS_PER_STEP 4

static struct session_queue *
queue_of(struct map_state *m, enum session_state state)
{
	switch (state) {
	case SESSION_FRESH:
		return &m->fresh;
	case SESSION_BEHIND:
		return &m->behind;
	case SESSION_CURRENT:
		return &m->current;
	case SESSION_BUSY:
	case SESSION_ENDING:
		break;
	}
	return NULL;
}

void
session_send_queue(struct map_state *m, struct session *s, enum session_state state)
{
	struct session_queue *from = queue_of(m, s->state), *to = queue_of(m, state);

	if (from != NULL)
		TAILQ_REMOVE(from, s, link);
	s->state = state;
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, s, link);
}

static struct conn_ref
conn_of(const struct session *s)
{
	return (struct conn_ref){ .worker = (uint16_t)s->key.worker, .slot = s->key.slot,
		.generation = s->key.generation };
}

void
session_send_forget(struct map_state *m, struct session *s)
{
	struct session_queue *from = queue_of(m, s->state);

	OBJ_CHECK(s, SESSION_MAGIC);
	if (from != NULL)
		TAILQ_REMOVE(from, s, link);
	map_remove(&m->sessions, &s->key);
	if (s->node != NULL && s->node->session == s)
		s->node->session = NULL;
	map_private_sent_fini(&s->sent);
	shbuf_drop(s->last);
	shbuf_drop(s->ping);
	s->magic = 0;
	free(s);
	metric_add(METRIC_MAP_STREAMS, -1);
}

void
session_send_close(struct map_state *m, struct session *s)
{
	ts2021_stream_end(m->t->deps.control, conn_of(s), (int32_t)s->key.stream);
	session_send_forget(m, s);
}

/* Sends what is in m->segs. */
static void
send_segs(struct map_state *m, struct session *s, bool is_last)
{
	int64_t n_bytes = 0;

	for (unsigned i = 0; i < m->segs.n; i++)
		n_bytes += (int64_t)m->segs.v[i]->len;
	metric_add(METRIC_MAP_BYTES, n_bytes);
	ts2021_map_send(m->t->deps.control, conn_of(s), (int32_t)s->key.stream, m->segs.v,
	    m->segs.n, is_last);
	map_full_segs_taken(&m->segs);
	m->round_messages++;
	if (is_last)
		session_send_forget(m, s);
	else
		session_send_queue(m, s, SESSION_BUSY);
}

void
session_send_last(struct map_state *m, struct session *s)
{
	map_full_segs_add(&m->segs, s->last);
	s->last = NULL;
	send_segs(m, s, true);
}

void
session_send_ping(struct map_state *m, struct session *s)
{
	map_full_segs_add(&m->segs, s->ping);
	s->ping = NULL;
	s->ping_state = SESSION_PING_LEFT;
	send_segs(m, s, false);
}

bool
session_ping(struct tailnet *t, struct node *n, const char *json)
{
	struct map_state *m = t->map;
	struct session *s = n->session;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	if (s == NULL)
		return false;
	buf_str(&m->w.scratch, json);
	shbuf_drop(s->ping);
	s->ping = map_world_frame(&m->w);
	s->ping_state = SESSION_PING_WAITS;
	if (s->had_full && s->state != SESSION_BUSY)
		session_send_ping(m, s);
	return true;
}

enum session_ping_state
session_ping_state(const struct node *n)
{
	return n->session == NULL ? SESSION_PING_NONE : n->session->ping_state;
}

void
session_send_end_take(struct map_state *m, struct session *s, struct shbuf *last)
{
	bool is_busy = s->state == SESSION_BUSY;

	ASSERT(s->node != NULL && s->last == NULL);
	s->node->session = NULL;
	s->node = NULL;
	s->last = last;
	session_send_queue(m, s, SESSION_ENDING);
	if (!is_busy)
		session_send_last(m, s);
}

static void
serve_full(struct map_state *m, struct session *s)
{
	struct map_full_ask ask = { .mono_ms = clock_mono_ms(), .unix_s = clock_wall_s(),
		.sent = &s->sent, .is_again = s->had_full, .seq = s->seq };
	struct map_full_result res;
	uint64_t made = m->w.chunks_made;
	bool is_ready = s->n_steps == UINT8_MAX ||
	    map_full_prepare(&m->w, s->node, ask.mono_ms, CHUNKS_PER_STEP);

	if (is_ready)
		map_full_put(&m->w, s->node, &ask, &m->segs, &res);
	metric_add(METRIC_CHUNKS_MADE, (int64_t)(m->w.chunks_made - made));
	if (!is_ready) {
		s->n_steps++;
		return;		/* stays where it is in its queue */
	}
	if (s->had_full && !res.has_peers && map_delta_is_overrun(&m->w, s->seq)) {
		/* Which peers the client may still have is forgotten: it has to begin anew. */
		struct node *n = s->node;

		map_full_segs_fini(&m->segs);
		session_send_close(m, s);
		session_presence_gone(m, n, 0);
		return;
	}
	s->seq = res.from;
	s->had_full = true;
	s->needs_full = false;
	s->n_steps = 0;
	metric_add(METRIC_MAP_FULL, 1);
	send_segs(m, s, false);
}

static void
serve_delta(struct map_state *m, struct session *s)
{
	map_delta_put(&m->w, s->node, s->seq, &s->sent, &m->segs);
	s->seq = m->w.published;
	if (m->segs.n == 0) {
		session_send_queue(m, s, SESSION_CURRENT);
		return;
	}
	metric_add(METRIC_MAP_DELTA, 1);
	send_segs(m, s, false);
}

static void
serve(struct map_state *m, struct session *s)
{
	if (s->node->map->class == NULL)	/* its node is being removed */
		session_send_queue(m, s, SESSION_CURRENT);
	else if (s->needs_full || s->node->map->needs_full || map_delta_is_overrun(&m->w, s->seq))
		serve_full(m, s);
	else
		serve_delta(m, s);
}

static void
round_begin(struct map_state *m, int64_t now_us)
{
	struct session *s;

	map_spread_start(&m->spread, now_us);
	map_world_publish(&m->w);
	TAILQ_FOREACH(s, &m->current, link)
		s->state = SESSION_BEHIND;
	TAILQ_CONCAT(&m->behind, &m->current, link);
	m->is_round = true;
	m->round_spent_us = 0;
	m->round_messages = 0;
}

static void
round_end(struct map_state *m)
{
	map_spread_done(&m->spread, m->round_spent_us, m->round_messages);
	m->is_round = false;
}

/* Streams that need a full map and those of the round take turns, so that neither waits for all
 * of the others. */
void
session_send_run(struct map_state *m)
{
	int64_t start_us = clock_mono_us(), now_us = start_us;
	struct session *s;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	m->armed_us = INT64_MAX;
	if (m->spread.is_pending && TAILQ_EMPTY(&m->behind) &&
	    map_spread_due_us(&m->spread) <= now_us)
		round_begin(m, now_us);
	while (now_us - start_us < SESSION_SLICE_US) {
		if ((s = TAILQ_FIRST(&m->fresh)) != NULL)
			serve(m, s);
		else if (TAILQ_EMPTY(&m->behind))
			break;
		if ((s = TAILQ_FIRST(&m->behind)) != NULL)
			serve(m, s);
		now_us = clock_mono_us();
	}
	m->round_spent_us += clock_mono_us() - start_us;
	if (m->is_round && TAILQ_EMPTY(&m->behind))
		round_end(m);
	session_send_arm(m);
}

void
session_send_arm(struct map_state *m)
{
	int64_t now_us = clock_mono_us(), due_us = INT64_MAX;

	if (!TAILQ_EMPTY(&m->fresh) || !TAILQ_EMPTY(&m->behind))
		due_us = now_us;
	else if (m->spread.is_pending)
		due_us = map_spread_due_us(&m->spread);
	if (due_us < now_us)
		due_us = now_us;
	if (due_us >= m->armed_us)
		return;
	m->armed_us = due_us;
	struct timeval tv = { .tv_sec = (time_t)((due_us - now_us) / 1000000),
		.tv_usec = (due_us - now_us) % 1000000 };
	ASSERT(evtimer_add(m->run_timer, &tv) == 0);
}
