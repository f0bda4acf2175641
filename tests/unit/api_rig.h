/* The whole API in front of a real tailnet and a real store: requests as they come from the door. One test
 * program each. */
#ifndef TESTS_UNIT_API_RIG_H
#define TESTS_UNIT_API_RIG_H

#include <stdlib.h>
#include <sys/socket.h>

#include "store_file.h"

#include "web/api.h"
#include "web/http.h"

static struct http *rig_http;
static struct audit_reader *rig_audit;
static struct policies_reader *rig_policies;
static bool rig_is_tls;
static const char *rig_peer;

struct tailnet *
coord_tailnet(struct coord *c, const char *name)
{
	(void)c;
	return strcmp(name, "default") == 0 ? fake.t : NULL;
}

const struct config *
coord_config(const struct coord *c)
{
	(void)c;
	return &fake.cfg;
}

const struct shbuf *
coord_derp_map(const struct coord *c)
{
	(void)c;
	return NULL;
}

struct audit_reader *
coord_audit(struct coord *c)
{
	(void)c;
	return rig_audit;
}

struct policies_reader *
coord_policies(struct coord *c)
{
	(void)c;
	return rig_policies;
}

/* Users ann (owner, 1) and bob (member, 2); node 1 "edge-1" of ann, node 2 "cam" tagged tag:cam. */
static inline int
rig_start(void)
{
	static char data_dir[] = "/data", socket_path[] = "/run/x.sock";
	struct err_text why = { "" };

	fake_start();
	fake.cfg.limits.conns = 100;
	fake.cfg.data_dir = data_dir;
	fake.cfg.unix_socket = socket_path;
	fake.t->deps.server_url = "https://vpn.example.com";
	if (http_new(fake.base, &fake.cfg, NULL, &rig_http, &why) != ERR_OK ||
	    audit_reader_new(fake_db_path, fake.t->id, &rig_audit, &why) != ERR_OK ||
	    policies_reader_new(fake_db_path, fake.t->id, &rig_policies, &why) != ERR_OK)
		fail_msg("%s", why.s);
	rig_is_tls = true;
	rig_peer = "203.0.113.9:4711";
	return 0;
}

static inline void
rig_stop(void)
{
	audit_reader_free(rig_audit);
	policies_reader_free(rig_policies);
	http_free(rig_http);
	fake_stop();
}

static inline void
rig_fill(void)
{
	int64_t ann = fake_user("ann", USER_OWNER);
	char text[AUTHKEY_TEXT_MAX];

	fake_user("bob", USER_MEMBER);
	snprintf(text, sizeof(text), "%s", fake_key(ann, "r", NULL, 0));
	fake_register(&(struct fake_req){ .machine = 1, .key = 1, .auth = text, .hostname = "Edge 1" });
	fake_commit();
	snprintf(text, sizeof(text), "%s", fake_key(ann, "", "tag:cam", 0));
	fake_register(&(struct fake_req){ .machine = 2, .key = 2, .auth = text, .hostname = "cam" });
	fake_commit();
	assert_int_equal(fake.t->nodes.count, 2);
}

static inline int
rig_connect(void)
{
	struct net_addr peer;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(net_addr_parse(rig_peer, strlen(rig_peer), &peer), ERR_OK);
	http_add_take(rig_http, fds[1], &peer, rig_is_tls, (struct conn_ref){ .generation = 0 });
	return fds[0];
}

/* Reads until the end, or until what has come holds the text. */
static inline void
rig_read(int fd, struct buf *in, const char *until)
{
	char chunk[65536];
	ssize_t n;

	for (;;) {
		if (until != NULL && strstr(buf_cstr(in), until) != NULL)
			return;
		if ((n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT)) == 0)
			return;
		if (n > 0)
			buf_append(in, chunk, (size_t)n);
		else
			assert_int_equal(event_base_loop(fake.base, EVLOOP_ONCE), 0);
	}
}

/* A request; fields are whole lines or "". The answer's head and body stay in *raw (the caller's). */
static inline int
rig_ask_raw(const char *method, const char *target, const char *fields, const char *body, struct buf *raw)
{
	struct buf request = { .len = 0 };
	int fd = rig_connect();

	buf_printf(&request, "%s %s HTTP/1.1\r\nHost: vpn.example.com\r\nConnection: close\r\n%s"
	    "Content-Length: %zu\r\n\r\n%s", method, target, fields, strlen(body), body);
	assert_int_equal(send(fd, request.p, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
	buf_fini(&request);
	rig_read(fd, raw, NULL);
	close(fd);
	assert_true(raw->len > 12);
	return atoi(buf_cstr(raw) + 9);
}

/* The same, its JSON: every answer of the API has some. The caller drops it. */
static inline int
rig_ask(const char *method, const char *target, const char *fields, const char *body, json_t **out)
{
	struct buf raw = { .len = 0 };
	int status = rig_ask_raw(method, target, fields, body, &raw);
	char *start = strchr(buf_cstr(&raw), '{'), *end = strrchr(buf_cstr(&raw), '}');

	assert_non_null(strstr(buf_cstr(&raw), "\r\nContent-Type: application/json\r\n"));
	assert_true(start != NULL && end != NULL);
	assert_int_equal(json_parse(start, (size_t)(end - start) + 1, out, NULL), ERR_OK);
	buf_fini(&raw);
	return status;
}

static char rig_bearer[256];

/* A credential's text as a header line, in rig_bearer. */
static inline const char *
rig_cred(const struct tailnet_cred_spec *spec)
{
	tailnet_cred_create(fake.t, &fake_actor, spec, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	snprintf(rig_bearer, sizeof(rig_bearer), "Authorization: Bearer %s\r\n", fake.secret);
	return rig_bearer;
}

/* Started and filled, with an API key of the user as a header line in key. */
static inline void
rig_start_as(int64_t user_id, char key[sizeof(rig_bearer)])
{
	rig_start();
	rig_fill();
	snprintf(key, sizeof(rig_bearer), "%s", rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API,
	    .user_id = user_id }));
}

/* One request, what its answer is to be: a status, and a text that the JSON holds ("" = any). */
struct rig_case {
	const char *method, *target, *body;
	int status;
	const char *holds;
};

static inline void
rig_run(const char *fields, const struct rig_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct rig_case *c = &cases[i];
		struct buf text = { .len = 0 };
		json_t *v = NULL;
		int status = rig_ask(c->method, c->target, fields, c->body, &v);

		json_dump_to(&text, v);
		if (status != c->status || strstr(buf_cstr(&text), c->holds) == NULL)
			fail_msg("%s %s %s: %d %s", c->method, c->target, c->body, status, buf_cstr(&text));
		if (status >= 400)
			assert_non_null(json_object_get(v, "message"));
		json_decref(v);
		buf_fini(&text);
	}
}

#endif
