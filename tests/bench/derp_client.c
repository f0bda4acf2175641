/* A DERP client of the load. Frames: relay/derp_frame.h; greeting: relay/derp_hello.h. */
#include "tests/bench/derp_client.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/wire.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "tests/bench/bench.h"

#define EVENTS_MAX	512
#define SERVER_KEY_AT	(DERP_FRAME_HDR_BYTES + 8)	/* behind the magic */

static const char client_info[] = "{\"version\":2,\"CanAckPings\":true}";

/* What has come of the greeting and is not used yet. */
struct derp_client_hello {
	struct private_key priv;
	const char *host;
	bool is_upgraded, has_key;
	size_t n;
	uint8_t p[4096];
};

enum err
derp_client_connect(struct derp_client *c, const struct link_target *t)
{
	derp_client_close(c);
	c->is_ready = false;
	c->n_head = 0;
	c->n_skip = 0;
	c->events = 0;
	enum err rc = link_connect(&c->link, t);
	if (rc != ERR_OK)
		return rc;
	c->hello = obj_alloc(sizeof *c->hello);
	c->hello->host = t->host;
	crypto_box_keypair(c->key.b, c->hello->priv.b);
	return ERR_OK;
}

void
derp_client_close(struct derp_client *c)
{
	link_close(&c->link);
	free(c->hello);
	c->hello = NULL;
	c->is_ready = false;
}

static void
send_upgrade(struct derp_client *c)
{
	char text[512];
	int n = snprintf(text, sizeof text, "GET /derp HTTP/1.1\r\nHost: %s\r\n"
	    "User-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n",
	    c->hello->host);

	link_write(&c->link, text, (size_t)n);
}

static enum err
send_info(struct derp_client *c, const uint8_t server[KEY_BYTES])
{
	uint8_t frame[256], *p = frame;
	size_t n_text = sizeof client_info - 1;
	size_t n_payload = KEY_BYTES + crypto_box_NONCEBYTES + crypto_box_MACBYTES + n_text;

	p += derp_frame_put_hdr(p, DERP_FRAME_CLIENT_INFO, (uint32_t)n_payload);
	memcpy(p, c->key.b, KEY_BYTES);
	p += KEY_BYTES;
	randombytes_buf(p, crypto_box_NONCEBYTES);
	if (crypto_box_easy(p + crypto_box_NONCEBYTES, (const uint8_t *)client_info, n_text, p, server,
	    c->hello->priv.b) != 0)
		return ERR_CRYPTO;
	link_write(&c->link, frame, DERP_FRAME_HDR_BYTES + n_payload);
	return ERR_OK;
}

/* The head of the answer: everything up to the empty line. */
static enum err
take_upgrade(struct derp_client_hello *h)
{
	const uint8_t *end = memmem(h->p, h->n, "\r\n\r\n", 4);

	if (end == NULL)
		return h->n < sizeof h->p ? ERR_AGAIN : ERR_LIMIT;
	if (h->n < 12 || memcmp(h->p, "HTTP/1.1 101", 12) != 0)
		return ERR_DENIED;
	size_t n_used = (size_t)(end + 4 - h->p);
	h->n -= n_used;
	memmove(h->p, h->p + n_used, h->n);
	h->is_upgraded = true;
	return ERR_OK;
}

static enum err
take_frame(struct derp_client *c)
{
	struct derp_client_hello *h = c->hello;
	struct derp_frame_hdr hdr;
	enum err rc = derp_frame_parse(h->p, h->n, &hdr);

	if (rc != ERR_OK)
		return rc;
	size_t n_frame = DERP_FRAME_HDR_BYTES + hdr.len_bytes;
	if (n_frame > sizeof h->p)
		return ERR_LIMIT;
	if (h->n < n_frame)
		return ERR_AGAIN;
	if (hdr.type == DERP_FRAME_SERVER_KEY && hdr.len_bytes >= 8 + KEY_BYTES) {
		if (c->silence != DERP_CLIENT_NO_INFO)
			rc = send_info(c, h->p + SERVER_KEY_AT);
		h->has_key = true;
	}
	if (hdr.type == DERP_FRAME_SERVER_INFO)
		c->is_ready = true;
	h->n -= n_frame;
	memmove(h->p, h->p + n_frame, h->n);
	return rc;
}

static enum err
greet(struct derp_client *c)
{
	enum err rc = ERR_OK;

	if (!c->hello->is_upgraded)
		rc = take_upgrade(c->hello);
	while (rc == ERR_OK && !c->is_ready)
		rc = take_frame(c);
	return rc == ERR_AGAIN ? ERR_OK : rc;
}

/* Bytes of a frame that must be gathered before it is understood. */
static size_t
head_wanted(const struct derp_client *c)
{
	if (c->n_head < DERP_FRAME_HDR_BYTES)
		return DERP_FRAME_HDR_BYTES;
	size_t n = wire_u32be(c->head + 1), most = KEY_BYTES + DERP_CLIENT_STAMP_BYTES;
	return DERP_FRAME_HDR_BYTES + (n < most ? n : most);
}

static void
end_frame(struct derp_client *c, const uint8_t *head)
{
	size_t n = wire_u32be(head + 1);
	uint8_t pong[DERP_FRAME_PONG_BYTES];

	if (head[0] == DERP_FRAME_RECV_PACKET && n >= KEY_BYTES + DERP_CLIENT_STAMP_BYTES) {
		c->packets++;
		if (c->on_packet != NULL)
			c->on_packet(c, head + DERP_FRAME_HDR_BYTES + KEY_BYTES, n - KEY_BYTES);
	} else if (head[0] == DERP_FRAME_PEER_GONE) {
		c->gone_frames++;
	} else if (head[0] == DERP_FRAME_PING && n >= DERP_FRAME_PING_BYTES) {
		link_write(&c->link, pong, derp_frame_put_pong(pong, head + DERP_FRAME_HDR_BYTES));
	}
	c->n_head = 0;
}

static enum err
take_bytes(struct derp_client *c, const uint8_t *p, size_t n)
{
	while (n > 0) {
		if (c->n_skip > 0) {
			size_t k = n < c->n_skip ? n : c->n_skip;

			c->n_skip -= (uint32_t)k;
			p += k;
			n -= k;
			if (c->n_skip == 0)
				end_frame(c, c->head);
			continue;
		}
		/* The usual case, all of it is here: nothing is gathered. */
		if (c->n_head == 0 && n >= DERP_FRAME_HDR_BYTES &&
		    n - DERP_FRAME_HDR_BYTES >= wire_u32be(p + 1)) {
			size_t n_frame = DERP_FRAME_HDR_BYTES + wire_u32be(p + 1);

			end_frame(c, p);
			p += n_frame;
			n -= n_frame;
			continue;
		}
		size_t want = head_wanted(c) - c->n_head, k = n < want ? n : want;
		memcpy(c->head + c->n_head, p, k);
		c->n_head = (uint8_t)(c->n_head + k);
		p += k;
		n -= k;
		if (c->n_head < DERP_FRAME_HDR_BYTES || c->n_head < head_wanted(c))
			continue;
		uint32_t n_rest = wire_u32be(c->head + 1) - (c->n_head - DERP_FRAME_HDR_BYTES);
		if (n_rest > (1u << 20))
			return ERR_LIMIT;
		c->n_skip = n_rest;
		if (n_rest == 0)
			end_frame(c, c->head);
	}
	return ERR_OK;
}

static enum err
on_data(void *arg, uint8_t *p, size_t n)
{
	struct derp_client *c = arg;

	if (c->is_ready)
		return take_bytes(c, p, n);
	if (n > sizeof c->hello->p - c->hello->n)
		return ERR_LIMIT;
	memcpy(c->hello->p + c->hello->n, p, n);
	c->hello->n += n;
	enum err rc = greet(c);
	if (rc == ERR_OK && c->is_ready) {
		rc = take_bytes(c, c->hello->p, c->hello->n);
		free(c->hello);
		c->hello = NULL;
	}
	return rc;
}

enum err
derp_client_serve(struct derp_client *c, uint32_t events)
{
	enum err rc = ERR_OK;

	if (c->link.state != LINK_OPEN) {
		if ((rc = link_handshake(&c->link)) != ERR_OK)
			return rc == ERR_AGAIN ? ERR_OK : rc;
		if (c->silence != DERP_CLIENT_NO_UPGRADE)
			send_upgrade(c);
	} else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		rc = link_read(&c->link, on_data, c);
	}
	if (rc == ERR_OK)
		rc = link_flush(&c->link);
	return rc;
}

uint8_t *
derp_client_frame_new(const struct derp_client *peer, size_t n)
{
	uint8_t *p = obj_alloc(DERP_FRAME_HDR_BYTES + KEY_BYTES + n + 1);

	derp_frame_put_hdr(p, DERP_FRAME_SEND_PACKET, (uint32_t)(KEY_BYTES + n));
	memcpy(p + DERP_FRAME_HDR_BYTES, peer->key.b, KEY_BYTES);
	randombytes_buf(p + DERP_FRAME_HDR_BYTES + KEY_BYTES, n);
	return p;
}

void
derp_pool_init(struct derp_pool *p, const struct link_target *target)
{
	*p = (struct derp_pool){ .epoll = epoll_create1(EPOLL_CLOEXEC), .target = target };
	if (p->epoll < 0)
		bench_die("epoll: no descriptor left");
}

void
derp_pool_fini(struct derp_pool *p)
{
	close(p->epoll);
}

void
derp_pool_update(struct derp_pool *p, struct derp_client *c)
{
	struct epoll_event ev = { .events = link_wants(&c->link), .data.ptr = c };

	if (ev.events == c->events)
		return;
	int op = c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	ASSERT(epoll_ctl(p->epoll, op, c->link.fd, &ev) == 0);
	c->events = ev.events;
}

void
derp_pool_moved(struct derp_pool *p, struct derp_client *c)
{
	struct epoll_event ev = { .events = c->events, .data.ptr = c };

	ASSERT(epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->link.fd, &ev) == 0);
}

void
derp_pool_ignore(struct derp_pool *p, struct derp_client *c)
{
	ASSERT(epoll_ctl(p->epoll, EPOLL_CTL_DEL, c->link.fd, NULL) == 0);
	c->events = 0;
}

void
derp_pool_close(struct derp_pool *p, struct derp_client *c)
{
	(void)p;				/* close takes the descriptor out of the epoll set */
	c->events = 0;
	derp_client_close(c);
}

static void
serve(struct derp_pool *p, struct derp_client *c, uint32_t events)
{
	if (c->link.state == LINK_CLOSED)
		return;
	enum err rc = derp_client_serve(c, events);
	if (rc != ERR_OK) {
		if (p->failed++ == 0 && !p->expects_ends)
			fprintf(stderr, "first connection that ended by itself: %s%s\n", err_str(rc),
			    c->is_ready ? "" : " (during its greeting)");
		derp_pool_close(p, c);
		return;
	}
	derp_pool_update(p, c);
}

void
derp_pool_turn(struct derp_pool *p, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	int n = epoll_wait(p->epoll, ev, EVENTS_MAX, timeout_ms);

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < n; i++) {
			struct derp_client *c = ev[i].data.ptr;

			if (c->is_probe == (pass == 0))
				serve(p, c, ev[i].events);
		}
}

void
derp_pool_connect(struct derp_pool *p, struct derp_client *c, size_t n, unsigned at_once,
    unsigned timeout_s)
{
	int64_t end_ns = bench_now_ns() + timeout_s * BENCH_NS_PER_S;
	size_t started = 0, ready = 0, first = 0;
	uint64_t failed = p->failed;

	while (ready < n) {
		while (started < n && started - ready < at_once) {
			if (derp_client_connect(&c[started], p->target) != ERR_OK)
				bench_die("connection %zu of %zu could not be made", started + 1, n);
			derp_pool_update(p, &c[started++]);
		}
		derp_pool_turn(p, 100);
		/* Ready ones that are at the front are not looked at again. */
		ready = first;
		for (size_t i = first; i < started; i++) {
			if (!c[i].is_ready)
				continue;
			ready++;
			if (i == first)
				first++;
		}
		if (p->failed > failed)
			bench_die("%llu of %zu connections ended during their greeting",
			    (unsigned long long)(p->failed - failed), started);
		if (bench_now_ns() > end_ns)
			bench_die("only %zu of %zu clients were connected after %u s", ready, n, timeout_s);
	}
}
