/* Requests inside Noise: from a whole HTTP/2 request to a struct and a hook, or to an answer. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "coord/machine.h"
#include "coord/ts2021_conn.h"

#define BUSY_RETRY_S 5	/* what clients wait by themselves */

static void
answer_text(struct ts2021_conn *c, struct h2_stream *s, int status, const char *text)
{
	struct buf b = { 0 };

	buf_str(&b, text);
	buf_byte(&b, '\n');
	h2_answer(c->h2, s, &(struct h2_answer){ .status = status, .content_type = "text/plain",
	    .body = shbuf_new(b.p, b.len) });
	buf_fini(&b);
}

static void
answer_not_taken(struct ts2021_conn *c, struct h2_stream *s, enum err rc)
{
	bool is_busy = rc == ERR_BUSY;

	h2_answer(c->h2, s, &(struct h2_answer){ .status = is_busy ? 429 : 503,
	    .content_type = "text/plain", .retry_after_s = is_busy ? BUSY_RETRY_S : 0,
	    .body = shbuf_new("the server is busy\n", 19) });
}

static void
answer_whoami(struct ts2021_conn *c, struct h2_stream *s)
{
	char key[KEY_TEXT_MAX], addr[NET_TEXT_MAX];
	struct buf b = { 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "machineKey", machine_key_put(&c->machine, key));
	json_w_int(&w, "capabilityVersion", c->version);
	json_w_str(&w, "address", net_addr_put(io_peer(c->io), addr));
	json_w_obj_close(&w);
	h2_answer(c->h2, s, &(struct h2_answer){ .status = 200,
	    .content_type = "application/json", .body = shbuf_new(b.p, b.len) });
	buf_fini(&b);
}

static struct ctl_peer
peer_of(const struct ts2021_conn *c, const struct h2_stream *s)
{
	return (struct ctl_peer){ .conn = c->ref, .stream = s->id, .machine = c->machine,
		.addr = *io_peer(c->io), .noise_version = c->version };
}

static void
request_register(struct ts2021_conn *c, struct h2_stream *s)
{
	const struct ts2021_hooks *hooks = &c->tw->ctl->hooks;
	struct ctl_peer from = peer_of(c, s);
	struct register_req *req = NULL;
	struct err_text why = { "" };
	enum err rc;

	if (msg_register_parse(s->body.p, s->body.len, &req, &why) != ERR_OK) {
		answer_text(c, s, 400, why.s);
		return;
	}
	s->note.kind = TS2021_REGISTER;
	if ((rc = hooks->on_register(hooks->arg, &from, req)) == ERR_OK) {
		s->note.flags |= TS2021_AWAITS;
		return;
	}
	msg_register_free(req);
	answer_not_taken(c, s, rc);
}

static void
request_map(struct ts2021_conn *c, struct h2_stream *s)
{
	const struct ts2021_hooks *hooks = &c->tw->ctl->hooks;
	struct ctl_peer from = peer_of(c, s);
	struct map_req *req = NULL;
	struct err_text why = { "" };
	enum err rc;

	if (msg_map_parse(s->body.p, s->body.len, &req, &why) != ERR_OK) {
		answer_text(c, s, 400, why.s);
		return;
	}
	s->note.kind = TS2021_MAP;
	if ((rc = hooks->on_map(hooks->arg, &from, req)) == ERR_OK) {
		s->note.flags |= TS2021_AWAITS;
		return;
	}
	msg_map_free(req);
	answer_not_taken(c, s, rc);
}

static void
request_ssh(struct ts2021_conn *c, struct h2_stream *s)
{
	const struct ts2021_hooks *hooks = &c->tw->ctl->hooks;
	struct ctl_peer from = peer_of(c, s);
	struct ssh_req req;
	struct err_text why = { "" };
	char text[sizeof(why.s) + 8];
	enum err rc;

	if (msg_ssh_parse(s->path, &req, &why) != ERR_OK) {	/* an error status would be asked again */
		snprintf(text, sizeof(text), "# %s.\r\n", why.s);
		h2_answer(c->h2, s, &(struct h2_answer){ .status = 200,
		    .content_type = "application/json", .body = msg_ssh_put(&(struct ssh_action){
		    .is_reject = true, .message = text }) });
		return;
	}
	s->note.kind = TS2021_SSH;
	if ((rc = hooks->on_ssh(hooks->arg, &from, &req)) == ERR_OK)
		s->note.flags |= TS2021_AWAITS;
	else
		answer_not_taken(c, s, rc);
}

static void
request_pong(struct ts2021_conn *c, struct h2_stream *s)
{
	const struct ts2021_hooks *hooks = &c->tw->ctl->hooks;
	const char *at = strstr(s->path, "?id=");
	unsigned long long id = 0;
	int n = 0;

	if (at != NULL && sscanf(at + 4, "%16llx%n", &id, &n) == 1 && at[4 + n] == '\0')
		hooks->on_pong(hooks->arg, &c->machine, id);
	h2_answer(c->h2, s, &(struct h2_answer){ .status = 200, .content_type = "text/plain" });
}

void
ts2021_on_request(void *arg, struct h2_stream *s)
{
	struct ts2021_conn *c = arg;
	const struct machine_route *r;

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	c->has_asked = true;
	r = machine_route(s->method, s->path, c->version);
	switch (r->act) {
	case MACHINE_ANSWER:
		h2_answer(c->h2, s, &(struct h2_answer){ .status = r->status,
		    .content_type = r->content_type,
		    .body = shbuf_new(r->text, strlen(r->text)) });
		break;
	case MACHINE_REGISTER:
		request_register(c, s);
		break;
	case MACHINE_MAP:
		request_map(c, s);
		break;
	case MACHINE_SSH:
		request_ssh(c, s);
		break;
	case MACHINE_WHOAMI:
		answer_whoami(c, s);
		break;
	case MACHINE_PONG:
		request_pong(c, s);
		break;
	}
}

void
ts2021_on_closed(void *arg, struct h2_stream *s)
{
	struct ts2021_conn *c = arg;
	const struct ts2021_hooks *hooks;

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	hooks = &c->tw->ctl->hooks;
	c->idle_ms = c->tw->w->now_ms;
	if (s->note.flags & TS2021_AWAITS)
		hooks->on_gone(hooks->arg, c->ref, s->id, io_silent_ms(c->io));
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The stream if a hook's answer is still due on it. */
static struct h2_stream *
find_awaiting(struct ts2021_conn *c, int32_t stream)
{
	struct h2_stream *s = h2_find(c->h2, stream);

	return s != NULL && (s->note.flags & TS2021_AWAITS) != 0 ? s : NULL;
}

/* Nothing of what was to come is due any more. */
static void
settle(struct h2_stream *s, int64_t now_ms)
{
	s->note.flags = 0;
	s->note.at_ms = now_ms;
}

void
ts2021_conn_reply(struct ts2021_conn *c, int32_t stream, const struct h2_answer *a)
{
	struct h2_stream *s = find_awaiting(c, stream);

	if (s == NULL) {
		shbuf_drop(a->body);
		return;
	}
	settle(s, c->tw->w->now_ms);
	if (s->is_answered)
		h2_push(c->h2, s, &(struct h2_part){ .is_last = true });
	h2_answer(c->h2, s, a);
	worker_flush_ask(c->tw->w, &c->flush);
}

void
ts2021_conn_map_send(struct ts2021_conn *c, int32_t stream, struct h2_part *part)
{
	struct h2_stream *s = find_awaiting(c, stream);
	size_t n_bytes = 0;

	if (s == NULL || s->note.kind != TS2021_MAP) {
		for (unsigned i = 0; i < part->n; i++)
			shbuf_drop(part->segs[i]);
		return;
	}
	io_known(c->io);	/* a map is for nodes of ours only */
	ts2021_conn_known(c);
	for (unsigned i = 0; i < part->n; i++)
		n_bytes += part->segs[i]->len;
	if (n_bytes > 0) {
		msg_map_put_length(part->prefix, n_bytes);
		part->n_prefix = MSG_MAP_LENGTH_BYTES;
	}
	if (part->is_last)
		settle(s, c->tw->w->now_ms);
	else
		s->note.flags |= TS2021_UNDER_WAY;
	s->note.at_ms = c->tw->w->now_ms;
	h2_push(c->h2, s, part);
	worker_flush_ask(c->tw->w, &c->flush);
}

void
ts2021_conn_stream_end(struct ts2021_conn *c, int32_t stream)
{
	struct h2_stream *s = find_awaiting(c, stream);

	if (s == NULL)
		return;
	settle(s, c->tw->w->now_ms);
	if (s->is_answered)
		h2_push(c->h2, s, &(struct h2_part){ .is_last = true });
	else
		answer_text(c, s, 503, "ended by the server: ask again");
	worker_flush_ask(c->tw->w, &c->flush);
}
