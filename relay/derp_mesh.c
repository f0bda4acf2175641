/*
 * Dialling other relays, and what they say. WAITING -> RESOLVING -> CONNECTING -> SHAKING (TLS) ->
 * ASKING (HTTP) -> UP, and from anywhere back to WAITING; OURSELVES is the end.
 */
#include "relay/derp_mesh_private.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "relay/derp_hello.h"
#include "relay/derp_peers.h"

#define ANSWER_BYTES	4096

/* --- the end of an attempt -------------------------------------------------------------------- */

static void
link_unwatch(struct derp_link *l)
{
	if (l->is_watched)
		event_del(&l->ev);
	l->is_watched = false;
}

void
derp_mesh_drop(struct derp_link *l)
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
	derp_mesh_drop(l);
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
		derp_mesh_drop(l);
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
	uint8_t frame[DERP_HELLO_CLIENT_MAX_BYTES + DERP_FRAME_HDR_BYTES], mesh_key[KEY_BYTES];
	size_t n_frame;
	enum err rc;

	if ((rc = derp_hello_key_parse(payload, n, c->key.b)) != ERR_OK)
		return rc;
	if (memcmp(c->key.b, shared->public_key, KEY_BYTES) == 0) {
		l->state = LINK_OURSELVES;
		log_info(LOG_RELAY, "derp.mesh_with names this relay itself: left out", "relay", l->name);
		return ERR_EXISTS;
	}
	if (!derp_mesh_key(shared, mesh_key))
		return ERR_DENIED;
	rc = derp_hello_client_put(c->key.b, &shared->key, mesh_key, frame, &n_frame);
	sodium_memzero(mesh_key, sizeof mesh_key);
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
