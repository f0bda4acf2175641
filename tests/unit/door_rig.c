/* The door on loopback for its tests, with clients and a stand-in for libmicrohttpd. */
#include "tests/unit/door_rig.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* --- routes of the test ----------------------------------------------------------------------- */

/* Answers with the method, the peer's address and whether it is TLS. */
static void
answer_who(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	char text[256], ip[NET_TEXT_MAX];

	(void)arg;
	snprintf(text, sizeof(text), "%.*s %s %s", (int)head->method.n, head->method.p,
	    net_ip_put(&io_peer(io)->ip, ip), io_is_tls(io) ? "tls" : "plain");
	door_answer(out, head, 200, "text/plain", "X-Extra: 1\r\n", text, strlen(text));
}

static void
answer_204(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	(void)arg;
	(void)io;
	door_answer(out, head, 204, NULL, NULL, NULL, 0);
}

static void
answer_close(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	(void)arg;
	(void)io;
	door_answer(out, head, 200, NULL, "Connection: close\r\n", "bye", 3);
}

/* A stand-in for the relay: waits for one line, answers with it and the peer, and closes. */
struct taker {
	struct io *io;
	struct event *ev;
	char line[64];
	size_t n;
};

static void
taker_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct taker *t = arg;
	char text[256], ip[NET_TEXT_MAX];
	size_t got = 0;
	enum err rc;

	(void)fd;
	(void)what;
	while ((rc = io_read(t->io, t->line + t->n, sizeof(t->line) - 1 - t->n, &got)) == ERR_OK) {
		t->n += got;
		if (memchr(t->line, '\n', t->n) == NULL && t->n < sizeof(t->line) - 1)
			continue;
		snprintf(text, sizeof(text), "HTTP/1.1 101 Switching Protocols\r\n\r\n%s %s",
		    net_ip_put(&io_peer(t->io)->ip, ip), t->line);
		(void)!io_write(t->io, text, strlen(text));
		(void)!io_flush(t->io);
		rc = ERR_CLOSED;
		break;
	}
	if (rc == ERR_AGAIN)
		return;
	worker_conns_add(io_worker(t->io), -1);
	event_free(t->ev);
	io_free(t->io);
	free(t);
}

static enum err
upgrade_line(void *arg, struct io *io, const struct door_head *head, struct err_text *why)
{
	struct taker *t;

	(void)arg;
	if (door_str_is(door_http_field(head, "X-Fail"), "1"))
		return err_say(why, ERR_INVAL, "X-Fail is set");
	if (door_str_is(door_http_field(head, "X-Fail"), "busy"))
		return err_say(why, ERR_BUSY, "too many at once");
	t = obj_alloc(sizeof(*t));
	t->io = io;
	t->ev = event_new(io_worker(io)->base, io_fd(io), EV_READ | EV_PERSIST, taker_on_event, t);
	event_add(t->ev, NULL);
	worker_conns_add(io_worker(io), 1);
	taker_on_event(io_fd(io), EV_READ, t);
	return ERR_OK;
}

/* --- a stand-in for libmicrohttpd: one blocking thread per passage ----------------------------- */

struct passage {
	struct door_rig *f;
	int fd;
	struct conn_ref ref;
};

static void
write_all(int fd, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		at += (size_t)k;
	}
}

/* Reads one head from fd; text is what was read, with NUL. false: the end came first. */
static bool
read_head(int fd, char *text, size_t cap)
{
	size_t n = 0;

	while (n + 1 < cap && recv(fd, text + n, 1, 0) == 1) {
		text[++n] = '\0';
		if (n >= 4 && strcmp(text + n - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

/* /echo: a head, then every byte back until the end. /late: answers only after the end. /back: asks for
 * the upgrade. /drop: closes at once. Anything else: a short answer, kept alive. */
static void *
passage_main(void *arg)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npassed";
	struct passage *p = arg;
	struct door_rig *f = p->f;
	struct buf rest = { 0 };
	char text[8192];

	while (read_head(p->fd, text, sizeof(text))) {
		if (strstr(text, " /drop ") != NULL) {
			break;
		} else if (strstr(text, " /back ") != NULL || strstr(text, " /who ") != NULL) {
			struct pollfd hangup = { p->fd, 0, 0 };
			struct buf head = { 0 };

			buf_str(&head, text);
			if (strstr(text, " /back ") != NULL) {
				write_all(p->fd, "before", 6);
				buf_str(&rest, "left over\n");
			}
			door_pass_upgrade(f->d, p->ref, &head, &rest);
			buf_fini(&head);
			(void)poll(&hangup, 1, DOOR_RIG_GIVE_UP_S * 1000);	/* until the door closes it */
			break;
		} else if (strstr(text, " /echo ") != NULL || strstr(text, " /late ") != NULL) {
			bool is_late = strstr(text, " /late ") != NULL;
			static _Thread_local char chunk[30000];
			ssize_t n;

			while ((n = recv(p->fd, chunk, sizeof(chunk), 0)) > 0)
				if (!is_late)
					write_all(p->fd, chunk, (size_t)n);
			write_all(p->fd, "the end", 7);
			break;
		}
		write_all(p->fd, ok, sizeof(ok) - 1);
	}
	buf_fini(&rest);
	close(p->fd);
	free(p);
	return NULL;
}

static void
pass_on(void *arg, int fd, const struct net_addr *peer, bool is_tls, struct conn_ref pass)
{
	struct door_rig *f = arg;
	struct passage *p = obj_alloc(sizeof(*p));
	const struct timeval give_up = { .tv_sec = DOOR_RIG_GIVE_UP_S };

	(void)peer;
	(void)is_tls;
	p->f = f;
	p->fd = fd;
	p->ref = pass;
	ASSERT(fcntl(fd, F_SETFL, 0) == 0);	/* blocking */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &give_up, sizeof(give_up));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &give_up, sizeof(give_up));
	unsigned i = atomic_fetch_add(&f->n_passages, 1);
	ASSERT(i < COUNT_OF(f->passages));
	ASSERT(pthread_create(&f->passages[i], NULL, passage_main, p) == 0);
}

/* --- the door under test ---------------------------------------------------------------------- */

static void
rig_config(struct door_rig *f)
{
	f->https[0] = obj_strdup("127.0.0.1:0");
	f->https[1] = obj_strdup("[::1]:0");
	f->http[0] = obj_strdup("127.0.0.1:0");
	f->cfg.data_dir = f->dir;
	f->cfg.listen_https = (struct config_list){ f->https, 1 };
	f->cfg.listen_http = (struct config_list){ f->http, 1 };
	f->cfg.limits.head_ms = 15000;
	f->cfg.limits.head_bytes = 4096;
	f->cfg.limits.half_open_per_source = 64;
	f->cfg.limits.conns = 1000;
}

void
door_rig_start(struct door_rig *f)
{
	struct err_text why = { "" };

	assert_int_equal(tls_new(&f->cfg, "localhost", &f->tls, &why), ERR_OK);
	assert_int_equal(worker_group_new(3, &f->g, &why), ERR_OK);
	assert_int_equal(door_new(&f->cfg, f->g, f->tls, &f->d, &why), ERR_OK);
	if (door_listen(f->d, &why) != ERR_OK)
		fail_msg("%s", why.s);
	door_on_answer(f->d, "GET", "/who", answer_who, NULL);
	door_on_answer(f->d, "POST", "/who-post", answer_who, NULL);
	door_on_answer(f->d, "GET", "/204", answer_204, NULL);
	door_on_answer(f->d, "GET", "/below/", answer_204, NULL);
	door_on_answer(f->d, "GET", "/close", answer_close, NULL);
	door_on_upgrade(f->d, "/derp", "DERP", upgrade_line, NULL);
	door_on_upgrade(f->d, "/back", "LINE", upgrade_line, NULL);
	door_on_answer(f->d, "GET", "/both", answer_who, NULL);
	door_on_upgrade(f->d, "/both", "LINE", upgrade_line, NULL);
	door_on_pass(f->d, pass_on, f);
	door_ports(f->d, &f->https_port, &f->http_port);
	assert_int_not_equal(f->https_port, 0);
	assert_int_not_equal(f->http_port, 0);
	assert_int_equal(worker_group_start(f->g, &why), ERR_OK);
	f->client_ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(f->client_ctx);
}

int
door_rig_setup(void **state)
{
	struct door_rig *f = obj_alloc(sizeof(*f));

	log_set_level(LOG_ERROR);
	strcpy(f->dir, "/tmp/fairlead-test-door-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	rig_config(f);
	*state = f;
	return 0;
}

int
door_rig_setup_started(void **state)
{
	door_rig_setup(state);
	door_rig_start(*state);
	return 0;
}

int
door_rig_teardown(void **state)
{
	struct door_rig *f = *state;
	char path[128];

	if (f->d != NULL)
		door_close(f->d);
	if (f->g != NULL)
		worker_group_stop(f->g);
	for (unsigned i = 0; i < f->n_passages; i++)
		pthread_join(f->passages[i], NULL);
	door_free(f->d);
	worker_group_free(f->g);
	tls_free(f->tls);
	SSL_CTX_free(f->client_ctx);
	snprintf(path, sizeof(path), "%s/selfsigned.crt", f->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/selfsigned.key", f->dir);
	unlink(path);
	rmdir(f->dir);
	free(f->https[0]);
	free(f->https[1]);
	free(f->http[0]);
	free(f);
	return 0;
}

/* --- clients ---------------------------------------------------------------------------------- */

int
client_connect(const char *host, uint16_t port)
{
	const struct timeval give_up = { .tv_sec = DOOR_RIG_GIVE_UP_S };
	struct sockaddr_storage sa;
	struct net_addr a = { .port = port };

	ASSERT(net_ip_parse(host, strlen(host), &a.ip) == ERR_OK);
	socklen_t n = net_addr_to_sockaddr(&a, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &give_up, sizeof(give_up));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &give_up, sizeof(give_up));
	ASSERT(connect(fd, (struct sockaddr *)(void *)&sa, n) == 0);
	return fd;
}

void
client_tls(struct client *c, SSL_CTX *ctx)
{
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	ASSERT(SSL_connect(c->ssl) == 1);
}

struct client
client_open(const struct door_rig *f, uint16_t port, bool is_tls)
{
	struct client c = { client_connect("127.0.0.1", port), NULL };

	if (is_tls)
		client_tls(&c, f->client_ctx);
	return c;
}

void
client_close(struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
	c->fd = -1;
}

void
client_send(struct client *c, const void *p, size_t n)
{
	if (c->ssl != NULL)
		ASSERT(SSL_write(c->ssl, p, (int)n) == (int)n);
	else
		write_all(c->fd, p, n);
}

void
client_say(struct client *c, const char *text)
{
	client_send(c, text, strlen(text));
}

size_t
client_recv(struct client *c, void *p, size_t cap)
{
	ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, p, (int)cap) : recv(c->fd, p, cap, 0);

	if (n <= 0 && c->ssl == NULL && n < 0)
		assert_int_equal(errno, ECONNRESET);	/* EAGAIN: gave up */
	return n > 0 ? (size_t)n : 0;
}

const char *
client_until(struct client *c, const char *end, char out[8192])
{
	size_t n = 0;

	out[0] = '\0';
	while (n < 8191 && client_recv(c, out + n, 1) == 1) {
		out[++n] = '\0';
		if (end != NULL && n >= strlen(end) && strcmp(out + n - strlen(end), end) == 0)
			return out;
	}
	if (end != NULL)
		fail_msg("wanted \"%s\", got \"%s\"", end, out);
	return out;
}

void
expect_start(const char *text, const char *want)
{
	if (strncmp(text, want, strlen(want)) != 0)
		fail_msg("wanted \"%s\", got \"%s\"", want, text);
}

void
door_rig_expect_conns(const struct door_rig *f, unsigned n)
{
	for (int i = 0; worker_group_conns(f->g) != n; i++) {
		if (i == DOOR_RIG_GIVE_UP_S * 100)
			fail_msg("%u connections, wanted %u", worker_group_conns(f->g), n);
		(void)poll(NULL, 0, 10);
	}
}
