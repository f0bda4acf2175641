/* links: server/metrics_port server/door_http */
/* The metrics port: what it shows and to whom, whole and in pieces, and its bounds. */
#include "server/metrics_port.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/metrics.h"
#include "base/obj.h"

static struct event_base *base;
static struct metrics_port *port;

static int
setup(void **state)
{
	struct err_text why;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	assert_int_equal(metrics_port_open(base, "127.0.0.1:0", &port, &why), ERR_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	metrics_port_close(port);
	event_base_free(base);
	return 0;
}

static int
dial(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(metrics_port_number(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void
turn(void)
{
	for (int i = 0; i < 10; i++)
		assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
}

/* Everything until the port closes. */
static void
read_all(int fd, char *text, size_t cap)
{
	size_t n = 0;

	for (unsigned tries = 0;; tries++) {
		ssize_t k = recv(fd, text + n, cap - 1 - n, MSG_DONTWAIT);

		assert_true(tries < 100000);
		if (k > 0)
			n += (size_t)k;
		else if (k == 0)
			break;
		else
			turn();
	}
	text[n] = '\0';
	close(fd);
}

static void
ask(const char *request, char *text, size_t cap)
{
	int fd = dial();

	assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	read_all(fd, text, cap);
}

static void
test_answers(void **state)
{
	static const struct { const char *request, *start, *holds; } cases[] = {
		{ "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\nderp_accepts 7\n" },
		{ "GET /debug/varz?x HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\nderp_accepts 7\n" },
		{ "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		    "\nprocess_resident_memory_bytes " },
		{ "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		    "\nfairlead_build_info{version=\"" },
		{ "GET /metrics HTTP/1.1\r\nHost: h\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
		    "HTTP/1.1 403 Forbidden\r\n", "not through a proxy\n" },
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "/metrics" },
		{ "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		    "HTTP/1.1 405 Method Not Allowed\r\n", "use GET" },
		{ "nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "" },
	};
	char text[65536];

	(void)state;
	metric_set(METRIC_DERP_ACCEPTS, 7);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ask(cases[i].request, text, sizeof text);
		assert_memory_equal(text, cases[i].start, strlen(cases[i].start));
		assert_non_null(strstr(text, cases[i].holds));
	}
	ask("HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n", text, sizeof text);
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	metric_set(METRIC_DERP_ACCEPTS, 0);
}

/* Every sample belongs to a family that was announced before, and no name comes twice. */
static void
test_exposition(void **state)
{
	struct buf b = { .p = NULL };
	char family[128] = "";
	bool is_histogram = false;
	char *save = NULL;
	unsigned n = 0;

	(void)state;
	metrics_port_put(&b);
	for (char *line = strtok_r((char *)(uintptr_t)buf_cstr(&b), "\n", &save); line != NULL;
	    line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "# TYPE ", 7) == 0) {
			assert_int_equal(sscanf(line + 7, "%127s", family), 1);
			is_histogram = strcmp(line + 7 + strlen(family), " histogram") == 0;
		} else if (line[0] != '#') {
			size_t n_name = strcspn(line, "{ "), n_family = strlen(family);

			assert_true(n_name >= n_family);
			assert_memory_equal(line, family, n_family);
			/* Only the rows of a histogram have more behind it. */
			if (n_name > n_family)
				assert_true(is_histogram && line[n_family] == '_');
			assert_non_null(strchr(line, ' '));
			n++;
		}
	}
	assert_true(n >= METRIC_COUNT);
	buf_fini(&b);
}

static void
test_request_in_pieces(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";
	char text[65536];
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof request - 1; i++) {
		assert_int_equal(send(fd, request + i, 1, 0), 1);
		turn();
	}
	read_all(fd, text, sizeof text);
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
}

static void
test_bounds(void **state)
{
	char text[65536], junk[8192];
	int fds[16], late;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		fds[i] = dial();
		turn();
	}
	late = dial();
	read_all(late, text, sizeof text);
	assert_string_equal(text, "");		/* no room for one more */
	memset(junk, 'a', sizeof junk);
	assert_int_equal(send(fds[0], junk, sizeof junk, 0), (ssize_t)sizeof junk);
	read_all(fds[0], text, sizeof text);
	assert_memory_equal(text, "HTTP/1.1 400 ", 13);
	ask("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", text, sizeof text);
	assert_memory_equal(text, "HTTP/1.1 200 ", 13);
	for (size_t i = 1; i < COUNT_OF(fds); i++)
		close(fds[i]);
	turn();
}

static void
test_address_in_use(void **state)
{
	struct metrics_port *other = NULL;
	struct err_text why = { "" };
	char addr[32];

	(void)state;
	snprintf(addr, sizeof addr, "127.0.0.1:%u", (unsigned)metrics_port_number(port));
	assert_int_equal(metrics_port_open(base, addr, &other, &why), ERR_IO);
	assert_null(other);
	assert_non_null(strstr(why.s, addr));
	assert_int_equal(metrics_port_open(base, "nowhere", &other, &why), ERR_INVAL);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_answers), T(test_exposition), T(test_request_in_pieces), T(test_bounds),
		T(test_address_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
