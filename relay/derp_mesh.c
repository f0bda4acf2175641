/*
 * Dialling other relays, and what they say. WAITING -> RESOLVING -> CONNECTING -> SHAKING (TLS) ->
 * ASKING (HTTP) -> UP, and from anywhere back to WAITING; OURSELVES is the end.
 */
#include "relay/derp_mesh.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/lookup.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_hello.h"
#include "relay/derp_mesh_target.h"
#include "relay/derp_peers.h"

#define LINK_MAGIC	0xde49113cu
#define KEY_FILE_MAX	256		/* 64 digits and white space */
#define ANSWER_BYTES	4096

enum link_state {
	LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_SHAKING, LINK_ASKING, LINK_UP,
	LINK_OURSELVES,
};

/* A key that the other relay has. */
struct link_key {
	struct node_key key;
};

struct derp_link {
	uint32_t magic;
	enum link_state state;
	struct derp_worker *dw;		/* borrowed */
	struct derp_mesh_target target;
	char name[264];			/* for the log */
	bool has_failed;		/* and it was said */
	unsigned attempt;		/* takes the name's addresses in turns */
	int64_t due_ms;			/* WAITING: dial; else: give up */
	int64_t heard_ms;
	struct lookup *lookup;	/* RESOLVING; owned */
	int fd;				/* CONNECTING; -1: none */
	struct io *io;			/* SHAKING, ASKING; owned */
	struct derp_conn *conn;		/* UP; it owns io then */
	bool is_watched;		/* ev is added */
	struct event ev;
	struct conn_ref ref;		/* UP, once the other relay has said its key */
	struct map keys;		/* struct link_key, owned */
	LIST_ENTRY(derp_link) link;
};

/* --- the end of an attempt -------------------------------------------------------------------- */

static void
link_unwatch(struct derp_link *l)
{
	if (l->is_watched)
		event_del(&l->ev);
	l->is_watched = false;
}

/* Lets go of everything but the conn. */
static void
link_drop(struct derp_link *l)
{
	link_unwatch(l);
	lookup_drop(l->lookup);
	l->lookup = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	io_free(l->io);
	l->io = NULL;
}

/* Tries again later. Said once until it has worked. */
static void
link_fail(struct derp_link *l, const char *why)
{
	link_drop(l);
	if (!l->has_failed)
		log_warn(LOG_RELAY, "no link to a relay of the region", "relay", l->name, "why", why);
	l->has_failed = true;
	l->state = LINK_WAITING;
	l->due_ms = worker_now_ms(l->dw->w) + DERP_MESH_RETRY_MS;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void
link_read_answer(struct derp_link *l)
{
	uint8_t *p = l->dw->w->scratch;
	size_t n = 0, got, n_head;
	enum err rc;

	while (n < ANSWER_BYTES && (rc = io_read(l->io, p + n, ANSWER_BYTES - n, &got)) == ERR_OK)
		n += got;
	if (n < ANSWER_BYTES && rc != ERR_AGAIN) {
		link_fail(l, err_str(rc));
		return;
	}
	rc = derp_mesh_target_answer((const char *)p, n, &n_head);
	if (rc == ERR_AGAIN) {
		io_unread(l->io, p, n);
	} else if (rc != ERR_OK) {
		link_fail(l, "it does not answer as a relay does");
	} else {
		struct io *io = l->io;

		io_unread(io, p + n_head, n - n_head);
		link_unwatch(l);
		l->io = NULL;
		l->state = LINK_UP;
		l->heard_ms = worker_now_ms(l->dw->w);
		l->conn = derp_conn_link_take(l->dw, io, l);
	}
}

static void link_on_event(evutil_socket_t fd, short what, void *arg);

static void
link_watch(struct derp_link *l, int fd, short what)
{
	link_unwatch(l);
	ASSERT(event_assign(&l->ev, l->dw->w->base, fd, (short)(what | EV_PERSIST), link_on_event,
	    l) == 0);
	ASSERT(event_add(&l->ev, NULL) == 0);
	l->is_watched = true;
}

static void
link_ask(struct derp_link *l)
{
	char request[DERP_MESH_REQUEST_BYTES];
	size_t n = derp_mesh_target_request(&l->target, request);
	enum err rc = io_write(l->io, request, n);

	if (rc == ERR_OK)
		rc = io_flush(l->io);
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		link_fail(l, err_str(rc));
		return;
	}
	l->state = LINK_ASKING;
	link_watch(l, io_fd(l->io), io_wants(l->io));
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* Whoever learns the mesh key may read who is connected and send in everybody's name, so this is checked
 * before the first byte. */
static bool
link_is_pinned(const struct derp_link *l)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	X509 *crt = io_tls_peer_certificate(l->io);
	bool is_right = crt != NULL && X509_digest(crt, EVP_sha256(), digest, &n) == 1 &&
	    n == sizeof l->target.pin && sodium_memcmp(digest, l->target.pin, n) == 0 &&
	    X509_cmp_current_time(X509_get0_notBefore(crt)) < 0 &&
	    X509_cmp_current_time(X509_get0_notAfter(crt)) > 0;

	X509_free(crt);
	return is_right;
}

static void
link_shake(struct derp_link *l)
{
	enum err rc = io_tls_handshake(l->io);

	if (rc == ERR_AGAIN)
		link_watch(l, io_fd(l->io), io_wants(l->io));
	else if (rc != ERR_OK)
		link_fail(l, rc == ERR_CRYPTO ? "its certificate is not valid, or TLS fails" : err_str(rc));
	else if (l->target.has_pin && !link_is_pinned(l))
		link_fail(l, "its certificate is not the one that derp.mesh_with names");
	else
		link_ask(l);
}

static void
link_start_tls(struct derp_link *l)
{
	const struct derp_mesh_target *t = &l->target;
	SSL *ssl = SSL_new(l->dw->shared->mesh_tls);

	ASSERT(ssl != NULL);
	if (!t->is_ip)
		ASSERT(SSL_set_tlsext_host_name(ssl, t->host) == 1);
	if (!t->has_pin) {
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		ASSERT((t->is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), t->host) :
		    SSL_set1_host(ssl, t->host)) == 1);
	}
	io_tls_start_client(l->io, ssl);
	l->state = LINK_SHAKING;
	link_shake(l);
}

/* --- TCP -------------------------------------------------------------------------------------- */

static void
link_connected(struct derp_link *l)
{
	int fd = l->fd, e = 0;
	socklen_t n = sizeof e;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0 || e != 0) {
		link_fail(l, strerror(e));
		return;
	}
	link_unwatch(l);
	l->fd = -1;
	l->io = io_new(l->dw->w, fd, NULL);
	if (l->target.is_tls)
		link_start_tls(l);
	else
		link_ask(l);
}

static void
link_connect(struct derp_link *l, const struct sockaddr *to, socklen_t n)
{
	l->state = LINK_CONNECTING;
	l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || (connect(l->fd, to, n) != 0 && errno != EINPROGRESS))
		link_fail(l, strerror(errno));
	else
		link_watch(l, l->fd, EV_WRITE);
}

static void
link_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct derp_link *l = arg;
	enum err rc;

	(void)fd;
	OBJ_CHECK(l, LINK_MAGIC);
	if (l->state == LINK_CONNECTING) {
		link_connected(l);
	} else if (l->state == LINK_SHAKING) {
		link_shake(l);
	} else if ((what & EV_WRITE) != 0 && (rc = io_flush(l->io)) != ERR_AGAIN) {
		if (rc != ERR_OK)
			link_fail(l, err_str(rc));
		else
			link_watch(l, io_fd(l->io), EV_READ);
	} else if ((what & EV_READ) != 0) {
		link_read_answer(l);
	}
}

/* --- names ------------------------------------------------------------------------------------ */

static void
link_resolve(struct derp_link *l)
{
	l->lookup = lookup_new(l->target.host, l->target.port);
	if (l->lookup == NULL)
		link_fail(l, "its name cannot be looked up");
	else
		l->state = LINK_RESOLVING;
}

static void
link_resolved(struct derp_link *l)
{
	const struct addrinfo *first, *a;
	const char *why = "it has no address";
	unsigned n = 0, pick;

	if (!lookup_is_done(l->lookup, &first, &why))
		return;
	for (a = first; a != NULL; a = a->ai_next)
		n++;
	if (n == 0) {
		link_fail(l, why);
		return;
	}
	a = first;
	for (pick = l->attempt++ % n; pick > 0; pick--)
		a = a->ai_next;
	link_connect(l, a->ai_addr, a->ai_addrlen);
	lookup_drop(l->lookup);
	l->lookup = NULL;
}

static void
link_dial(struct derp_link *l, int64_t now_ms)
{
	struct net_addr addr = { .port = l->target.port };
	struct sockaddr_storage to;

	l->due_ms = now_ms + DERP_MESH_DIAL_MS;
	if (net_ip_parse(l->target.host, strlen(l->target.host), &addr.ip) == ERR_OK) {
		socklen_t n = net_addr_to_sockaddr(&addr, &to);

		link_connect(l, (struct sockaddr *)&to, n);
	} else {
		link_resolve(l);
	}
}

/* --- turns ------------------------------------------------------------------------------------ */

static void
link_tick(struct derp_link *l, int64_t now_ms)
{
	OBJ_CHECK(l, LINK_MAGIC);
	if (l->state == LINK_UP || l->state == LINK_OURSELVES)
		return;
	if (l->state == LINK_RESOLVING)
		link_resolved(l);
	if (now_ms < l->due_ms)
		return;
	if (l->state == LINK_WAITING)
		link_dial(l, now_ms);
	else
		link_fail(l, "it does not answer in time");
}

void
derp_mesh_tick(struct derp_worker *dw, int64_t now_ms)
{
	struct derp_link *l;

	LIST_FOREACH(l, &dw->links, link)
		link_tick(l, now_ms);
}

void
derp_mesh_stop(struct derp_worker *dw)
{
	struct derp_link *l;

	LIST_FOREACH(l, &dw->links, link) {
		link_drop(l);
		if (l->state != LINK_UP)
			l->state = LINK_OURSELVES;
	}
}

int64_t
derp_mesh_heard_ms(const struct derp_link *l)
{
	return l->heard_ms;
}

void
derp_mesh_heard(struct derp_link *l, int64_t now_ms)
{
	l->heard_ms = now_ms;
}

/* --- frames ----------------------------------------------------------------------------------- */

static enum err
link_hello(struct derp_link *l, struct derp_conn *c, const uint8_t *payload, size_t n)
{
	struct derp_shared *shared = l->dw->shared;
	uint8_t frame[DERP_HELLO_CLIENT_MAX_BYTES + DERP_FRAME_HDR_BYTES];
	size_t n_frame;
	enum err rc;

	if ((rc = derp_hello_key_parse(payload, n, c->key.b)) != ERR_OK)
		return rc;
	if (memcmp(c->key.b, shared->public_key, KEY_BYTES) == 0) {
		l->state = LINK_OURSELVES;
		log_info(LOG_RELAY, "derp.mesh_with names this relay itself: left out", "relay", l->name);
		return ERR_EXISTS;
	}
	rc = derp_hello_client_put(c->key.b, &shared->key, shared->mesh_key, frame, &n_frame);
	if (rc != ERR_OK)
		return rc;
	n_frame += derp_frame_put_hdr(frame + n_frame, DERP_FRAME_WATCH_CONNS, 0);
	c->state = DERP_CONN_STEADY;
	c->due_ms = l->heard_ms + DERP_MESH_SILENCE_MS;
	l->ref = c->ref;
	l->has_failed = false;
	metric_add(METRIC_DERP_LINKS, 1);
	log_info(LOG_RELAY, "link to a relay of the region", "relay", l->name);
	derp_conn_put_control(c, frame, n_frame);
	return ERR_OK;
}

static void
link_present(struct derp_link *l, const struct node_key *key)
{
	struct link_key *k;

	if (memcmp(key->b, l->dw->shared->public_key, KEY_BYTES) == 0 || map_find(&l->keys, key) != NULL)
		return;
	k = obj_alloc(sizeof *k);
	k->key = *key;
	map_put(&l->keys, k);
	derp_route_link_add(l->dw->shared->routes, key, l->ref);
}

static void
link_gone(struct derp_link *l, const struct node_key *key)
{
	struct derp_shared *shared = l->dw->shared;
	struct link_key *k = map_remove(&l->keys, key);

	if (k == NULL)
		return;
	if (derp_route_link_remove(shared->routes, key, l->ref) == DERP_ROUTE_NOWHERE)
		derp_peers_remote_gone(shared, key);
	free(k);
}

enum err
derp_mesh_frame(struct derp_conn *c, const struct derp_frame_hdr *h, const uint8_t *payload)
{
	struct derp_link *l = c->link;
	struct node_key key;

	OBJ_CHECK(l, LINK_MAGIC);
	if (h->type == DERP_FRAME_SERVER_KEY)
		return link_hello(l, c, payload, h->len_bytes);
	memcpy(key.b, payload, KEY_BYTES);
	if (h->type == DERP_FRAME_PEER_PRESENT)
		link_present(l, &key);
	/* "Not here" answers one of our packets, and takes nothing away: the key may just be moving. */
	else if (h->type == DERP_FRAME_PEER_GONE &&
	    (h->len_bytes == KEY_BYTES || payload[KEY_BYTES] == DERP_FRAME_GONE_DISCONNECTED))
		link_gone(l, &key);
	return ERR_OK;
}

void
derp_mesh_down(struct derp_link *l, struct derp_worker *dw, const char *why)
{
	struct link_key *k;
	size_t cursor = 0;

	OBJ_CHECK(l, LINK_MAGIC);
	l->conn = NULL;
	while ((k = map_next(&l->keys, &cursor)) != NULL) {
		struct node_key key = k->key;

		link_gone(l, &key);
		cursor = 0;
	}
	if (l->ref.generation != 0)
		metric_add(METRIC_DERP_LINKS, -1);
	l->ref = (struct conn_ref){ .generation = 0 };
	if (l->state == LINK_UP && !dw->is_stopping)
		link_fail(l, why);
}

/* --- birth and death -------------------------------------------------------------------------- */

static enum err
mesh_key_read(struct derp_shared *shared, const char *path, struct err_text *why)
{
	char text[KEY_FILE_MAX + 1], *p = text;
	FILE *f = fopen(path, "re");
	enum err rc;
	size_t n;

	if (f == NULL)
		return err_say(why, ERR_IO, "derp.mesh_key_file: cannot read %s: %s", path,
		    strerror(errno));
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	p += strspn(p, " \t\r\n");
	n = strlen(p);
	while (n > 0 && strchr(" \t\r\n", p[n - 1]) != NULL)
		n--;
	rc = n == 2 * KEY_BYTES ? key_hex_parse(p, n, shared->mesh_key) : ERR_INVAL;
	sodium_memzero(text, sizeof text);
	if (rc != ERR_OK || sodium_is_zero(shared->mesh_key, KEY_BYTES))
		return err_say(why, ERR_INVAL, "derp.mesh_key_file: %s does not hold 64 hex digits", path);
	shared->has_mesh_key = true;
	return ERR_OK;
}

static void
link_new(struct derp_worker *dw, const struct derp_mesh_target *t)
{
	struct derp_link *l = obj_alloc(sizeof *l);

	l->magic = LINK_MAGIC;
	l->dw = dw;
	l->target = *t;
	l->fd = -1;
	snprintf(l->name, sizeof l->name, "%s:%u", t->host, (unsigned)t->port);
	MAP_INIT(&l->keys, struct link_key, key);
	LIST_INSERT_HEAD(&dw->links, l, link);
}

enum err
derp_mesh_open(struct derp_shared *shared, struct err_text *why)
{
	const struct config *cfg = shared->cfg;
	const char *path = cfg->derp.mesh_key_file;
	unsigned n_workers = worker_group_count(shared->group);
	enum err rc;

	if (path == NULL || *path == '\0') {
		if (cfg->derp.mesh_with.n > 0)
			return err_say(why, ERR_INVAL, "derp.mesh_with needs derp.mesh_key_file");
		return ERR_OK;
	}
	if ((rc = mesh_key_read(shared, path, why)) != ERR_OK)
		return rc;
	shared->mesh_tls = SSL_CTX_new(TLS_client_method());
	ASSERT(shared->mesh_tls != NULL);
	io_tls_ctx_init(shared->mesh_tls);
	if (SSL_CTX_set_default_verify_paths(shared->mesh_tls) != 1)
		log_warn(LOG_RELAY, "no certificate authorities are known: links need sha256-raw pins");
	for (unsigned i = 0; i < cfg->derp.mesh_with.n; i++) {
		const char *text = cfg->derp.mesh_with.items[i];
		struct derp_mesh_target t;

		if (derp_mesh_target_parse(text, &t) != ERR_OK)
			return err_say(why, ERR_INVAL, "derp.mesh_with: \"%s\" names no relay", text);
		link_new(shared->workers[i % n_workers], &t);
	}
	return ERR_OK;
}

void
derp_mesh_close(struct derp_shared *shared)
{
	for (unsigned i = 0; i < worker_group_count(shared->group); i++) {
		struct derp_worker *dw = shared->workers[i];
		struct derp_link *l;

		while ((l = LIST_FIRST(&dw->links)) != NULL) {
			OBJ_CHECK(l, LINK_MAGIC);
			ASSERT(l->conn == NULL);
			link_drop(l);
			LIST_REMOVE(l, link);
			map_fini(&l->keys);
			l->magic = 0;
			free(l);
		}
	}
	SSL_CTX_free(shared->mesh_tls);
	shared->mesh_tls = NULL;
}
