/* All simulated nodes and their loop. */
#include "tests/bench/nodes_run.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/nodes_watch.h"
#include "coord/noise_client.h"

#define EVENTS_MAX	1024
#define RETRY_MS	300		/* after a refusal; real clients wait longer and longer */
#define SETTLE_MS	400
#define KEEPALIVE_BYTES	40		/* a message of at most so many bytes carries nothing */
#define BODY_BYTES	4096
#define KEY_TIMEOUT_NS	(10 * BENCH_NS_PER_S)

struct nodes_run run;

static enum err
collect(void *arg, uint8_t *p, size_t n)
{
	struct buf *b = arg;

	buf_append(b, p, n);
	return b->len < (64u << 10) ? ERR_OK : ERR_LIMIT;
}

/* GET /key, the only request outside of the upgrade. */
static void
fetch_key(struct machine_key *out)
{
	static const char member[] = "\"publicKey\":\"";
	int64_t end_ns = bench_now_ns() + KEY_TIMEOUT_NS;
	const char *at = NULL;
	struct buf answer = { 0 };
	char text[512];
	struct link l;
	enum err rc = link_connect(&l, &run.target);
	bool is_asked = false;

	while (rc == ERR_OK && at == NULL && bench_now_ns() < end_ns) {
		struct pollfd p = { .fd = l.fd };

		p.events = (short)((link_wants(&l) & EPOLLOUT ? POLLOUT : 0) |
		    (link_wants(&l) & EPOLLIN ? POLLIN : 0));
		poll(&p, 1, 100);
		if (l.state != LINK_OPEN) {
			rc = link_handshake(&l);
			rc = rc == ERR_AGAIN ? ERR_OK : rc;
		}
		if (rc == ERR_OK && l.state == LINK_OPEN && !is_asked) {
			int n = snprintf(text, sizeof text, "GET /key?v=%d HTTP/1.1\r\n"
			    "Host: %s\r\nConnection: close\r\n\r\n", NODE_CLIENT_VERSION, run.o->server);

			link_write(&l, text, (size_t)n);
			rc = link_flush(&l);
			is_asked = true;
		} else if (rc == ERR_OK && l.state == LINK_OPEN) {
			rc = link_read(&l, collect, &answer);
		}
		at = strstr(buf_cstr(&answer), member);
		if (at != NULL && machine_key_parse(at + sizeof member - 1, 5 + 64, out) != ERR_OK)
			at = NULL;
	}
	link_close(&l);
	if (at == NULL)
		bench_die("%s gives no key at /key: %s", run.o->server, err_str(rc));
	buf_fini(&answer);
}

unsigned
nodes_run_shares(void)
{
	unsigned n = run.o->n_keys - (run.o->hubs > 0 ? 1 : 0);

	return run.o->n_keys > 1 && n > 0 ? n : 1;
}

static const char *
key_of(const struct node_client *c)
{
	const struct nodes_options *o = run.o;

	if (o->n_keys == 0)
		return "";
	if (c->index < o->nodes && c->index >= o->nodes - o->hubs)
		return o->keys[o->n_keys - 1];
	return o->keys[c->index % nodes_run_shares()];
}

const char *
nodes_run_register_json(const struct node_client *c)
{
	static char body[BODY_BYTES];
	char key[KEY_TEXT_MAX];

	node_key_put(&c->key, key);
	snprintf(body, sizeof body, "{\"Version\":%d,\"NodeKey\":\"%s\",\"OldNodeKey\":\"nodekey:"
	    "0000000000000000000000000000000000000000000000000000000000000000\","
	    "\"Auth\":{\"AuthKey\":\"%s\"},\"Expiry\":\"0001-01-01T00:00:00Z\",\"Followup\":\"\","
	    "\"Hostinfo\":{\"IPNVersion\":\"1.103.0\",\"BackendLogID\":\"%064u\",\"OS\":\"linux\","
	    "\"OSVersion\":\"6.1.0\",\"Distro\":\"debian\",\"DistroVersion\":\"12.11\","
	    "\"Hostname\":\"bench-%u\",\"Machine\":\"x86_64\",\"GoArch\":\"amd64\","
	    "\"GoVersion\":\"go1.26.8\",\"Services\":[{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}],"
	    "\"Userspace\":true},\"NodeKeySignature\":null}", NODE_CLIENT_VERSION, key,
	    key_of(c), c->index, c->index);
	return body;
}

/* Variants count from 1 in TEST-NET-3; port and address together are the node's own. */
void
nodes_run_endpoint(const struct node_client *c, unsigned variant, char out[40])
{
	if (variant == 0)
		snprintf(out, 40, "\"198.51.%u.%u:41641\"", c->index / 250 % 250, c->index % 250);
	else
		snprintf(out, 40, "\"203.0.113.%u:%u\"", c->index % 250, 1024 + variant % 60000);
}

const char *
nodes_run_map_json(const struct node_client *c, bool is_stream, unsigned variant)
{
	static char body[BODY_BYTES];
	char key[KEY_TEXT_MAX], disco[KEY_TEXT_MAX], endpoint[40];

	node_key_put(&c->key, key);
	disco_key_put(&c->disco, disco);
	nodes_run_endpoint(c, variant, endpoint);
	snprintf(body, sizeof body, "{\"Version\":%d,\"Compress\":\"zstd\",\"KeepAlive\":true,"
	    "\"NodeKey\":\"%s\",\"DiscoKey\":\"%s\",%s\"Hostinfo\":{\"IPNVersion\":\"1.103.0\","
	    "\"BackendLogID\":\"%064u\",\"OS\":\"linux\",\"OSVersion\":\"6.1.0\","
	    "\"Distro\":\"debian\",\"DistroVersion\":\"12.11\",\"Hostname\":\"bench-%u\","
	    "\"Machine\":\"x86_64\",\"GoArch\":\"amd64\",\"GoVersion\":\"go1.26.8\",\"Services\":["
	    "{\"Proto\":\"peerapi4\",\"Port\":50000},{\"Proto\":\"peerapi6\",\"Port\":50001},"
	    "{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}],\"Userspace\":true,\"NetInfo\":{"
	    "\"MappingVariesByDestIP\":false,\"WorkingIPv6\":false,\"WorkingUDP\":true,"
	    "\"PreferredDERP\":900,\"DERPLatency\":{\"900-v4\":0.0015}}},"
	    "\"Endpoints\":[%s,\"10.0.0.7:41641\"],\"EndpointTypes\":[2,1],\"DebugFlags\":[]}",
	    NODE_CLIENT_VERSION, key, disco, is_stream ? "\"Stream\":true," : "\"OmitPeers\":true,",
	    c->index, c->index, endpoint);
	return body;
}

static void
reached(struct node_client *c, int what)
{
	if (c->got >= what)
		return;
	c->got = (uint8_t)what;
	if (what == NODE_REGISTERED)
		run.registered++;
	if (what == NODE_STREAMING)
		run.streaming++;
	if (c->got == c->want)
		bench_samples_add(&run.took_ms, (double)(bench_now_ns() - c->begin_ns) / 1e6);
}

/* A real client sends the first update beside the stream. */
static void
ask_stream(struct node_client *c)
{
	node_client_request(c, NODE_STREAM, nodes_run_map_json(c, true, 0));
	node_client_request(c, NODE_LITE, nodes_run_map_json(c, false, 0));
}

static void
on_open(struct node_client *c)
{
	run.handshakes--;
	c->is_trying = false;
	if (c->got < NODE_REGISTERED)
		node_client_request(c, NODE_REGISTER, nodes_run_register_json(c));
	else
		ask_stream(c);
}

static void
on_answer(struct node_client *c, enum node_request what, int status, const char *body, size_t n)
{
	(void)n;
	if (what == NODE_REGISTER) {
		if (status == 200 && strstr(body, "\"MachineAuthorized\":true") != NULL) {
			reached(c, NODE_REGISTERED);
			if (c->want == NODE_STREAMING)
				ask_stream(c);
			return;
		}
		if (status == 200)
			bench_die("node %u was not registered: %.300s", c->index, body);
		c->retry_ns = bench_now_ns() + RETRY_MS * BENCH_NS_PER_MS;
		run.retries++;
	} else if (what == NODE_STREAM) {
		bool was_streaming = c->got == NODE_STREAMING;

		c->retry_ns = bench_now_ns() + RETRY_MS * BENCH_NS_PER_MS;
		if (was_streaming) {
			run.cut++;
			run.streaming--;
			c->got = NODE_REGISTERED;
		} else {
			run.retries++;
		}
	}
}

static void
on_message(struct node_client *c, const uint8_t *p, size_t n)
{
	if (n > KEEPALIVE_BYTES)
		run.message_ns = run.now_ns;
	reached(c, NODE_STREAMING);
	if (p != NULL)
		nodes_watch_message(c, p, n);
}

void
nodes_run_init(const struct nodes_options *o)
{
	run = (struct nodes_run){ .o = o, .n = o->nodes };
	run.now_ns = bench_now_ns();
	noise_client_init();
	link_target_init(&run.target, o->server, o->is_tls, o->sni);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	run.common = (struct node_common){
		.target = &run.target, .engine = noise_engine_new(),
		.hooks = { .on_open = on_open, .on_answer = on_answer, .on_message = on_message },
	};
	fetch_key(&run.common.server);
	run.cap = o->nodes + o->joins;
	run.nodes = obj_alloc(run.cap * sizeof *run.nodes);
	for (unsigned i = 0; i < run.cap; i++)
		node_client_init(&run.nodes[i], &run.common, o->seed, i);
}

void
nodes_run_fini(void)
{
	for (unsigned i = 0; i < run.cap; i++)
		node_client_close(&run.nodes[i]);
	free(run.nodes);
	bench_samples_fini(&run.took_ms);
	noise_engine_free(run.common.engine);
	link_target_fini(&run.target);
	close(run.epoll);
}

static void
update(struct node_client *c)
{
	struct epoll_event ev = { .events = link_wants(&c->link), .data.ptr = c };

	if (ev.events == c->events || c->link.state == LINK_CLOSED)
		return;
	int op = c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	ASSERT(epoll_ctl(run.epoll, op, c->link.fd, &ev) == 0);
	c->events = ev.events;
}

void
nodes_run_drop(struct node_client *c)
{
	if (c->is_trying)
		run.handshakes--;
	c->is_trying = false;
	if (c->got == NODE_STREAMING) {
		run.streaming--;
		c->got = NODE_REGISTERED;
	}
	node_client_close(c);
}

static void
end_by_itself(struct node_client *c, enum err rc)
{
	static bool is_said;

	if (!is_said)
		fprintf(stderr, "first connection that ended by itself: node %u, %s%s\n", c->index,
		    err_str(rc), c->is_trying ? " (during its handshake)" : "");
	is_said = true;
	bench_cpu_s(run.o->pid);	/* ends the program if the server has ended */
	if (c->got == NODE_STREAMING)
		run.cut++;
	else
		run.retries++;
	nodes_run_drop(c);
	c->retry_ns = run.now_ns + RETRY_MS * BENCH_NS_PER_MS;
}

void
nodes_run_want(struct node_client *c, int what)
{
	c->want = (uint8_t)what;
	c->retry_ns = 0;
	c->begin_ns = 0;
}

void
nodes_run_flush(struct node_client *c)
{
	enum err rc = node_client_flush(c);

	if (rc != ERR_OK)
		end_by_itself(c, rc);
	else
		update(c);
}

/* Goes on with a node that is not yet what it shall be. False: no handshake is free. */
static bool
push(struct node_client *c, unsigned at_once)
{
	if (c->got >= c->want || c->is_trying || run.now_ns < c->retry_ns)
		return true;
	if (c->link.state != LINK_CLOSED) {
		/* Its stream was refused or has ended: it asks again on the same connection. */
		if (c->retry_ns == 0 || c->stream != 0)
			return true;
		c->retry_ns = 0;
		if (c->got < NODE_REGISTERED)
			node_client_request(c, NODE_REGISTER, nodes_run_register_json(c));
		else
			ask_stream(c);
		nodes_run_flush(c);
		return true;
	}
	if (run.handshakes >= at_once)
		return false;
	if (c->begin_ns == 0)
		c->begin_ns = bench_now_ns();
	c->retry_ns = 0;
	if (node_client_connect(c) != ERR_OK)
		bench_die("node %u: no connection could be made", c->index);
	c->is_trying = true;
	run.handshakes++;
	update(c);
	return true;
}

/* Nodes that are done are not looked at in every turn: this goes round. */
static void
push_all(void)
{
	static unsigned at;
	bool is_registering = run.registered < run.n;
	unsigned limit = is_registering ? run.o->register_at_once : run.o->at_once;

	if (run.registered >= run.n && run.streaming >= run.n)
		return;
	for (unsigned i = 0; i < run.n; i++) {
		if (at >= run.n)
			at = 0;
		if (!push(&run.nodes[at], limit))
			return;
		at++;
	}
}

void
nodes_run_turn(int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	int n;

	run.now_ns = bench_now_ns();
	push_all();
	n = epoll_wait(run.epoll, ev, EVENTS_MAX, timeout_ms);
	run.now_ns = bench_now_ns();
	for (int i = 0; i < n; i++) {
		struct node_client *c = ev[i].data.ptr;

		if (c->link.state == LINK_CLOSED)
			continue;
		enum err rc = node_client_serve(c, ev[i].events);
		if (rc != ERR_OK)
			end_by_itself(c, rc);
		else if (c->want == NODE_REGISTERED && c->got == NODE_REGISTERED)
			nodes_run_drop(c);
		else
			update(c);
	}
}

bool
nodes_run_until(bool (*is_done)(void), int64_t timeout_ms)
{
	int64_t end_ns = bench_now_ns() + timeout_ms * BENCH_NS_PER_MS;

	while (!is_done()) {
		if (bench_now_ns() > end_ns)
			return false;
		nodes_run_turn(10);
	}
	return true;
}

void
nodes_run_wait(int64_t ms)
{
	int64_t end_ns = bench_now_ns() + ms * BENCH_NS_PER_MS;

	while (bench_now_ns() < end_ns)
		nodes_run_turn(5);
}

void
nodes_run_settle(void)
{
	int64_t begin_ns = bench_now_ns();

	run.message_ns = begin_ns;
	while (run.now_ns - run.message_ns < SETTLE_MS * BENCH_NS_PER_MS &&
	    run.now_ns - begin_ns < run.o->settle_ms * BENCH_NS_PER_MS)
		nodes_run_turn(10);
}

uint64_t
nodes_run_wire_bytes(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run.n; i++)
		sum += run.nodes[i].wire_bytes;
	return sum;
}
