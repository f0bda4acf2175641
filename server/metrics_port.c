/* A small HTTP server for scrapers: bounded in connections, request size and time. */
#include "server/metrics_port.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/inherit.h"
#include "base/list.h"
#include "base/metrics.h"
#include "base/net.h"
#include "base/obj.h"
#include "server/door_http.h"

#define PORT_MAGIC		0x3e781c50u
#define CONN_MAGIC		0x3e781c51u
#define CONNS_MAX		16
#define HEAD_MAX_BYTES		8192
#define CONN_S			10	/* for the request and for each part of the answer */
#define BACKLOG			16

struct metrics_port {
	uint32_t magic;
	int fd;
	uint16_t number;
	struct event_base *base;	/* borrowed */
	struct event *accept;
	unsigned n_conns;
	LIST_HEAD(, conn) conns;
};

struct conn {
	uint32_t magic;
	int fd;
	bool is_answering;
	struct metrics_port *port;
	struct event *ev;
	struct buf in, out;		/* out: from sent on it is to be sent */
	size_t sent;
	LIST_ENTRY(conn) link;
};

static const struct timeval conn_time = { .tv_sec = CONN_S };

/* --- what is shown ---------------------------------------------------------------------------- */

static void
put_one(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

/* Since when this process runs, as far as anybody has asked. */
static double
uptime_s(void)
{
	struct timespec boot;
	unsigned long long ticks = 0;
	char text[1024];
	const char *p;
	FILE *f = fopen("/proc/self/stat", "re");

	if (f == NULL)
		return 0;
	p = fgets(text, sizeof text, f);
	fclose(f);
	/* the 22nd word; the second is in brackets and may hold anything */
	if (p == NULL || (p = strrchr(text, ')')) == NULL)
		return 0;
	for (unsigned i = 0; i < 20 && p != NULL; i++)
		p = strchr(p + 1, ' ');
	if (p == NULL || sscanf(p, "%llu", &ticks) != 1)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (double)boot.tv_sec + (double)boot.tv_nsec / 1e9 -
	    (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void
put_process(struct buf *out)
{
	struct rusage r;
	struct stat st;
	unsigned long resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL) {
		if (fscanf(f, "%*u %lu", &resident) == 1)
			put_one(out, "process_resident_memory_bytes", "gauge", "memory in use",
			    (double)resident * (double)sysconf(_SC_PAGESIZE));
		fclose(f);
	}
	if (getrusage(RUSAGE_SELF, &r) == 0)
		put_one(out, "process_cpu_seconds_total", "counter", "processor time used",
		    (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
		    (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6);
	/* The kernel counts them there since 6.2; before that it says 0, and to count ten thousand by
	 * hand would take milliseconds. */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
		put_one(out, "process_open_fds", "gauge", "descriptors open", (double)st.st_size);
		put_one(out, "derp_current_file_descriptors", "gauge", "descriptors open",
		    (double)st.st_size);
	}
	put_one(out, "process_start_time_seconds", "gauge", "when the process began, unix time",
	    (double)clock_wall_s() - uptime_s());
	put_one(out, "uptime_sec", "gauge", "seconds since the process began", uptime_s());
}

void
metrics_port_put(struct buf *out)
{
	metrics_put(out);
	put_process(out);
	buf_str(out, "# HELP fairlead_build_info version of the program\n"
	    "# TYPE fairlead_build_info gauge\n"
	    "fairlead_build_info{version=\"" FAIRLEAD_VERSION "\"} 1\n");
}

/* --- one request ------------------------------------------------------------------------------ */

static void
conn_free(struct conn *c)
{
	LIST_REMOVE(c, link);
	c->port->n_conns--;
	event_free(c->ev);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->magic = 0;
	free(c);
}

/* What the request gets; the body is appended to *body. */
static const char *
judge(const struct door_head *h, struct buf *body)
{
	if (door_http_field(h, "X-Forwarded-For").p != NULL) {
		buf_str(body, "not through a proxy\n");
		return "403 Forbidden";
	}
	if (!door_str_is(h->path, "/metrics") && !door_str_is(h->path, "/debug/varz")) {
		buf_str(body, "metrics are at /metrics\n");
		return "404 Not Found";
	}
	if (!door_str_is(h->method, "GET") && !door_str_is(h->method, "HEAD")) {
		buf_str(body, "use GET\n");
		return "405 Method Not Allowed";
	}
	metrics_port_put(body);
	return "200 OK";
}

static void
answer(struct conn *c, const struct door_head *h)
{
	struct buf body = { .p = NULL };
	const char *status = "400 Bad Request";

	if (h != NULL)
		status = judge(h, &body);
	buf_printf(&c->out, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n", status, body.len);
	if (h == NULL || !door_str_is(h->method, "HEAD"))
		buf_append(&c->out, body.p, body.len);
	buf_fini(&body);
	c->is_answering = true;
}

/* Reads the head and makes the answer. false: the connection has ended. */
static bool
conn_read(struct conn *c)
{
	uint8_t *room = buf_reserve(&c->in, HEAD_MAX_BYTES);
	ssize_t n = recv(c->fd, room, HEAD_MAX_BYTES - c->in.len, MSG_DONTWAIT);
	struct door_head h;
	enum err rc;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in.len += (size_t)n;
	rc = door_http_parse((const char *)c->in.p, c->in.len, &h);
	if (rc == ERR_OK)
		answer(c, &h);
	else if (rc != ERR_AGAIN || c->in.len == HEAD_MAX_BYTES)
		answer(c, NULL);
	return true;
}

static bool
conn_write(struct conn *c)
{
	ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)n;
	return c->sent < c->out.len;
}

static void
conn_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	bool goes_on = (what & EV_TIMEOUT) == 0;

	(void)fd;
	OBJ_CHECK(c, CONN_MAGIC);
	if (goes_on && !c->is_answering)
		goes_on = conn_read(c);
	if (goes_on && c->is_answering)
		goes_on = conn_write(c);
	if (!goes_on) {
		conn_free(c);
		return;
	}
	if (c->is_answering && (what & EV_WRITE) == 0) {
		event_del(c->ev);
		ASSERT(event_assign(c->ev, c->port->base, c->fd, EV_WRITE | EV_PERSIST, conn_on_event,
		    c) == 0);
		ASSERT(event_add(c->ev, &conn_time) == 0);
	}
}

/* --- the port --------------------------------------------------------------------------------- */

static void
port_on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct metrics_port *p = arg;
	struct conn *c;
	int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	OBJ_CHECK(p, PORT_MAGIC);
	if (accepted < 0)
		return;
	if (p->n_conns >= CONNS_MAX) {
		close(accepted);
		return;
	}
	c = obj_alloc(sizeof *c);
	c->magic = CONN_MAGIC;
	c->fd = accepted;
	c->port = p;
	c->ev = event_new(p->base, accepted, EV_READ | EV_PERSIST, conn_on_event, c);
	ASSERT(c->ev != NULL && event_add(c->ev, &conn_time) == 0);
	LIST_INSERT_HEAD(&p->conns, c, link);
	p->n_conns++;
}

static enum err
port_bind(int *fd, const char *text, struct err_text *why)
{
	struct sockaddr_storage sa;
	struct net_addr addr;
	socklen_t n;
	int one = 1;

	if (net_addr_parse(text, strlen(text), &addr) != ERR_OK)
		return err_say(why, ERR_INVAL, "\"%s\" is not an address and port", text);
	if ((*fd = inherit_take_ip(SOCK_STREAM, &addr)) >= 0)
		return ERR_OK;
	n = net_addr_to_sockaddr(&addr, &sa);
	*fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
	    bind(*fd, (struct sockaddr *)&sa, n) != 0 || listen(*fd, BACKLOG) != 0)
		return err_say(why, ERR_IO, "cannot listen on %s for metrics: %s", text, strerror(errno));
	return ERR_OK;
}

enum err
metrics_port_open(struct event_base *base, const char *addr, struct metrics_port **out,
	struct err_text *why)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof sa;
	struct metrics_port *p;
	struct net_addr bound;
	int fd = -1;
	enum err rc = port_bind(&fd, addr, why);

	if (rc != ERR_OK || getsockname(fd, (struct sockaddr *)&sa, &n) != 0) {
		if (fd >= 0)
			close(fd);
		return rc != ERR_OK ? rc : err_say(why, ERR_IO, "no address: %s", strerror(errno));
	}
	net_addr_from_sockaddr((struct sockaddr *)&sa, &bound);
	p = obj_alloc(sizeof *p);
	p->magic = PORT_MAGIC;
	p->fd = fd;
	p->number = bound.port;
	p->base = base;
	LIST_INIT(&p->conns);
	p->accept = event_new(base, fd, EV_READ | EV_PERSIST, port_on_accept, p);
	ASSERT(p->accept != NULL && event_add(p->accept, NULL) == 0);
	*out = p;
	return ERR_OK;
}

int
metrics_port_socket(const struct metrics_port *p)
{
	OBJ_CHECK(p, PORT_MAGIC);
	return p->fd;
}

uint16_t
metrics_port_number(const struct metrics_port *p)
{
	OBJ_CHECK(p, PORT_MAGIC);
	return p->number;
}

void
metrics_port_close(struct metrics_port *p)
{
	struct conn *c;

	if (p == NULL)
		return;
	OBJ_CHECK(p, PORT_MAGIC);
	while ((c = LIST_FIRST(&p->conns)) != NULL)
		conn_free(c);
	event_free(p->accept);
	close(p->fd);
	p->magic = 0;
	free(p);
}
