/* Which path goes where: answers made in the door, upgrades to relay and control, the rest to libmicrohttpd. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/percent.h"
#include "base/ws.h"
#include "relay/captive.h"
#include "server/serve_private.h"

#define CERT_WARN_S (7 * 86400)
#define NO_CACHE "Cache-Control: no-cache, no-store, must-revalidate, no-transform, max-age=0\r\n"

/* GET /key?v=N: the Noise key, for every version; older clients are told on /machine/register. */
static void
answer_key(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	const struct serve *s = arg;

	(void)io;
	door_answer(out, head, 200, "application/json", NULL, s->key_json, strlen(s->key_json));
}

/* Always 200: a restart would not help a certificate whose end is near. */
static void
answer_health(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	int64_t until = metric_get(METRIC_CERT_EXPIRY);
	char body[256] = "{\"status\":\"pass\"}\n", expires[CLOCK_RFC3339_BYTES];

	(void)arg;
	(void)io;
	if (until != 0 && until - clock_wall_s() < CERT_WARN_S)
		snprintf(body, sizeof(body), "{\"status\":\"warn\",\"checks\":{\"certificate:expiry\":[{"
		    "\"status\":\"warn\",\"observedValue\":\"%s\"}]}}\n",
		    clock_rfc3339(until, expires));
	door_answer(out, head, 200, "application/health+json", NO_CACHE, body, strlen(body));
}

/* Measured by clients whose UDP is blocked. */
static void
answer_probe(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	(void)arg;
	(void)io;
	door_answer(out, head, 200, NULL, "Access-Control-Allow-Origin: *\r\n", NULL, 0);
}

static void
answer_generate_204(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	struct door_str challenge = door_http_field(head, "X-Tailscale-Challenge");
	char value[CAPTIVE_CHALLENGE_MAX + 16], extra[512];

	(void)arg;
	(void)io;
	if (challenge.p != NULL && captive_response(challenge.p, challenge.n, value))
		snprintf(extra, sizeof(extra), NO_CACHE "X-Tailscale-Response: %s\r\n", value);
	else
		snprintf(extra, sizeof(extra), NO_CACHE);
	door_answer(out, head, 204, NULL, extra, NULL, 0);
}

/* Asked by clients that cannot resolve a name otherwise: our own, nothing else. */
static void
answer_bootstrap_dns(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	const struct serve *s = arg;

	(void)io;
	door_answer(out, head, 200, "application/json", NULL, s->bootstrap_json,
	    strlen(s->bootstrap_json));
}

/* The authority's question, for a certificate by ACME. */
static void
answer_challenge(void *arg, const struct io *io, const struct door_head *head, struct buf *out)
{
	static const char none[] = "no such challenge\n";
	const struct serve *s = arg;
	size_t n = sizeof(ACME_CHALLENGE_PATH) - 1;
	char answer[2 * ACME_CHALLENGE_MAX];

	(void)io;
	if (acme_answer(s->acme, head->path.p + n, head->path.n - n, answer))
		door_answer(out, head, 200, "application/octet-stream", NO_CACHE, answer,
		    strlen(answer));
	else
		door_answer(out, head, 404, "text/plain", NULL, none, sizeof(none) - 1);
}

/* The header names the relay that the client would rather have. */
static unsigned
ideal_node(const struct door_head *head)
{
	return door_http_field(head, "Ideal-Node").n > 0 ? RELAY_NOT_IDEAL : 0;
}

static enum err
upgrade_derp(void *arg, struct io *io, const struct door_head *head, struct err_text *why)
{
	struct serve *s = arg;
	unsigned how = door_str_is(door_http_field(head, "Derp-Fast-Start"), "1") ?
	    RELAY_FAST_START : 0;

	if (relay_is_full(s->relay))
		return err_say(why, ERR_BUSY, "the relay's memory is full: try again in a few seconds");
	relay_attach_take(s->relay, io, how | ideal_node(head));
	return ERR_OK;
}

static enum err
upgrade_ts2021(void *arg, struct io *io, const struct door_head *head, struct err_text *why)
{
	struct serve *s = arg;
	struct door_str handshake = door_http_field(head, "X-Tailscale-Handshake");

	if (!door_str_is(head->method, "POST"))
		return err_say(why, ERR_INVAL, "the control upgrade is a POST request");
	if (handshake.p == NULL)
		return err_say(why, ERR_INVAL, "missing X-Tailscale-Handshake header");
	return ts2021_attach(coord_control(s->coord), io, handshake.p, handshake.n, why);
}

/* --- WebSocket variants: what browsers can do ---------------------------------------------------- */

/* Writes the 101 and puts the frames under io. ERR_INVAL: the client asks for no WebSocket we speak. */
static enum err
websocket_start(struct io *io, const struct door_head *head, const char *protocol,
    struct err_text *why)
{
	struct door_str key = door_http_field(head, "Sec-WebSocket-Key");
	char accept[WS_ACCEPT_BYTES], text[256];

	if (!door_str_is(door_http_field(head, "Sec-WebSocket-Version"), "13"))
		return err_say(why, ERR_INVAL, "the WebSocket version must be 13");
	if (ws_accept_put(key.p, key.n, accept) != ERR_OK)
		return err_say(why, ERR_INVAL, "missing or bad Sec-WebSocket-Key header");
	int n = snprintf(text, sizeof(text), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
	    accept, protocol);
	enum err rc = io_write(io, text, (size_t)n);
	if (rc == ERR_OK)
		rc = io_flush(io);
	if (rc != ERR_OK && rc != ERR_AGAIN)
		return err_say(why, rc, "cannot answer");
	io_ws_start(io);
	return ERR_OK;
}

static enum err
websocket_derp(void *arg, struct io *io, const struct door_head *head, struct err_text *why)
{
	struct serve *s = arg;
	enum err rc;

	if (relay_is_full(s->relay))
		return err_say(why, ERR_BUSY, "the relay's memory is full: try again in a few seconds");
	rc = websocket_start(io, head, "derp", why);
	if (rc != ERR_OK)
		return rc;
	metric_add(METRIC_DERP_WEBSOCKETS, 1);
	relay_attach_take(s->relay, io, RELAY_FAST_START | ideal_node(head));
	return ERR_OK;
}

/* The value of a query parameter, still encoded; p is NULL when there is none. */
static struct door_str
query_find(struct door_str query, const char *name)
{
	size_t n_name = strlen(name);

	while (query.n > 0) {
		const char *end = memchr(query.p, '&', query.n);
		size_t n = end != NULL ? (size_t)(end - query.p) : query.n;

		if (n > n_name && memcmp(query.p, name, n_name) == 0 && query.p[n_name] == '=')
			return (struct door_str){ query.p + n_name + 1, n - n_name - 1 };
		n += end != NULL ? 1 : 0;
		query.p += n;
		query.n -= n;
	}
	return (struct door_str){ NULL, 0 };
}

/* Percent-decodes into out; returns its length, 0 when it is badly encoded or longer than cap. */
static size_t
query_decode(struct door_str value, char *out, size_t cap)
{
	const char *p = value.p;
	size_t n = 0;

	while (p != NULL && p < value.p + value.n) {
		uint8_t c;

		if (n == cap || percent_take(&p, value.p + value.n, &c) != ERR_OK)
			return 0;
		out[n++] = (char)c;
	}
	return n;
}

static enum err
websocket_ts2021(void *arg, struct io *io, const struct door_head *head, struct err_text *why)
{
	struct serve *s = arg;
	char handshake[256];
	size_t n = query_decode(query_find(head->query, "X-Tailscale-Handshake"), handshake,
	    sizeof(handshake));
	struct err_text unsaid;

	if (n == 0)
		return err_say(why, ERR_INVAL, "missing X-Tailscale-Handshake parameter");
	enum err rc = websocket_start(io, head, "tailscale-control-protocol", why);
	if (rc != ERR_OK)
		return rc;
	/* Behind the 101 there is no way to say why. */
	if (ts2021_attach(coord_control(s->coord), io, handshake, n, &unsaid) != ERR_OK)
		io_free(io);
	return ERR_OK;
}

/* A connection for libmicrohttpd on its way from a worker to the coordinator. */
struct msg_pass {
	struct mbox_msg msg;
	struct serve *serve;
	int fd;
	bool is_tls;
	struct net_addr peer;
	struct conn_ref pass;
};

static void
pass_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct msg_pass *p = CONTAINER_OF(m, struct msg_pass, msg);

	(void)loop_arg;
	http_add_take(p->serve->http, p->fd, &p->peer, p->is_tls, p->pass);
	free(p);
}

static void
pass_discard(struct mbox_msg *m)
{
	struct msg_pass *p = CONTAINER_OF(m, struct msg_pass, msg);

	close(p->fd);
	free(p);
}

static void
pass_on(void *arg, int fd, const struct net_addr *peer, bool is_tls, struct conn_ref pass)
{
	struct serve *s = arg;
	struct msg_pass *p = obj_alloc(sizeof(*p));

	*p = (struct msg_pass){
		.msg = { .deliver = pass_deliver, .discard = pass_discard },
		.serve = s, .fd = fd, .is_tls = is_tls, .peer = *peer, .pass = pass,
	};
	if (mbox_post(coordinator_mbox(s->coordinator), &p->msg) != ERR_OK)
		pass_discard(&p->msg);		/* the client sees its connection end */
}

/* On a connection that libmicrohttpd has, the path goes back to the door. */
static void
give_back(struct serve *s, const char *path)
{
	if (s->http != NULL)
		http_on_upgrade(s->http, path, door_pass_upgrade, s->door);
}

void
serve_routes(struct serve *s)
{
	static const struct { const char *path; door_answer_fn *fn; bool is_for_coord; } answers[] = {
		{ "/key", answer_key, true },
		{ "/health", answer_health, false },
		{ "/derp/probe", answer_probe, false },
		{ "/derp/latency-check", answer_probe, false },
		{ "/generate_204", answer_generate_204, false },
		{ "/bootstrap-dns", answer_bootstrap_dns, true },
	};

	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		if (answers[i].is_for_coord && s->coord == NULL)
			continue;
		door_on_answer(s->door, "GET", answers[i].path, answers[i].fn, s);
		give_back(s, answers[i].path);
	}
	if (s->cfg->derp.is_enabled) {
		door_on_upgrade(s->door, "/derp", "DERP", upgrade_derp, s);
		door_on_websocket(s->door, "/derp", "derp", websocket_derp, s);
		give_back(s, "/derp");
	}
	if (s->acme != NULL) {
		door_on_answer(s->door, "GET", ACME_CHALLENGE_PATH, answer_challenge, s);
		give_back(s, ACME_CHALLENGE_PATH);
	}
	if (s->coord == NULL)
		return;
	door_on_upgrade(s->door, "/ts2021", "tailscale-control-protocol", upgrade_ts2021, s);
	door_on_websocket(s->door, "/ts2021", "tailscale-control-protocol", websocket_ts2021, s);
	give_back(s, "/ts2021");
	door_on_pass(s->door, pass_on, s);
}
