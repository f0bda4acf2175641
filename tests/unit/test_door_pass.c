/* links: server/door server/door_route server/door_listen server/door_conn server/door_guest server/door_pass server/door_http server/door_source server/tls server/tls_self tests/unit/door_rig */
/* Proves: passed connections carry every byte; the door starts, pauses and stops cleanly. */
#include "tests/unit/door_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

/* --- passages --------------------------------------------------------------------------------- */

#define ECHO_BYTES (1u << 20)
#define FLOOD_BYTES (64u << 20)

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static void
end_stream(struct client *c)
{
	if (c->ssl != NULL)
		SSL_shutdown(c->ssl);
	shutdown(c->fd, SHUT_WR);
}

/* A mebibyte up and down in pieces, then the client's end of stream, then the last words. */
static void
passages_carry_both_ways(void **state)
{
	struct door_rig *f = *state;
	static uint8_t piece[50000], back[50000];

	for (int i = 0; i < 2; i++) {
		struct client c = client_open(f, f->http_port, i == 0);
		size_t at = 0;
		char text[8192];

		client_say(&c, "POST /echo HTTP/1.1\r\nHost: h\r\n\r\n");
		while (at < ECHO_BYTES) {
			size_t n = ECHO_BYTES - at < sizeof(piece) ? ECHO_BYTES - at : sizeof(piece), got = 0;

			for (size_t k = 0; k < n; k++)
				piece[k] = pattern(at + k);
			client_send(&c, piece, n);
			for (size_t k = 0; got < n; got += k)
				if ((k = client_recv(&c, back + got, n - got)) == 0)
					fail_msg("ended at %zu", at + got);
			assert_memory_equal(piece, back, n);
			at += n;
		}
		end_stream(&c);
		assert_string_equal(client_until(&c, NULL, text), "the end");
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

/* A client that writes without reading is stopped before the server holds all of it; when it reads at
 * last, every byte is there. */
static void
passages_push_back(void **state)
{
	struct door_rig *f = *state;
	static uint8_t piece[65536];
	struct client c = { client_connect("127.0.0.1", f->http_port), NULL };
	size_t sent = 0, got = 0;
	char text[8192];

	client_say(&c, "POST /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	for (;;) {
		struct pollfd p = { c.fd, POLLOUT, 0 };

		for (size_t k = 0; k < sizeof(piece); k++)
			piece[k] = pattern(sent + k);
		if (poll(&p, 1, 300) == 0)
			break;
		ssize_t n = send(c.fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		assert_true(sent < FLOOD_BYTES);	/* the kernel's buffers, and not much more */
	}
	shutdown(c.fd, SHUT_WR);
	while (got < sent) {
		size_t n = client_recv(&c, piece, sent - got < sizeof(piece) ? sent - got : sizeof(piece));

		if (n == 0)
			fail_msg("ended at %zu of %zu", got, sent);
		for (size_t k = 0; k < n; k++)
			if (piece[k] != pattern(got + k))
				fail_msg("byte %zu", got + k);
		got += n;
	}
	assert_string_equal(client_until(&c, NULL, text), "the end");
	client_close(&c);
	door_rig_expect_conns(f, 0);
}

static void
passages_end_well(void **state)
{
	struct door_rig *f = *state;
	char text[8192];

	for (int i = 0; i < 2; i++) {
		/* an answer after the client's end of stream */
		struct client c = client_open(f, f->http_port, i == 0);

		client_say(&c, "POST /late HTTP/1.1\r\nHost: h\r\n\r\nsome bytes");
		end_stream(&c);
		assert_string_equal(client_until(&c, NULL, text), "the end");
		client_close(&c);
		/* refused without a word */
		c = client_open(f, f->http_port, i == 0);
		client_say(&c, "GET /drop HTTP/1.1\r\nHost: h\r\n\r\n");
		expect_start(client_until(&c, NULL, text), "HTTP/1.1 503 ");
		client_close(&c);
		/* the client goes away in the middle */
		c = client_open(f, f->http_port, i == 0);
		client_say(&c, "POST /echo HTTP/1.1\r\nHost: h\r\n\r\nabc");
		client_until(&c, "abc", text);
		client_close(&c);
	}
	door_rig_expect_conns(f, 0);
}

static void
passages_come_back_for_upgrades(void **state)
{
	static const char back[] = "GET /back HTTP/1.1\r\nHost: h\r\n"
	    "Connection: upgrade\r\nUpgrade: %s\r\n\r\n";
	struct door_rig *f = *state;
	char text[8192], request[256];

	for (int i = 0; i < 4; i++) {
		struct client c = client_open(f, f->http_port, i % 2 == 0);

		client_say(&c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c, "passed", text);
		client_say(&c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c, "passed", text);
		snprintf(request, sizeof(request), back, i < 2 ? "LINE" : "other");
		client_say(&c, request);
		client_until(&c, "before", text);
		if (i < 2) {
			expect_start(client_until(&c, "127.0.0.1 left over\n", text), "HTTP/1.1 101 ");
		} else {
			expect_start(client_until(&c, NULL, text), "HTTP/1.1 426 ");
		}
		client_close(&c);
	}
	/* bytes that libmicrohttpd's side did not read cannot be had back: cut off, not mangled */
	struct client c = client_open(f, f->http_port, false);
	client_say(&c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c, "passed", text);
	snprintf(request, sizeof(request), back, "LINE");
	strcat(request, "unread\n");
	client_say(&c, request);
	assert_string_equal(client_until(&c, NULL, text), "before");
	client_close(&c);
	door_rig_expect_conns(f, 0);
	/* a path that the door answers itself, and a passage again */
	c = client_open(f, f->http_port, true);
	for (int i = 0; i < 3; i++) {
		client_say(&c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c, "passed", text);
		client_say(&c, "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
		client_until(&c, "GET 127.0.0.1 tls", text);
	}
	client_close(&c);
	/* a name of a passage that has gone */
	struct buf none = { 0 };
	door_pass_upgrade(f->d, (struct conn_ref){ 0, 0, 1 }, &none, &none);
	door_pass_upgrade(f->d, (struct conn_ref){ 0, 0, 0 }, &none, &none);
}

/* --- start and stop --------------------------------------------------------------------------- */

static void
listen_errors_are_sentences(void **state)
{
	struct door_rig *f = *state;
	char item[64], *items[1] = { item };
	static const struct { const char *item, *want; enum err rc; } cases[] = {
		{ NULL, "is in use by another program", ERR_IO },
		{ "192.0.2.1:0", "192.0.2.1 is not an address of this machine", ERR_IO },
		{ "localhost:80", "\"localhost:80\" is not an address and port", ERR_INVAL },
		{ ":http", "\":http\" is not an address and port", ERR_INVAL },
	};

	door_rig_start(f);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config cfg = f->cfg;
		struct worker_group *g = NULL;
		struct err_text why = { "" };
		struct door *d = NULL;

		snprintf(item, sizeof(item), "127.0.0.1:%u", f->https_port);
		if (cases[i].item != NULL)
			snprintf(item, sizeof(item), "%s", cases[i].item);
		cfg.listen_http = (struct config_list){ items, 1 };
		assert_int_equal(worker_group_new(1, &g, &why), ERR_OK);
		assert_int_equal(door_new(&cfg, g, f->tls, &d, &why), ERR_OK);
		assert_int_equal(door_listen(d, &why), cases[i].rc);
		if (strstr(why.s, cases[i].want) == NULL)
			fail_msg("%s", why.s);
		door_free(d);
		worker_group_free(g);
	}
	struct config cfg = f->cfg;
	struct worker_group *g = NULL;
	struct err_text why = { "" };
	struct door *d = NULL;
	strcpy(item, "10.0.0.1/8");
	cfg.trusted_proxies = (struct config_list){ items, 1 };
	assert_int_equal(worker_group_new(1, &g, &why), ERR_OK);
	assert_int_equal(door_new(&cfg, g, f->tls, &d, &why), ERR_INVAL);
	assert_non_null(strstr(why.s, "trusted_proxies: \"10.0.0.1/8\""));
	worker_group_free(g);
}

/* Without descriptors the door pauses and goes on later, and nobody who queued is lost. */
static void
no_descriptors_is_a_pause(void **state)
{
	struct door_rig *f = *state;
	struct rlimit old, low;
	char text[8192];
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(f->http_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct client c = { socket(AF_INET, SOCK_STREAM, 0), NULL };

	log_set_level(LOG_ERROR);
	assert_true(c.fd >= 0);
	int lowest = dup(c.fd);		/* the lowest free one */
	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(connect(c.fd, (struct sockaddr *)(void *)&sa, sizeof(sa)), 0);
	client_say(&c, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n");
	struct pollfd p = { c.fd, POLLIN, 0 };
	int n_ready = poll(&p, 1, 100);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(n_ready, 0);
	expect_start(client_until(&c, NULL, text), "HTTP/1.1 200 ");
	client_close(&c);
}

static void *
storm_main(void *arg)
{
	struct door_rig *f = arg;
	char text[8192];

	for (int i = 0; i < 8; i++) {
		struct client c = client_open(f, f->https_port, true);

		client_say(&c, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n");
		expect_start(client_until(&c, NULL, text), "HTTP/1.1 200 ");
		client_close(&c);
	}
	return NULL;
}

/* More handshakes at once than one turn may run: all are served. */
static void
a_storm_of_handshakes_is_served(void **state)
{
	struct door_rig *f = *state;
	pthread_t threads[24];

	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_main, f), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		pthread_join(threads[i], NULL);
	door_rig_expect_conns(f, 0);
}

/* Stopping ends connections in every state; teardown proves that nothing is left or lost. */
static void
stop_ends_everything(void **state)
{
	struct door_rig *f = *state;
	struct client c[5];
	char text[8192];

	for (int i = 0; i < 5; i++)
		c[i] = client_open(f, f->https_port, i == 1 || i == 3);
	client_say(&c[2], "GET /wh");
	client_say(&c[3], "POST /echo HTTP/1.1\r\nHost: h\r\n\r\nabc");
	client_until(&c[3], "abc", text);
	client_say(&c[4], "GET /who HTTP/1.1\r\nHost: h\r\n\r\n");
	client_until(&c[4], "127.0.0.1 plain", text);
	door_rig_expect_conns(f, 5);
	door_close(f->d);
	worker_group_stop(f->g);
	for (int i = 0; i < 5; i++) {
		client_until(&c[i], NULL, text);
		client_close(&c[i]);
	}
	assert_int_equal(worker_group_conns(f->g), 0);
}

#define STARTED(name) \
	cmocka_unit_test_setup_teardown(name, door_rig_setup_started, door_rig_teardown)
#define CONFIGURED(name) cmocka_unit_test_setup_teardown(name, door_rig_setup, door_rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STARTED(passages_carry_both_ways),
		STARTED(passages_push_back),
		STARTED(passages_end_well),
		STARTED(passages_come_back_for_upgrades),
		CONFIGURED(listen_errors_are_sentences),
		STARTED(no_descriptors_is_a_pause),
		STARTED(a_storm_of_handshakes_is_served),
		STARTED(stop_ends_everything),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
