/*
 * The upgrade to the control protocol: POST /ts2021 with Upgrade: tailscale-control-protocol
 * (clients), and
 * GET with a WebSocket (browsers). After the Noise handshake HTTP/2 is begun, and the server's
 * acknowledgement of our settings awaited: so bytes have gone both ways, through whatever is in
 * between.
 * HTTP/2 frames: RFC 9113 4.1; WebSocket: base/ws.h.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/wire.h"
#include "base/ws.h"
#include "coord/noise_client.h"
#include "server/doctor_client.h"

#define VERSION		113	/* the oldest that is served */
#define H2_HEAD_BYTES	9
#define H2_SETTINGS	4
#define H2_ACK		1
#define EARLY_MAGIC	"\xff\xff\xff" "TS"	/* in front of HTTP/2: tailscale controlbase, early payload */
#define EARLY_HEAD_BYTES 9
#define PLAIN_MAX_BYTES	(64u << 10)

#define TODO_UPGRADE "let the proxy pass on Upgrade for /ts2021 and /derp, POST too. nginx:" \
	" proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;" \
	" proxy_set_header Connection $connection_upgrade; proxy_buffering off." \
	" Or let port 443 reach fairlead directly: it serves TLS itself"

struct control {
	struct doctor_login *login;
	const char *name;		/* of the check */
	enum doctor_level level;	/* when it fails */
	struct doctor_stream *s;
	struct buf in;
	struct noise_client noise;
	struct noise_identity own;
	struct noise_half rx, tx;
	char hello[160];		/* base64 */
	char ws_key[32];
};

static void
bad(struct control *c, struct doctor_report *r, const char *found, const char *todo)
{
	doctor_bad(r, c->level, c->name, "%s", found);
	doctor_todo(r, "%s", todo);
}

/* The server's key, and our initiation to it. false: said. */
static bool
begin(struct control *c, struct doctor_report *r)
{
	struct doctor_answer a;
	struct machine_key server = { .b = { 0 } };
	uint8_t hello[NOISE_HELLO_BYTES];
	struct err_text why;
	json_t *v = NULL;
	bool is_known = false;

	if (doctor_net_get(&c->login->target, "/key?v=113", NULL, &a, &why) == ERR_OK) {
		if (json_parse(a.body.p, a.body.len, &v, NULL) == ERR_OK) {
			const char *text = json_get_str(v, "publicKey", "");
			is_known = machine_key_parse(text, strlen(text), &server) == ERR_OK;
		}
		buf_fini(&a.body);
		json_decref(v);
	}
	private_key_new(&c->own.priv);
	private_key_public(&c->own.priv, c->own.pub.b);
	if (!is_known || noise_client_hello(&c->noise, &c->own, &server, VERSION, hello) != ERR_OK) {
		bad(c, r, "not tried without the server's key", "see key");
		return false;
	}
	sodium_bin2base64(c->hello, sizeof(c->hello), hello, sizeof(hello),
	    sodium_base64_VARIANT_ORIGINAL);
	if (doctor_net_dial(&c->login->target, NULL, &c->s, &why) == ERR_OK)
		return true;
	bad(c, r, why.s, "see connect");
	return false;
}

/* What the answer to an upgrade says of what is in between. false: said. */
static bool
take_101(struct control *c, struct doctor_report *r)
{
	size_t n_head = 0;
	enum err rc = doctor_net_read_head(c->s, &c->in, &n_head);
	char text[160];

	if (rc == ERR_PROTO) {
		bool is_h2 = c->in.len >= H2_HEAD_BYTES && c->in.p[0] == 0 && c->in.p[3] == H2_SETTINGS;
		bad(c, r, is_h2 ? "the front end speaks HTTP/2 only" : "the answer is not HTTP/1.1",
		    "let the front end speak HTTP/1.1, which an upgrade needs");
		return false;
	}
	if (rc != ERR_OK) {
		bad(c, r, rc == ERR_AGAIN ? "no answer to the upgrade within 5 seconds: something in"
		    " between waits for more" : "the connection was closed in answer to the upgrade",
		    TODO_UPGRADE);
		return false;
	}
	long status = strtol((const char *)c->in.p + 8, NULL, 10);
	if (status == 101) {
		buf_consume(&c->in, n_head);
		return true;
	}
	if (status == 426)
		snprintf(text, sizeof(text), "the request arrived without its Upgrade field (status"
		    " 426): a proxy in between eats it");
	else
		snprintf(text, sizeof(text), "the upgrade is answered with status %ld: a proxy in"
		    " between refuses it",
		    status);
	bad(c, r, text, TODO_UPGRADE);
	return false;
}

static bool
finish(struct control *c, const uint8_t *answer, struct doctor_report *r)
{
	if (noise_client_finish(&c->noise, &c->own, answer, &c->rx, &c->tx) == ERR_OK)
		return true;
	bad(c, r, "the answer was not made with the key of /key",
	    "two servers behind one name? All that a node sends must reach the same one");
	return false;
}

/* --- HTTP/2 inside ------------------------------------------------------------------------------ */

/* Does the plaintext have the acknowledgement of our SETTINGS? */
static bool
has_ack(const struct buf *plain)
{
	size_t at = 0;

	if (plain->len >= EARLY_HEAD_BYTES && memcmp(plain->p, EARLY_MAGIC, 5) == 0)
		at = EARLY_HEAD_BYTES + (size_t)wire_u32be(plain->p + 5);
	while (at + H2_HEAD_BYTES <= plain->len) {
		const uint8_t *p = plain->p + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (p[3] == H2_SETTINGS && (p[4] & H2_ACK))
			return true;
		at += H2_HEAD_BYTES + n;
	}
	return false;
}

/* Moves whole records of c->in into plain. */
static enum err
open_records(struct control *c, struct noise_engine *e, struct buf *plain)
{
	size_t n, n_plain;
	enum err rc;

	while ((rc = noise_record_bytes(c->in.p, c->in.len, &n)) == ERR_OK) {
		if ((rc = noise_open(e, &c->rx, c->in.p, n, &n_plain)) != ERR_OK)
			return rc;
		buf_append(plain, c->in.p + NOISE_HEAD_BYTES, n_plain);
		buf_consume(&c->in, n);
	}
	return rc == ERR_AGAIN ? ERR_OK : rc;
}

static enum err
round_trip(struct control *c)
{
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	uint8_t sealed[128];
	struct noise_engine *e = noise_engine_new();
	struct buf plain = { .len = 0 };
	enum err rc = noise_seal(e, &c->tx, preface, sizeof(preface),
	    sealed);	/* with the NUL: 9 + 24 bytes */

	if (rc == ERR_OK)
		rc = doctor_net_write(c->s, sealed, noise_sealed_bytes(sizeof(preface)));
	while (rc == ERR_OK && (rc = open_records(c, e, &plain)) == ERR_OK && !has_ack(&plain))
		rc = plain.len > PLAIN_MAX_BYTES ? ERR_LIMIT : doctor_net_read(c->s, &c->in,
		    c->in.len + 1);
	buf_fini(&plain);
	noise_engine_free(e);
	return rc;
}

/* --- the two ways ------------------------------------------------------------------------------- */

static void
control_fini(struct control *c)
{
	doctor_net_close(c->s);
	buf_fini(&c->in);
	explicit_bzero(c, sizeof(*c));
}

void
doctor_control(void *login, struct doctor_report *r)
{
	struct control c = { .login = login, .name = "control", .level = DOCTOR_FAIL };
	struct buf request = { .len = 0 };
	enum err rc;

	if (!begin(&c, r))
		goto out;
	buf_printf(&request, "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\n"
	    "Content-Length: 0\r\nConnection: upgrade\r\nUpgrade:"
	    " tailscale-control-protocol\r\nX-Tailscale-Handshake: %s\r\n\r\n", c.login->target.host,
	    c.hello);
	if (doctor_net_write(c.s, request.p, request.len) != ERR_OK || !take_101(&c, r))
		goto out;
	if (doctor_net_read(c.s, &c.in, NOISE_ANSWER_BYTES) != ERR_OK) {
		bad(&c, r, "after the upgrade nothing comes through: a proxy in between holds bytes"
		    " back",
		    TODO_UPGRADE);
		goto out;
	}
	if (!finish(&c, c.in.p, r))
		goto out;
	buf_consume(&c.in, NOISE_ANSWER_BYTES);
	if ((rc = round_trip(&c)) != ERR_OK)
		bad(&c, r, rc == ERR_AGAIN ? "after the handshake nothing more comes through: a proxy"
		    " in between holds bytes back" : "the connection broke after the handshake",
		    TODO_UPGRADE);
	else
		doctor_ok(r, "control", "upgrade, Noise handshake and HTTP/2 inside work");
out:
	buf_fini(&request);
	control_fini(&c);
}

/* "+", "/" and "=" are all that base64 has to be escaped. */
static void
put_escaped(struct buf *b, const char *base64)
{
	for (; *base64 != 0; base64++)
		if (strchr("+/=", *base64) != NULL)
			buf_printf(b, "%%%02X", (unsigned char)*base64);
		else
			buf_byte(b, (uint8_t)*base64);
}

void
doctor_websocket(void *login, struct doctor_report *r)
{
	struct control c = { .login = login, .name = "websocket", .level = DOCTOR_WARN };
	struct buf request = { .len = 0 };
	uint8_t raw[16];

	if (!begin(&c, r))
		goto out;
	randombytes_buf(raw, sizeof(raw));
	sodium_bin2base64(c.ws_key, sizeof(c.ws_key), raw, sizeof(raw), sodium_base64_VARIANT_ORIGINAL);
	buf_str(&request, "GET /ts2021?X-Tailscale-Handshake=");
	put_escaped(&request, c.hello);
	buf_printf(&request, " HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol:"
	    " tailscale-control-protocol\r\n\r\n", c.login->target.host,
	    c.ws_key);
	if (doctor_net_write(c.s, request.p, request.len) != ERR_OK || !take_101(&c, r))
		goto out;
	/* One unmasked frame below 126 bytes. */
	if (doctor_net_read(c.s, &c.in, 2 + NOISE_ANSWER_BYTES) != ERR_OK ||
	    c.in.p[0] != (0x80 | WS_BINARY) || c.in.p[1] < NOISE_ANSWER_BYTES ||
	    c.in.p[1] > WS_CONTROL_MAX_BYTES)
		bad(&c, r, "after the upgrade nothing comes through", TODO_UPGRADE);
	else if (finish(&c, c.in.p + 2, r))
		doctor_ok(r, "websocket", "upgrade and Noise handshake work: browsers can be nodes");
out:
	buf_fini(&request);
	control_fini(&c);
}
