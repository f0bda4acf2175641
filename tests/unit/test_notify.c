/* links: server/notify */
/* What systemd is told, and that nothing is said where nobody asked. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/notify.h"

static char got[256];

/* A datagram socket at name ('@': abstract), named by the environment. */
static int
listen_at(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, name, n);
	if (name[0] == '@')
		sa.sun_path[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

/* The next datagram; "" if there is none. */
static const char *
next(int fd)
{
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	got[n > 0 ? n : 0] = '\0';
	return got;
}

static void
test_texts(void **state)
{
	char dir[] = "/tmp/fairlead-notify-XXXXXX", path[64], abstract[64];
	struct timespec now;
	unsigned long long us;
	(void)state;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(abstract, sizeof(abstract), "@%s", dir);
	const char *const names[] = { path, abstract };
	for (size_t i = 0; i < 2; i++) {
		int fd = listen_at(names[i]);
		notify_ready();
		assert_string_equal(next(fd), "READY=1\nSTATUS=serving\n");
		notify_reloading();
		assert_int_equal(sscanf(next(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &us), 1);
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_in_range(us, 1, (unsigned long long)now.tv_sec * 1000000 + 999999);
		notify_stopping();
		assert_memory_equal(next(fd), "STOPPING=1\n", 11);
		assert_string_equal(next(fd), "");
		close(fd);
	}
	unlink(path);
	rmdir(dir);
}

/* Nobody listens, no such name, a name that is none: never an end of the server. */
static void
test_nobody(void **state)
{
	static const char *const names[] = { "", "@", "/", "relative", "/nonexistent/notify",
		"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	char dir[] = "/tmp/fairlead-notify-XXXXXX", path[64];
	(void)state;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	int fd = listen_at(path);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
		notify_ready();
	}
	unsetenv("NOTIFY_SOCKET");
	notify_ready();
	assert_string_equal(next(fd), "");
	close(fd);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
