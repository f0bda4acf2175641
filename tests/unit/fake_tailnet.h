/*
 * A tailnet for tests: a store that commits when told to (or, with FAKE_REAL_STORE defined, the
 * real one on the file fake_db_path), replies that are kept, users and auth keys ready-made. One
 * test program each.
 */
#ifndef TESTS_UNIT_FAKE_TAILNET_H
#define TESTS_UNIT_FAKE_TAILNET_H

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/store.h"
#include "coord/store_load.h"
#include "coord/tailnet_private.h"
#include "fake_map.h"

#define T0	1700000000	/* clocks stand here */
#define DAY_S	86400

/* --- the store ------------------------------------------------------------------------------- */

#ifndef FAKE_REAL_STORE

static TAILQ_HEAD(, txn) fake_queue = TAILQ_HEAD_INITIALIZER(fake_queue);
static unsigned fake_queued;
static bool fake_store_is_full;
static int64_t fake_user_id, fake_node_id;

enum err
store_submit_take(struct store *s, struct txn **x)
{
	(void)s;
	if (fake_store_is_full)
		return ERR_BUSY;
	TAILQ_INSERT_TAIL(&fake_queue, *x, link);
	fake_queued++;
	*x = NULL;
	return ERR_OK;
}

int64_t
store_next_user_id(struct store *s)
{
	(void)s;
	return ++fake_user_id;
}

int64_t
store_next_node_id(struct store *s)
{
	(void)s;
	return ++fake_node_id;
}

static unsigned fake_audits;	/* records committed */

/* The oldest transaction is committed, or refused with rc. */
static inline void
fake_commit_one(enum err rc, const char *text)
{
	struct txn *x = TAILQ_FIRST(&fake_queue);

	assert_non_null(x);
	TAILQ_REMOVE(&fake_queue, x, link);
	fake_queued--;
	x->rc = rc;
	snprintf(x->why.s, sizeof(x->why.s), "%s", text);
	for (unsigned i = 0; rc == ERR_OK && i < x->n; i++)
		fake_audits += x->list[i]->kind == MUTATION_AUDIT;
	txn_finish_take(x);
}

static inline void
fake_commit(void)
{
	while (!TAILQ_EMPTY(&fake_queue))
		fake_commit_one(ERR_OK, "");
}
#endif

/* --- replies --------------------------------------------------------------------------------- */

#define REPLIES_MAX 4096

static struct fake_reply {
	int n, status, retry_after_s;	/* n: answers to this stream */
	char body[512];
} fake_replies[REPLIES_MAX];

void
ts2021_reply(struct ts2021 *c, struct conn_ref conn, int32_t stream, int status,
	int retry_after_s, struct shbuf *body)
{
	struct fake_reply *r = &fake_replies[stream];

	(void)c;
	(void)conn;
	r->n++;
	r->status = status;
	r->retry_after_s = retry_after_s;
	snprintf(r->body, sizeof(r->body), "%.*s", body == NULL ? 0 : (int)body->len,
	    body == NULL ? "" : (const char *)body->bytes);
	shbuf_drop(body);
}

/* --- relay admission -------------------------------------------------------------------------- */

static bool fake_is_admitted[256];	/* by first byte of the node key */

static void
fake_admit(void *arg, const struct node_key *key)
{
	(void)arg;
	fake_is_admitted[key->b[0]] = true;
}

static void
fake_expel(void *arg, const struct node_key *key)
{
	(void)arg;
	fake_is_admitted[key->b[0]] = false;
}

/* --- the tailnet ------------------------------------------------------------------------------ */

static struct fake {
	struct event_base *base;
	struct config cfg;
	struct tailnet *t;
	int64_t now;
	int32_t stream;			/* of the last request */
	struct tailnet_result res;	/* of the last hard change; its pointers are copied: */
	char key_id[32], secret[AUTHKEY_TEXT_MAX];
	int n_done;
} fake;

static int64_t fake_start_at = T0;	/* the clock at the next start */
static char *fake_cfg_records_file;	/* dns.extra_records_path at the next start */
static char *fake_cfg_node_quota;	/* derp.node_quota at the next start */
static const struct tailnet_quota_ops *fake_quota_ops;	/* likewise; NULL: quotas limit nobody */
static const struct actor fake_actor = { .name = "test" };

#ifdef FAKE_REAL_STORE
static char fake_db_path[128];
static struct store *fake_store;
static struct mbox *fake_mbox;

/* txn_done_fn */
static inline void
fake_count(void *arg, enum err rc, const struct err_text *why)
{
	(void)rc;
	(void)why;
	++*(int *)arg;
}

/* Runs the loop until everything sent to the store is answered. Twice: an answer may send more. */
static inline void
fake_commit(void)
{
	int n = 0;

	for (int round = 1; round <= 2; round++) {
		struct txn *x = txn_new(fake.t, fake_count, &n);

		assert_int_equal(store_submit_take(fake_store, &x), ERR_OK);
		while (n < round)
			assert_int_equal(event_base_loop(fake.base, EVLOOP_ONCE), 0);
	}
}
#endif

static inline void
fake_done(void *arg, const struct tailnet_result *res)
{
	(void)arg;
	fake.n_done++;
	fake.res = *res;
	snprintf(fake.key_id, sizeof(fake.key_id), "%s", res->key_id == NULL ? "" : res->key_id);
	snprintf(fake.secret, sizeof(fake.secret), "%s", res->secret == NULL ? "" : res->secret);
}

static inline void
fake_clock(int64_t now)
{
	fake.now = now;
	clock_test_set((now - T0) * 1000 + 1000000, now);
}

static inline int64_t
fake_user(const char *name, enum user_role role)
{
	struct tailnet_user_spec spec = { .name = name, .role = role };

	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	fake_commit();
	return fake.res.id;
}

/* An auth key; its text is in fake.secret. flags: r reusable, e ephemeral. */
static inline const char *
fake_key(int64_t user_id, const char *flags, const char *tag, int64_t expires)
{
	struct tailnet_key_spec spec = {
		.user_id = user_id, .description = "d", .tags = &tag, .n_tags = tag == NULL ? 0 : 1,
		.is_reusable = strchr(flags, 'r') != NULL, .is_ephemeral = strchr(flags, 'e') != NULL,
		.is_preauthorized = true, .expires_unix_s = expires,
	};

	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	return fake.secret;
}

static inline void
fake_start(void)
{
	struct tailnet_deps deps = { 0 };

	log_set_level(LOG_ERROR);
	memset(&fake, 0, sizeof(fake));
	memset(&fake_map, 0, sizeof(fake_map));
	memset(fake_replies, 0, sizeof(fake_replies));
	memset(fake_is_admitted, 0, sizeof(fake_is_admitted));
	fake_clock(fake_start_at);
	fake.base = event_base_new();
	fake.cfg.prefixes.v4 = "100.64.0.0/24";
	fake.cfg.prefixes.v6 = "fd7a:115c:a1e0::/48";
	fake.cfg.dns.base_domain = "example.net";
	fake.cfg.dns.records_file = fake_cfg_records_file;
	fake.cfg.derp.node_quota = fake_cfg_node_quota;
	fake.cfg.node.key_expiry_days = 180;
	fake.cfg.node.ephemeral_timeout_s = 1800;
	fake.cfg.limits.register_fail_per_min = 1000;
	deps.base = fake.base;
	deps.cfg = &fake.cfg;
	deps.admit = fake_admit;
	deps.expel = fake_expel;
	deps.quota_ops = fake_quota_ops;
	deps.server_url = "https://vpn.example.net";
#ifdef FAKE_REAL_STORE
	struct err_text why = { "" };
	int64_t id = 0;

	fake_mbox = mbox_new(fake.base, NULL, 1000);
	if (store_open(fake_db_path, fake_mbox, &fake_store, &why) != ERR_OK ||
	    store_load_tailnet_id(fake_store, "default", &id, &why) != ERR_OK)
		fail_msg("%s", why.s);
	deps.store = fake_store;
	fake.t = tailnet_new(id, "default", &deps);
	if (store_load_tailnet(fake_store, fake.t, &why) != ERR_OK ||
	    store_start(fake_store, &why) != ERR_OK)
		fail_msg("%s", why.s);
#else
	fake_user_id = fake_node_id = 0;
	fake_audits = 0;
	fake_store_is_full = false;
	fake.t = tailnet_new(1, "default", &deps);
#endif
	tailnet_start(fake.t);
}

static inline void
fake_stop(void)
{
#ifdef FAKE_REAL_STORE
	tailnet_flush_soft(fake.t);
	store_stop(fake_store);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	mbox_close(fake_mbox);
	tailnet_free(fake.t);
	store_free(fake_store);
	mbox_free(fake_mbox);
#else
	struct txn *x;

	while ((x = TAILQ_FIRST(&fake_queue)) != NULL) {	/* as a closed mailbox does */
		TAILQ_REMOVE(&fake_queue, x, link);
		txn_abandon_take(x);
	}
	fake_queued = 0;
	tailnet_free(fake.t);
#endif
	event_base_free(fake.base);
	clock_test_stop();
}

/* A request: keys by a byte that fills them (0: none), tags as a JSON array or NULL. */
struct fake_req {
	int machine, key, old;
	const char *auth;	/* whole text, or NULL */
	const char *tags, *hostname;
	int64_t expiry;		/* 0: none */
	bool is_ephemeral;
	const char *followup;	/* NULL: none */
	const char *from;	/* NULL: 192.0.2.9:5 */
};

/* Sends it; its replies are in fake_replies[fake.stream]. */
static inline void
fake_register(const struct fake_req *q)
{
	struct ctl_peer from = { .conn = { .generation = 1 }, .stream = ++fake.stream,
	    .noise_version = 145 };
	struct register_req *req = obj_alloc(sizeof(*req));
	const char *ip = q->from == NULL ? "192.0.2.9:5" : q->from;
	char host[1024];

	assert_true(fake.stream < REPLIES_MAX);
	memset(from.machine.b, q->machine, KEY_BYTES);
	assert_int_equal(net_addr_parse(ip, strlen(ip), &from.addr), ERR_OK);
	req->version = 145;
	memset(req->node_key.b, q->key, KEY_BYTES);
	memset(req->old_node_key.b, q->old, KEY_BYTES);
	req->auth_key = q->auth == NULL ? NULL : obj_strdup(q->auth);
	req->followup = q->followup == NULL ? NULL : obj_strdup(q->followup);
	req->has_expiry = q->expiry != 0;
	req->expiry_unix_s = q->expiry;
	req->is_ephemeral = q->is_ephemeral;
	snprintf(host, sizeof(host), "{\"OS\":\"linux\",\"Hostname\":\"%s\",\"RequestTags\":%s}",
	    q->hostname == NULL ? "edge" : q->hostname, q->tags == NULL ? "[]" : q->tags);
	assert_int_equal(hostinfo_parse(host, strlen(host), &req->host, NULL), ERR_OK);
	tailnet_register(fake.t, &from, req);
}

static inline const struct fake_reply *
fake_reply(void)
{
	return &fake_replies[fake.stream];
}

/* Its client closes the stream. */
static inline void
fake_gone(int32_t stream)
{
	tailnet_register_gone(fake.t, (struct conn_ref){ .generation = 1 }, stream);
}

static inline struct node *
fake_node(int key)
{
	struct node_key k;

	memset(k.b, key, KEY_BYTES);
	return map_find(&fake.t->nodes_by_key, &k);
}

#endif
