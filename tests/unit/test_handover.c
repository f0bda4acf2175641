/* links: server/handover server/handover_wire server/handover_spawn server/datadir server/notify server/takeover */
/* Both sides of a graceful restart, each against a scripted other: order, refusals, ends in every state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/datadir.h"
#include "server/handover.h"
#include "server/handover_wire.h"
#include "server/takeover.h"
#include "web/flapi.h"

/* --- a server that hands over ------------------------------------------------------------------- */

static struct {
	char dir[64];
	struct event_base *base;
	struct handover *h;
	int lock_fd;
	int socket;			/* one listener */
	bool accepts, pauses_at_once, cannot_resume;
	unsigned n_paused, n_resumed, n_left, n_left_ok;
	int status;			/* of the answer to POST /restart */
} f;

static unsigned
sockets(void *arg, int *out, unsigned max)
{
	(void)arg;
	assert_true(max >= 1);
	out[0] = f.socket;
	return 1;
}

static void
accept_or_not(void *arg, bool does)
{
	(void)arg;
	f.accepts = does;
}

static void
pause_all(void *arg)
{
	(void)arg;
	f.n_paused++;
	if (f.pauses_at_once)
		handover_paused(f.h);
}

static enum err
resume(void *arg, struct err_text *why)
{
	(void)arg;
	f.n_resumed++;
	return f.cannot_resume ? err_say(why, ERR_IO, "no database") : ERR_OK;
}

static void
leave(void *arg, bool is_ok)
{
	(void)arg;
	f.n_left++;
	f.n_left_ok += is_ok;
}

static const struct handover_hooks hooks = {
	.sockets = sockets, .accept = accept_or_not, .pause = pause_all, .resume = resume, .leave = leave,
};
static const struct handover_times times = {
	.hello_ms = 300, .begin_ms = 300, .pause_ms = 300, .load_ms = 300, .reclaim_ms = 300,
};

/* The module's route is exercised by the scenarios: here nothing asks over HTTP. */
void
http_routes_for(struct http *h, const struct http_route *table, size_t n, void *arg)
{
	(void)h;
	(void)table;
	(void)n;
	(void)arg;
}

void
http_reply_error(struct http_req *q, int status, const char *fmt, ...)
{
	(void)q;
	(void)fmt;
	f.status = status;
}

void
http_reply_err(struct http_req *q, enum err rc, const struct err_text *why)
{
	(void)q;
	(void)why;
	f.status = (int)rc;
}

void
http_reply_json_take(struct http_req *q, int status, struct buf *body)
{
	(void)q;
	buf_fini(body);
	f.status = status;
}

static void
old_start(bool has_manager)
{
	struct err_text why;
	const struct handover_params p = {
		.base = f.base, .data_dir = f.dir, .lock_fd = &f.lock_fd, .hooks = &hooks, .times = &times,
		.has_manager = has_manager,
	};

	assert_int_equal(datadir_open(f.dir, &f.lock_fd, &why), ERR_OK);
	assert_int_equal(handover_new(&p, &f.h, &why), ERR_OK);
}

static int
set_up(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)state;
	memset(&f, 0, sizeof(f));
	f.lock_fd = -1;
	f.accepts = f.pauses_at_once = true;
	strcpy(f.dir, "/tmp/fairlead-handover-XXXXXX");
	f.base = event_base_new();
	f.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return mkdtemp(f.dir) != NULL && f.base != NULL &&
	    bind(f.socket, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(f.socket, 4) == 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	handover_free(f.h);
	datadir_close(&f.lock_fd);
	close(f.socket);
	event_base_free(f.base);
	snprintf(command, sizeof(command), "rm -rf %s", f.dir);
	return system(command);
}

static void
turns(int64_t ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	event_base_loopexit(f.base, &tv);
	event_base_dispatch(f.base);
}

/* --- a scripted new server ---------------------------------------------------------------------- */

static int
new_connect(void)
{
	struct sockaddr_un sa;
	int dir_fd, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(handover_wire_address(f.dir, &sa, &dir_fd), ERR_OK);
	assert_int_equal(dir_fd, -1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void
say(int fd, enum handover_type type, const char *text)
{
	assert_int_equal(handover_wire_send(fd, type, text, NULL, 0), ERR_OK);
}

/* The old one's next message has this type. */
static void
hear(int fd, enum handover_type type, struct handover_msg *m)
{
	struct handover_msg own;

	m = m != NULL ? m : &own;
	for (int i = 0; i < 100; i++) {
		enum err rc = handover_wire_recv(fd, 0, m);
		if (rc == ERR_OK) {
			assert_int_equal(m->type, type);
			for (unsigned k = 0; k < m->n_fds; k++)
				close(m->fds[k]);
			return;
		}
		assert_int_equal(rc, ERR_AGAIN);
		turns(10);
	}
	fail_msg("nothing came");
}

static bool
lock_is_free(void)
{
	int fd = -1;
	struct err_text why;
	bool is_free = datadir_open(f.dir, &fd, &why) == ERR_OK;

	datadir_close(&fd);
	return is_free;
}

/* As far as having the database. */
static int
new_has_database(void)
{
	int fd = new_connect();

	say(fd, HANDOVER_HELLO, "1 99999999 vnext");
	hear(fd, HANDOVER_OFFER, NULL);
	assert_true(f.accepts);
	say(fd, HANDOVER_GIVE, NULL);
	hear(fd, HANDOVER_YOURS, NULL);
	assert_false(f.accepts);
	assert_int_equal(f.n_paused, 1);
	return fd;
}

static void
assert_as_before(void)
{
	turns(20);
	for (int i = 0; i < 100 && (!f.accepts || f.lock_fd < 0); i++)
		turns(10);
	assert_true(f.accepts);
	assert_true(f.lock_fd >= 0);
	assert_false(lock_is_free());
	assert_int_equal(f.n_left, 0);
	assert_int_equal(f.n_resumed, f.n_paused);
	/* and it can be asked again */
	f.n_paused = f.n_resumed = 0;
	int fd = new_has_database();
	say(fd, HANDOVER_LOADED, NULL);
	hear(fd, HANDOVER_SERVE, NULL);
	assert_int_equal(f.n_left_ok, 1);
	close(fd);
}

static void
test_whole(void **state)
{
	struct handover_msg m;
	const char *version;
	pid_t pid;

	(void)state;
	old_start(false);
	int fd = new_connect();
	say(fd, HANDOVER_HELLO, "1 12345 vnext");
	hear(fd, HANDOVER_OFFER, &m);
	assert_int_equal(m.n_fds, 1);
	assert_int_equal(handover_wire_who_parse(&m, &pid, &version), ERR_OK);
	assert_int_equal(pid, getpid());
	assert_false(lock_is_free());
	assert_int_equal(f.n_paused, 0);
	say(fd, HANDOVER_GIVE, NULL);
	hear(fd, HANDOVER_YOURS, NULL);
	assert_true(lock_is_free());
	assert_int_equal(f.n_left, 0);
	say(fd, HANDOVER_LOADED, NULL);
	hear(fd, HANDOVER_SERVE, NULL);
	assert_int_equal(f.n_left, 1);
	assert_int_equal(f.n_left_ok, 1);
	assert_int_equal(f.n_resumed, 0);
	close(fd);
	turns(50);
	assert_int_equal(f.lock_fd, -1);
	assert_true(lock_is_free());
}

/* Gone, failed or silly at every step: the old one is as before. */
static void
test_new_fails(void **state)
{
	static const struct { const char *says; enum handover_type last; } ways[] = {
		{ "", 0 },			/* closes at once */
		{ "H", 0 },
		{ "HG", 0 },
		{ "H", HANDOVER_FAILED },
		{ "HG", HANDOVER_FAILED },
		{ "", HANDOVER_GIVE },		/* out of turn */
		{ "", HANDOVER_LOADED },
		{ "H", HANDOVER_LOADED },
		{ "H", HANDOVER_HELLO },
		{ "HG", HANDOVER_GIVE },
	};

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		if (i > 0) {
			tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
		old_start(false);
		int fd = new_connect();
		for (const char *p = ways[i].says; *p != '\0'; p++) {
			say(fd, (enum handover_type)*p, "1 99999999 vnext");
			hear(fd, *p == 'H' ? HANDOVER_OFFER : HANDOVER_YOURS, NULL);
		}
		if (ways[i].last != 0) {
			say(fd, ways[i].last, "1 99999999 vnext");
			hear(fd, HANDOVER_FAILED, NULL);
		}
		close(fd);
		assert_as_before();
	}
}

static void
test_other_form(void **state)
{
	static const char *const bad[] = { "", "2 17 v", "1", "1 -4 v", "1 x v", "1 99999999999999 v" };
	static const char *const garbage[] = { "\0", "x", "hello, world" };

	(void)state;
	old_start(false);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		int fd = new_connect();
		say(fd, HANDOVER_HELLO, bad[i]);
		hear(fd, HANDOVER_FAILED, NULL);
		close(fd);
		turns(10);
	}
	for (size_t i = 0; i < COUNT_OF(garbage); i++) {
		int fd = new_connect();
		assert_true(send(fd, garbage[i], i == 0 ? 1 : strlen(garbage[i]), 0) > 0);
		hear(fd, HANDOVER_FAILED, NULL);
		close(fd);
		turns(10);
	}
	assert_as_before();
}

static void
test_one_at_a_time(void **state)
{
	(void)state;
	old_start(false);
	int first = new_connect();
	say(first, HANDOVER_HELLO, "1 99999999 vnext");
	hear(first, HANDOVER_OFFER, NULL);
	int second = new_connect();
	say(second, HANDOVER_HELLO, "1 99999999 vnext");	/* unread when it is refused */
	hear(second, HANDOVER_FAILED, NULL);
	close(second);
	say(first, HANDOVER_GIVE, NULL);
	hear(first, HANDOVER_YOURS, NULL);
	say(first, HANDOVER_LOADED, NULL);
	hear(first, HANDOVER_SERVE, NULL);
	close(first);
}

static void
test_manager(void **state)
{
	(void)state;
	old_start(true);
	int fd = new_connect();
	hear(fd, HANDOVER_FAILED, NULL);
	close(fd);
}

/* Silence: in each state the time comes. The one that has the database is killed. */
static void
test_silence(void **state)
{
	(void)state;
	old_start(false);
	int fd = new_connect();
	turns(400);
	hear(fd, HANDOVER_FAILED, NULL);
	close(fd);

	fd = new_connect();
	say(fd, HANDOVER_HELLO, "1 99999999 vnext");
	hear(fd, HANDOVER_OFFER, NULL);
	turns(400);
	hear(fd, HANDOVER_FAILED, NULL);
	close(fd);
	assert_int_equal(f.n_paused, 0);

	pid_t pid = fork();
	if (pid == 0) {
		int own = new_connect(), lock = -1;
		struct handover_msg m;
		struct err_text why;

		say(own, HANDOVER_HELLO, "1 99999999 vnext");
		(void)!handover_wire_recv(own, 5000, &m);
		say(own, HANDOVER_GIVE, NULL);
		(void)!handover_wire_recv(own, 5000, &m);
		close(f.lock_fd);	/* fork has given us that of the old one too */
		_exit(datadir_open(f.dir, &lock, &why) == ERR_OK ? pause() : 3);
	}
	for (int i = 0; i < 500 && f.n_resumed == 0; i++)
		turns(10);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_as_before();
}

/* Our own last commit takes too long, or longer than the new one waits. */
static void
test_slow_pause(void **state)
{
	(void)state;
	f.pauses_at_once = false;
	old_start(false);
	int fd = new_connect();
	say(fd, HANDOVER_HELLO, "1 99999999 vnext");
	hear(fd, HANDOVER_OFFER, NULL);
	say(fd, HANDOVER_GIVE, NULL);
	hear(fd, HANDOVER_FAILED, NULL);
	assert_true(f.accepts);
	assert_int_equal(f.n_resumed, 0);
	assert_false(lock_is_free());
	/* A second one finds it still busy. */
	int second = new_connect();
	hear(second, HANDOVER_FAILED, NULL);
	close(second);
	handover_paused(f.h);
	assert_int_equal(f.n_resumed, 1);
	close(fd);
	f.pauses_at_once = true;
	assert_as_before();
}

static void
wait_left(void)
{
	for (int i = 0; i < 100 && f.n_left == 0; i++)
		turns(10);
	assert_int_equal(f.n_left, 1);
}

/* There is no way back: it says so and ends. */
static void
test_no_way_back(void **state)
{
	struct err_text why;
	int fd, other = -1;

	(void)state;
	f.cannot_resume = true;
	old_start(false);
	close(new_has_database());
	wait_left();
	assert_int_equal(f.n_left_ok, 0);

	tear_down(state);
	assert_int_equal(set_up(state), 0);
	old_start(false);
	fd = new_has_database();
	/* Somebody else has it by then. */
	assert_int_equal(datadir_open(f.dir, &other, &why), ERR_OK);
	close(fd);
	wait_left();
	assert_int_equal(f.n_left_ok, 0);
	assert_int_equal(f.n_resumed, 0);
	datadir_close(&other);
}

/* --- the new side against this old one ---------------------------------------------------------- */

static atomic_bool is_over;

static void *
run_old(void *arg)
{
	(void)arg;
	while (f.n_left == 0 && !atomic_load(&is_over))
		turns(10);
	return NULL;
}

static void
test_takeover(void **state)
{
	struct takeover *t = NULL;
	struct err_text why = { "" };
	struct net_addr a = { .ip = { .family = 4, .b = { 127, 0, 0, 1 } } };
	int lock_fd = -1;
	pthread_t thread;

	(void)state;
	/* none there: the lock at once */
	assert_int_equal(takeover_begin(f.dir, &t, &lock_fd, &why), ERR_OK);
	assert_null(t);
	assert_true(lock_fd >= 0);
	datadir_close(&lock_fd);

	old_start(false);
	assert_int_equal(pthread_create(&thread, NULL, run_old, NULL), 0);
	assert_int_equal(takeover_begin(f.dir, &t, &lock_fd, &why), ERR_OK);
	assert_non_null(t);
	assert_int_equal(lock_fd, -1);
	int fd = inherit_take_ip(SOCK_STREAM, &a);
	assert_true(fd >= 0 && a.port != 0);
	close(fd);
	assert_int_equal(takeover_database(t, &lock_fd, &why), ERR_OK);
	assert_true(lock_fd >= 0);
	assert_int_equal(takeover_serve(t, &why), ERR_OK);
	takeover_free(t, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(f.n_left_ok, 1);
	datadir_close(&lock_fd);
}

/* An old one that dies has consented; one that lives and refuses has not. */
static void
test_takeover_of_the_dying(void **state)
{
	struct takeover *t = NULL;
	struct err_text why = { "" };
	int lock_fd = -1, ready[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		f.base = event_base_new();
		old_start(false);
		if (write(ready[1], "", 1) != 1)
			_exit(3);
		/* ends some time after it has offered its sockets */
		turns(150);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(takeover_begin(f.dir, &t, &lock_fd, &why), ERR_OK);
	assert_non_null(t);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(takeover_database(t, &lock_fd, &why), ERR_OK);
	assert_true(lock_fd >= 0);
	assert_int_equal(takeover_serve(t, &why), ERR_OK);
	takeover_free(t, NULL);
	datadir_close(&lock_fd);
	inherit_close_rest();

	old_start(true);
	pthread_t thread;
	t = NULL;
	assert_int_equal(pthread_create(&thread, NULL, run_old, NULL), 0);
	assert_int_equal(takeover_begin(f.dir, &t, &lock_fd, &why), ERR_DENIED);
	assert_null(t);
	assert_non_null(strstr(why.s, "fairlead restart"));
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	close(ready[0]);
	close(ready[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_form, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_manager, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slow_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_way_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_takeover, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_takeover_of_the_dying, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
