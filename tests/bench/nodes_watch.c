/* Who has seen what. JSON is searched as text: the members looked for have one spelling. */
#include "tests/bench/nodes_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "tests/bench/nodes_run.h"

#define CACHE		64
#define TEXT_MAX_BYTES	(256u << 20)
#define QUIET_BYTES	40		/* a keep-alive */

enum watch_mode { WATCH_NOTHING, WATCH_TEXT, WATCH_ONLINE, WATCH_ANY, WATCH_OWN };
enum verdict { VERDICT_NONE, VERDICT_SEEN, VERDICT_ONLINE, VERDICT_OFFLINE };

struct cached {
	struct buf message;
	enum verdict verdict;
};

static struct {
	enum watch_mode mode;
	char text[160], patch_id[48], node_id[48];
	const struct node_client *but;
	struct bench_samples *took_ms;
	int64_t begin_ns, id;
	unsigned seen, peers;
	bool has_own;			/* id and peers are known */
	uint8_t *of_node;		/* enum verdict, by index */
	struct cached cache[CACHE];
	unsigned next_cached;
} watch;

static ZSTD_DStream *decoder;
static struct buf text;

static void
begin(enum watch_mode mode, const struct node_client *but, struct bench_samples *took_ms)
{
	free(watch.of_node);
	watch.of_node = obj_alloc(run.cap);
	watch.mode = mode;
	watch.but = but;
	watch.took_ms = took_ms;
	watch.seen = 0;
	watch.id = 0;
	watch.peers = 0;
	watch.has_own = false;
	watch.begin_ns = bench_now_ns();
	for (unsigned i = 0; i < CACHE; i++)
		buf_clear(&watch.cache[i].message);
	run.common.wants_messages = true;
}

void
nodes_watch_text(const char *what, const struct node_client *but, struct bench_samples *took_ms)
{
	begin(WATCH_TEXT, but, took_ms);
	snprintf(watch.text, sizeof watch.text, "%s", what);
}

void
nodes_watch_online(int64_t node_id, const struct node_client *but)
{
	begin(WATCH_ONLINE, but, NULL);
	snprintf(watch.patch_id, sizeof watch.patch_id, "\"NodeID\":%lld,", (long long)node_id);
	snprintf(watch.node_id, sizeof watch.node_id, "{\"ID\":%lld,", (long long)node_id);
}

void
nodes_watch_any(struct bench_samples *took_ms)
{
	begin(WATCH_ANY, NULL, took_ms);
}

void
nodes_watch_own(const struct node_client *c)
{
	begin(WATCH_OWN, c, NULL);
}

void
nodes_watch_stop(void)
{
	watch.mode = WATCH_NOTHING;
	run.common.wants_messages = false;
}

unsigned
nodes_watch_seen(void)
{
	return watch.seen;
}

unsigned
nodes_watch_offline(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < run.n; i++)
		n += watch.of_node[i] == VERDICT_OFFLINE;
	return n;
}

bool
nodes_watch_own_came(int64_t *id, unsigned *peers)
{
	*id = watch.id;
	*peers = watch.peers;
	return watch.has_own;
}

/* The frames one after another; NULL: that is no zstd. */
static const char *
decompress(const uint8_t *p, size_t n)
{
	ZSTD_inBuffer in = { p, n, 0 };

	if (decoder == NULL)
		decoder = ZSTD_createDStream();
	ASSERT(decoder != NULL);
	ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only);
	buf_clear(&text);
	while (in.pos < in.size && text.len < TEXT_MAX_BYTES) {
		size_t room = ZSTD_DStreamOutSize();
		ZSTD_outBuffer out = { buf_reserve(&text, room), room, 0 };

		if (ZSTD_isError(ZSTD_decompressStream(decoder, &out, &in)))
			return NULL;
		text.len += out.pos;
	}
	return buf_cstr(&text);
}

/* The last state given in a patch ({"NodeID":7,…}) or in a whole node ({"ID":7,…}): the first
 * "Online" behind its number and before the next node's. */
static enum verdict
online_in(const char *json)
{
	enum verdict v = VERDICT_NONE;
	const char *starts[2] = { watch.patch_id, watch.node_id };

	for (unsigned i = 0; i < COUNT_OF(starts); i++)
		for (const char *at = json; (at = strstr(at, starts[i])) != NULL; at++) {
			const char *flag = strstr(at, "\"Online\":");
			const char *next = strstr(at + 1, i == 0 ? "\"NodeID\":" : "{\"ID\":");

			if (flag == NULL || (next != NULL && next < flag))
				continue;
			v = strncmp(flag + 9, "true", 4) == 0 ? VERDICT_ONLINE : VERDICT_OFFLINE;
		}
	return v;
}

static enum verdict
judge(const uint8_t *p, size_t n)
{
	const char *json = decompress(p, n);

	if (json == NULL)
		bench_die("a map message is no zstd frame");
	if (watch.mode == WATCH_ONLINE)
		return online_in(json);
	return strstr(json, watch.text) != NULL ? VERDICT_SEEN : VERDICT_NONE;
}

static enum verdict
judge_cached(const uint8_t *p, size_t n)
{
	struct cached *k;

	for (unsigned i = 0; i < CACHE; i++) {
		k = &watch.cache[i];
		if (k->message.len == n && memcmp(k->message.p, p, n) == 0)
			return k->verdict;
	}
	k = &watch.cache[watch.next_cached++ % CACHE];
	buf_clear(&k->message);
	buf_append(&k->message, p, n);
	k->verdict = judge(p, n);
	return k->verdict;
}

/* In a map that has the node itself: its id, and every other node key is a peer's. */
static void
find_own(const uint8_t *p, size_t n)
{
	static const char member[] = "\"Node\":{\"ID\":", key[] = "\"Key\":\"nodekey:";
	const char *json = decompress(p, n), *at = json != NULL ? strstr(json, member) : NULL;

	if (at == NULL)
		return;
	watch.id = atoll(at + sizeof member - 1);
	for (at = json; (at = strstr(at, key)) != NULL; at += sizeof key - 1)
		watch.peers++;
	watch.peers -= watch.peers > 0;
	watch.has_own = true;
}

void
nodes_watch_message(struct node_client *c, const uint8_t *p, size_t n)
{
	enum verdict v = VERDICT_SEEN;

	if (watch.mode == WATCH_NOTHING || n <= QUIET_BYTES)
		return;
	if (c == watch.but && !watch.has_own)
		find_own(p, n);
	if (c == watch.but || watch.mode == WATCH_OWN)
		return;
	if (watch.mode != WATCH_ONLINE && watch.of_node[c->index] == VERDICT_SEEN)
		return;
	if (watch.mode != WATCH_ANY)
		v = judge_cached(p, n);
	if (v == VERDICT_NONE)
		return;
	watch.of_node[c->index] = (uint8_t)v;
	if (v != VERDICT_SEEN)
		return;
	watch.seen++;
	if (watch.took_ms != NULL)
		bench_samples_add(watch.took_ms, (double)(bench_now_ns() - watch.begin_ns) / 1e6);
}
