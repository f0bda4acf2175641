/* A simulated node. Wire facts: the heads of coord/noise.c, coord/msg_map.h, server/door_http.h. */
#include "tests/bench/node_client.h"

#include <nghttp2/nghttp2.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/wire.h"
#include "coord/noise_client.h"

#define UPGRADE_MAX	4096
#define ANSWER_MAX	(64u << 10)
#define MESSAGE_MAX	(64u << 20)
#define H2_WINDOW	(1 << 30)	/* as the real client: whole connection, and 4 MiB a stream */
#define H2_STREAM_WINDOW (4u << 20)

/* Until the answer to the initiation has come. */
struct node_shake {
	struct noise_client noise;
	size_t n;
	uint8_t p[UPGRADE_MAX];
};

struct request {
	enum node_request what;
	int status;
	size_t n_body, at;
	char *body;
	struct buf answer;
};

static const char early_magic[5] = "\xff\xff\xffTS";

/* 32 bytes that depend on seed, index and what they are for. */
static void
draw(uint8_t out[KEY_BYTES], const char *seed, unsigned index, const char *what)
{
	char text[160];
	int n = snprintf(text, sizeof text, "%s/%u/%s", seed, index, what);

	crypto_generichash(out, KEY_BYTES, (const uint8_t *)text, (unsigned)n, NULL, 0);
}

void
node_client_init(struct node_client *c, struct node_common *common, const char *seed, unsigned index)
{
	*c = (struct node_client){ .common = common, .index = index };
	draw(c->machine.priv.b, seed, index, "machine");
	c->machine.priv.b[0] &= 248;
	c->machine.priv.b[31] = (uint8_t)((c->machine.priv.b[31] & 127) | 64);
	ASSERT(crypto_scalarmult_base(c->machine.pub.b, c->machine.priv.b) == 0);
	draw(c->key.b, seed, index, "node");
	draw(c->disco.b, seed, index, "disco");
}

static void
request_free(struct request *q)
{
	buf_fini(&q->answer);
	free(q->body);
	free(q);
}

static ssize_t
read_body(nghttp2_session *h2, int32_t id, uint8_t *out, size_t cap, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct request *q = source->ptr;
	size_t n = q->n_body - q->at < cap ? q->n_body - q->at : cap;

	(void)h2;
	(void)id;
	(void)arg;
	memcpy(out, q->body + q->at, n);
	q->at += n;
	if (q->at == q->n_body)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int
on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
    const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
	struct request *q = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (q != NULL && n_name == 7 && memcmp(name, ":status", 7) == 0 && n_value == 3)
		q->status = atoi((const char *)value);	/* nghttp2 ends values with NUL */
	return 0;
}

static void
end_message(struct node_client *c, const uint8_t *p)
{
	c->messages++;
	c->messages_bytes += c->n_message;
	c->n_length = 0;
	c->common->hooks.on_message(c, p, c->n_message);
}

/* Map messages: u32 little-endian length, then so many bytes. */
static int
take_map(struct node_client *c, const uint8_t *p, size_t n)
{
	while (n > 0) {
		if (c->n_length < sizeof c->length) {
			c->length[c->n_length++] = *p++;
			n--;
			if (c->n_length < sizeof c->length)
				continue;
			c->n_message = c->n_left = c->length[0] | (uint32_t)c->length[1] << 8 |
			    (uint32_t)c->length[2] << 16 | (uint32_t)c->length[3] << 24;
			buf_clear(&c->message);
			if (c->n_message > MESSAGE_MAX)
				return NGHTTP2_ERR_CALLBACK_FAILURE;
			continue;
		}
		size_t k = n < c->n_left ? n : c->n_left;
		bool is_whole = k == c->n_message, is_wanted = c->common->wants_messages;
		if (is_wanted && !is_whole)
			buf_append(&c->message, p, k);
		c->n_left -= (uint32_t)k;
		if (c->n_left == 0) {
			/* What began before it was wanted is not complete. */
			bool has_all = is_wanted && (is_whole || c->message.len == c->n_message);

			end_message(c, !has_all ? NULL : is_whole ? p : c->message.p);
			buf_fini(&c->message);
		}
		p += k;
		n -= k;
	}
	return 0;
}

static int
on_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct node_client *c = arg;
	struct request *q;

	(void)flags;
	if (id == c->stream) {
		q = nghttp2_session_get_stream_user_data(h2, id);
		return q != NULL && q->status == 200 ? take_map(c, p, n) : 0;
	}
	q = nghttp2_session_get_stream_user_data(h2, id);
	if (q != NULL && q->answer.len + n <= ANSWER_MAX)
		buf_append(&q->answer, p, n);
	return 0;
}

static int
on_stream_close(nghttp2_session *h2, int32_t id, uint32_t error, void *arg)
{
	struct node_client *c = arg;
	struct request *q = nghttp2_session_get_stream_user_data(h2, id);

	if (q == NULL)
		return 0;
	if (id == c->stream)
		c->stream = 0;
	c->common->hooks.on_answer(c, q->what, error == 0 ? q->status : 0, buf_cstr(&q->answer),
	    q->answer.len);
	nghttp2_session_set_stream_user_data(h2, id, NULL);
	request_free(q);
	return 0;
}

static void
start_h2(struct node_client *c)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
	};
	nghttp2_session_callbacks *cb;

	ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	ASSERT(nghttp2_session_client_new(&c->h2, cb, c) == 0);
	nghttp2_session_callbacks_del(cb);
	ASSERT(nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) == 0);
	ASSERT(nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, H2_WINDOW) == 0);
}

#define HEADER(name, text, n_text) { (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(text), \
	sizeof(name) - 1, (n_text), NGHTTP2_NV_FLAG_NONE }

void
node_client_request(struct node_client *c, enum node_request what, const char *json)
{
	const char *path = what == NODE_REGISTER ? "/machine/register" : "/machine/map";
	const char *host = c->common->target->host;
	char length[16], key[KEY_TEXT_MAX];
	struct request *q = obj_alloc(sizeof *q);
	nghttp2_data_provider body = { .source.ptr = q, .read_callback = read_body };
	int n_length = snprintf(length, sizeof length, "%zu", strlen(json));

	node_key_put(&c->key, key);
	const nghttp2_nv head[] = {
		HEADER(":method", "POST", 4), HEADER(":scheme", "https", 5),
		HEADER(":authority", host, strlen(host)), HEADER(":path", path, strlen(path)),
		HEADER("ts-lb", key, strlen(key)), HEADER("content-length", length, (size_t)n_length),
		HEADER("accept-encoding", "gzip", 4), HEADER("user-agent", "Go-http-client/2.0", 18),
	};
	q->what = what;
	q->body = obj_strdup(json);
	q->n_body = strlen(json);
	int32_t id = nghttp2_submit_request(c->h2, NULL, head, COUNT_OF(head), &body, q);
	ASSERT(id > 0);
	if (what == NODE_STREAM) {
		c->stream = id;
		c->n_length = 0;
		c->n_left = 0;
	}
}

enum err
node_client_flush(struct node_client *c)
{
	uint8_t sealed[NOISE_RECORD_MAX];
	const uint8_t *p;
	ssize_t n;

	while (c->h2 != NULL && (n = nghttp2_session_mem_send(c->h2, &p)) != 0) {
		if (n < 0)
			return ERR_PROTO;
		for (size_t at = 0; at < (size_t)n; ) {
			size_t k = (size_t)n - at < NOISE_PLAIN_MAX ? (size_t)n - at : NOISE_PLAIN_MAX;

			if (noise_seal(c->common->engine, &c->tx, p + at, k, sealed) != ERR_OK)
				return ERR_CRYPTO;
			link_write(&c->link, sealed, noise_sealed_bytes(k));
			at += k;
		}
	}
	return link_flush(&c->link);
}

static enum err
to_h2(struct node_client *c, const uint8_t *p, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(c->h2, p, n);

	return used == (ssize_t)n ? ERR_OK : ERR_PROTO;
}

/* The first bytes may be an early payload: 5 bytes of magic, u32 length, JSON that nobody needs. */
static enum err
take_plain(struct node_client *c, const uint8_t *p, size_t n)
{
	while (n > 0 && c->n_early < sizeof c->early) {
		c->early[c->n_early++] = *p++;
		n--;
		if (c->n_early < sizeof c->early)
			continue;
		if (memcmp(c->early, early_magic, sizeof early_magic) == 0)
			c->n_early_skip = wire_u32be(c->early + sizeof early_magic);
		else if (to_h2(c, c->early, sizeof c->early) != ERR_OK)
			return ERR_PROTO;
	}
	if (c->n_early_skip > 0) {
		size_t k = n < c->n_early_skip ? n : c->n_early_skip;

		c->n_early_skip -= (uint32_t)k;
		p += k;
		n -= k;
	}
	return n > 0 ? to_h2(c, p, n) : ERR_OK;
}

static enum err
take_record(struct node_client *c, uint8_t *record, size_t n)
{
	size_t n_plain;
	enum err rc = noise_open(c->common->engine, &c->rx, record, n, &n_plain);

	return rc == ERR_OK ? take_plain(c, record + NOISE_HEAD_BYTES, n_plain) : rc;
}

/* Completes the record that began in an earlier piece. *used: bytes of p that belong to it. */
static enum err
take_carried(struct node_client *c, const uint8_t *p, size_t n, size_t *used)
{
	uint8_t record[NOISE_RECORD_MAX];
	size_t n_head = c->n_carry, n_record;

	memcpy(record, c->carry, n_head);
	*used = n < sizeof record - n_head ? n : sizeof record - n_head;
	memcpy(record + n_head, p, *used);
	enum err rc = noise_record_bytes(record, n_head + *used, &n_record);
	if (rc == ERR_AGAIN) {
		c->carry = obj_realloc(c->carry, n_head + *used);
		memcpy(c->carry + n_head, p, *used);
		c->n_carry += *used;
		return ERR_OK;
	}
	if (rc != ERR_OK)
		return rc;
	*used = n_record - n_head;
	free(c->carry);
	c->carry = NULL;
	c->n_carry = 0;
	return take_record(c, record, n_record);
}

static enum err
take_records(struct node_client *c, uint8_t *p, size_t n)
{
	enum err rc = ERR_OK;
	size_t used;

	if (c->n_carry > 0 && n > 0) {
		if ((rc = take_carried(c, p, n, &used)) != ERR_OK)
			return rc;
		p += used;
		n -= used;
	}
	while (n > 0 && (rc = noise_record_bytes(p, n, &used)) == ERR_OK) {
		if ((rc = take_record(c, p, used)) != ERR_OK)
			return rc;
		p += used;
		n -= used;
	}
	if (rc == ERR_AGAIN) {
		c->carry = obj_alloc(n);
		memcpy(c->carry, p, n);
		c->n_carry = n;
		rc = ERR_OK;
	}
	return rc;
}

static void
send_upgrade(struct node_client *c)
{
	uint8_t hello[NOISE_HELLO_BYTES];
	char text[768], base64[192];

	/* The server's key is a valid point: it came from its /key. */
	ASSERT(noise_client_hello(&c->shake->noise, &c->machine, &c->common->server,
	    NODE_CLIENT_VERSION, hello) == ERR_OK);
	sodium_bin2base64(base64, sizeof base64, hello, sizeof hello, sodium_base64_VARIANT_ORIGINAL);
	int n = snprintf(text, sizeof text, "POST /ts2021 HTTP/1.1\r\nHost: %s\r\n"
	    "User-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
	    "Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: %s\r\n\r\n",
	    c->common->target->host, base64);
	link_write(&c->link, text, (size_t)n);
}

/* The head of the answer and the Noise response behind it. */
static enum err
take_upgrade(struct node_client *c, const uint8_t *p, size_t n)
{
	struct node_shake *s = c->shake;

	if (n > sizeof s->p - s->n)
		return ERR_LIMIT;
	memcpy(s->p + s->n, p, n);
	s->n += n;
	const uint8_t *end = memmem(s->p, s->n, "\r\n\r\n", 4);
	if (end == NULL)
		return ERR_OK;
	if (s->n < 12 || memcmp(s->p, "HTTP/1.1 101", 12) != 0)
		return ERR_DENIED;
	size_t used = (size_t)(end + 4 - s->p) + NOISE_ANSWER_BYTES;
	if (s->n < used)
		return ERR_OK;
	enum err rc = noise_client_finish(&s->noise, &c->machine, end + 4, &c->rx, &c->tx);
	if (rc != ERR_OK)
		return rc;
	c->shake = NULL;
	start_h2(c);
	c->common->hooks.on_open(c);
	rc = take_records(c, s->p + used, s->n - used);
	free(s);
	return rc;
}

static enum err
on_data(void *arg, uint8_t *p, size_t n)
{
	struct node_client *c = arg;
	enum err rc = ERR_OK;
	size_t k;

	/* No more at once than the upgrade can hold: what is behind it may be long. */
	while (c->shake != NULL && n > 0 && rc == ERR_OK) {
		size_t room = sizeof c->shake->p - c->shake->n;

		k = n < room ? n : room;
		if (k == 0)
			return ERR_LIMIT;
		rc = take_upgrade(c, p, k);
		p += k;
		n -= k;
	}
	return rc == ERR_OK && n > 0 ? take_records(c, p, n) : rc;
}

enum err
node_client_connect(struct node_client *c)
{
	enum err rc = link_connect(&c->link, c->common->target);

	c->events = 0;
	c->n_early = 0;
	c->n_early_skip = 0;
	c->stream = 0;
	if (rc == ERR_OK)
		c->shake = obj_alloc(sizeof *c->shake);
	return rc;
}

enum err
node_client_serve(struct node_client *c, uint32_t events)
{
	enum err rc = ERR_OK;

	if (c->link.state != LINK_OPEN) {
		if ((rc = link_handshake(&c->link)) != ERR_OK)
			return rc == ERR_AGAIN ? ERR_OK : rc;
		send_upgrade(c);
	} else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		uint64_t before = c->link.bytes_in;

		rc = link_read(&c->link, on_data, c);
		c->wire_bytes += c->link.bytes_in - before;
	}
	return rc == ERR_OK ? node_client_flush(c) : rc;
}

/* Requests that were not answered are freed with their streams. */
static void
free_requests(struct node_client *c)
{
	struct request *q;

	for (uint32_t id = 1; id < nghttp2_session_get_next_stream_id(c->h2); id += 2)
		if ((q = nghttp2_session_get_stream_user_data(c->h2, (int32_t)id)) != NULL)
			request_free(q);
}

void
node_client_close(struct node_client *c)
{
	link_close(&c->link);
	c->events = 0;
	free(c->shake);
	c->shake = NULL;
	free(c->carry);
	c->carry = NULL;
	c->n_carry = 0;
	buf_fini(&c->message);
	if (c->h2 != NULL) {
		free_requests(c);
		nghttp2_session_del(c->h2);
		c->h2 = NULL;
	}
	c->stream = 0;
}
