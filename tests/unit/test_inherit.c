/* links: */
/* Sockets that were given: found by what they are bound to, once; what nobody wants is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/inherit.h"

static int
bound(int type, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static struct net_addr
loopback(uint16_t port)
{
	return (struct net_addr){ .ip = { .family = 4, .b = { 127, 0, 0, 1 } }, .port = port };
}

static void
test_by_address(void **state)
{
	uint16_t tcp_port, udp_port;
	int tcp = bound(SOCK_STREAM, &tcp_port), udp = bound(SOCK_DGRAM, &udp_port);
	struct net_addr a;

	(void)state;
	inherit_add_take(tcp);
	inherit_add_take(udp);
	assert_true(fcntl(tcp, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(tcp, F_GETFD) & FD_CLOEXEC);
	a = loopback((uint16_t)(tcp_port ^ 1));
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), -1);
	a = loopback(tcp_port);
	a.ip.b[3] = 2;
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), -1);
	a = (struct net_addr){ .port = tcp_port };
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), -1);
	a = loopback(0);
	assert_int_equal(inherit_take_ip(SOCK_DGRAM, &a), udp);
	assert_int_equal(a.port, udp_port);
	a = loopback(tcp_port);
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), tcp);
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), -1);	/* once */
	close(tcp);
	close(udp);
}

static void
test_unix(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/fairlead-inherit-XXXXXX";
	int fd[2];

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%d", dir, i);
		assert_int_equal(bind(fd[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
		inherit_add_take(fd[i]);
	}
	assert_int_equal(inherit_take_unix("/nowhere"), -1);
	assert_int_equal(inherit_take_unix(sa.sun_path), fd[1]);
	unlink(sa.sun_path);
	inherit_add_take(fd[1]);	/* its file is gone: nobody would find it */
	assert_int_equal(inherit_take_unix(sa.sun_path), -1);
	inherit_close_rest();
	assert_int_equal(fcntl(fd[0], F_GETFD), -1);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/0", dir);
	assert_int_equal(access(sa.sun_path, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_no_socket(void **state)
{
	int pipes[2], plain = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	inherit_add_take(pipes[0]);
	inherit_add_take(plain);	/* bound to nothing */
	inherit_add_take(9999);
	assert_int_equal(fcntl(pipes[0], F_GETFD), -1);
	assert_int_equal(fcntl(plain, F_GETFD), -1);
	close(pipes[1]);
}

/* Of another process: not ours. */
static void
test_environment(void **state)
{
	char pid[16];
	uint16_t port;
	struct net_addr a;
	int fd = bound(SOCK_STREAM, &port), kept = fd == 3 ? -1 : dup(3);

	(void)state;
	assert_true(dup2(fd, 3) == 3);
	snprintf(pid, sizeof(pid), "%d", (int)getpid() + 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	inherit_environment();
	a = loopback(port);
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), -1);
	assert_null(getenv("LISTEN_FDS"));

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	inherit_environment();
	assert_int_equal(inherit_take_ip(SOCK_STREAM, &a), 3);
	assert_null(getenv("LISTEN_PID"));
	if (kept >= 0)
		dup2(kept, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_address), cmocka_unit_test(test_unix),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
