/* links: web/http web/http_run web/http_back web/http_req web/http_unix web/router web/auth web/http_who web/http_stream web/form web/auth_text web/scope coord/cred coord/tag coord/user */
/* The Unix socket of the fairlead command: its file, its mode, who the peer is. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "web/flapi.h"

#include "fake_creds.h"

#define TURNS_MAX	20000

struct fixture {
	struct event_base *base;
	struct http *h;
	struct config cfg;
	char dir[64], path[96];
};

static void
on_thing(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_printf(&b, "{\"id\":\"%s\",\"who\":\"%s\"}", q->params[0], q->who.actor.name);
	http_reply_json_take(q, 200, &b);
}

static const struct http_route routes[] = {
	{ "DELETE", "/api/things/{id}", HTTP_WRITE, false, on_thing },
};

struct tailnet *
coord_tailnet(struct coord *c, const char *name)
{
	(void)c;
	(void)name;
	return NULL;
}

void
flapi_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}

static int
setup(void **state)
{
	struct fixture *f = obj_alloc(sizeof(*f));

	f->cfg.limits.conns = 100;
	f->base = event_base_new();
	snprintf(f->dir, sizeof(f->dir), "/tmp/fairlead-test-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/run/x.sock", f->dir);
	*state = f;
	return http_new(f->base, &f->cfg, NULL, &f->h, NULL) == ERR_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char sub[80];

	http_free(f->h);
	event_base_free(f->base);
	snprintf(sub, sizeof(sub), "%s/run", f->dir);
	unlink(f->path);
	rmdir(sub);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* One request on a new connection; the whole answer until the server closes. */
static void
ask(struct fixture *f, const char *request, struct buf *in)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char bytes[4096];
	ssize_t n = -1;

	memcpy(sa.sun_path, f->path, sizeof(f->path));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	for (unsigned i = 0; i < TURNS_MAX && n != 0; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		if ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
			buf_append(in, bytes, (size_t)n);
	}
	assert_int_equal(n, 0);
	close(fd);
}

static void
test_unix_socket(void **state)
{
	static const char request[] =
	    "DELETE /api/things/a%2Fb%20c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct fixture *f = *state;
	struct err_text why;
	struct stat st;
	char want[160];

	assert_int_equal(http_listen_unix(f->h, f->path, &why), ERR_OK);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	struct buf in = { .len = 0 };
	ask(f, request, &in);
	snprintf(want, sizeof(want), "{\"id\":\"a/b c\",\"who\":\"local uid %u\"}", (unsigned)getuid());
	assert_non_null(strstr(buf_cstr(&in), want));
	buf_fini(&in);

	struct http *other;
	assert_int_equal(http_new(f->base, &f->cfg, NULL, &other, NULL), ERR_OK);
	assert_int_equal(http_listen_unix(other, f->path, &why), ERR_EXISTS);
	snprintf(want, sizeof(want), "another server answers at the socket %s", f->path);
	assert_string_equal(why.s, want);
	http_free(other);
	assert_int_equal(access(f->path, F_OK), 0);
	http_free(f->h);
	f->h = NULL;
	assert_int_equal(access(f->path, F_OK), -1);
}

static void
test_unix_socket_places(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct err_text why;
	char want[160], sub[80], too_long[200];

	snprintf(sub, sizeof(sub), "%s/run", f->dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	/* Left by a server that was killed. */
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(http_listen_unix(f->h, f->path, &why), ERR_OK);
	http_free(f->h);

	assert_int_equal(http_new(f->base, &f->cfg, NULL, &f->h, NULL), ERR_OK);
	FILE *file = fopen(f->path, "we");
	fclose(file);
	assert_int_equal(http_listen_unix(f->h, f->path, &why), ERR_IO);
	snprintf(want, sizeof(want), "%s is in the way: it is not a socket", f->path);
	assert_string_equal(why.s, want);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[0] = '/';
	too_long[sizeof(too_long) - 1] = 0;
	assert_int_equal(http_listen_unix(f->h, too_long, &why), ERR_IO);
	assert_int_equal(http_listen_unix(f->h, "/nonexistent-dir/x/y.sock", &why), ERR_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_unix_socket), TEST(test_unix_socket_places) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
