/* The page of an SSH login that waits. */
#include "web/ssh_page.h"

#include <stdio.h>

#include "base/clock.h"
#include "web/flapi.h"
#include "web/html.h"

static void
page_over(struct http_req *q)
{
	struct buf b = { .len = 0 };

	html_open(&b, "No SSH login waits here");
	buf_printf(&b, "<p>It is approved or rejected already, or it is over: each waits for %d minutes,"
	    " and ends when the policy changes. Connect again to be asked again.</p>\n", SSH_CHECK_LIFE_S / 60);
	html_close(&b);
	html_reply_take(q, 404, &b);
}

static void
page_say(struct http_req *q, int status, const char *title, const char *text)
{
	struct buf b = { .len = 0 };

	html_open(&b, title);
	buf_str(&b, "<p>");
	html_text(&b, text);
	buf_str(&b, "</p>\n");
	html_close(&b);
	html_reply_take(q, status, &b);
}

static const struct node *
node_of(const struct tailnet *t, int64_t id)
{
	return map_find(&t->nodes, &id);
}

/* Administrators; the user who sits at the source, which tags have no user. */
static bool
may_decide(const struct tailnet *t, const struct auth *who, const struct ssh_check *c)
{
	const struct node *src = node_of(t, c->who.src_id);

	if (auth_may(who, SCOPE_DEVICES, true))
		return true;
	return who->kind == AUTH_SESSION && who->user_id != 0 && src != NULL && src->n_tags == 0 &&
	    src->user_id == who->user_id;
}

static void
put_node(struct buf *b, const struct tailnet *t, const char *head, int64_t id)
{
	const struct node *n = node_of(t, id);
	char ip[NET_TEXT_MAX];

	html_line(b, head, n != NULL ? n->name : "", n != NULL ? net_ip_put(&n->ip4, ip) : "");
}

static void
put_owner(struct buf *b, const struct tailnet *t, int64_t id)
{
	const struct node *n = node_of(t, id);
	const struct user *u = n == NULL ? NULL : map_find(&t->users, &n->user_id);
	struct buf tags = { .len = 0 };

	for (unsigned i = 0; n != NULL && i < n->n_tags; i++)
		buf_printf(&tags, "%s%s", i > 0 ? " " : "", n->tags[i]);
	html_line(b, "Whose node that is", tags.len > 0 ? buf_cstr(&tags) : u != NULL ? u->name : "", "");
	buf_fini(&tags);
}

static void
put_check(struct buf *b, const struct tailnet *t, const struct ssh_check *c)
{
	char when[CLOCK_RFC3339_BYTES], text[80];
	bool is_hours = c->period_s % 3600 == 0;

	buf_str(b, "<dl>\n");
	put_node(b, t, "From", c->who.src_id);
	put_owner(b, t, c->who.src_id);
	put_node(b, t, "To", c->who.dst_id);
	html_line(b, "As the user", c->who.user, "");
	html_line(b, "Asked at", clock_rfc3339(c->created_unix_s, when), "");
	snprintf(text, sizeof(text), "for %lld %s from then on",
	    (long long)(is_hours ? c->period_s / 3600 : (c->period_s + 59) / 60), is_hours ? "h" : "min");
	html_line(b, "Approval counts", c->period_s > 0 ? text : "for this connection alone", "");
	buf_str(b, "</dl>\n");
}

static void
page_get(struct http_req *q)
{
	const struct tailnet *t = flapi_tailnet(q);
	const struct ssh_check *c = tailnet_ssh_find(t, q->params[0]);
	char expires[CLOCK_RFC3339_BYTES];
	struct buf b = { .len = 0 };
	struct auth who;

	if (c == NULL) {
		page_over(q);
		return;
	}
	html_open(&b, "An SSH login waits for approval");
	put_check(&b, t, c);
	if (http_who_session(q, &who) && may_decide(t, &who, c))
		buf_printf(&b, "<p>Approve only what is your own doing, or what you know of.</p>\n"
		    "<form method=\"post\" action=\"" TAILNET_SSH_PAGE "/%s/approve\">"
		    "<button class=\"primary\">Approve</button></form>\n"
		    "<form method=\"post\" action=\"" TAILNET_SSH_PAGE "/%s/reject\">"
		    "<button>Reject</button></form>\n", c->id, c->id);
	else if (html_has_console(q))
		buf_str(&b, "<p>An administrator, or the user whose node it is, decides here once they are <a"
		    " href=\"/login\">signed in to the console</a>.</p>\n");
	buf_printf(&b, "<p>On the server, an administrator lets it go on with</p>\n"
	    "<pre>fairlead ssh approve %s</pre>\n<p>and ends it with</p>\n"
	    "<pre>fairlead ssh reject %s</pre>\n"
	    "<p>Undecided, it ends at %s.</p>\n", c->id, c->id,
	    clock_rfc3339(c->expires_unix_s, expires));
	html_close(&b);
	html_reply_take(q, 200, &b);
}

static void
on_approved(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc == ERR_OK)
		page_say(q, 200, "Approved", "The connection goes on by itself.");
	else
		page_say(q, 409, "Not approved", res->why.s);
}

static void
on_rejected(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc == ERR_OK)
		page_say(q, 200, "Rejected", "The connection is ended.");
	else
		page_say(q, 409, "Not rejected", res->why.s);
}

/* The check of the path, if who asks may decide it; NULL: answered. */
static const struct ssh_check *
check_to_decide(struct http_req *q)
{
	const struct ssh_check *c = tailnet_ssh_find(flapi_tailnet(q), q->params[0]);

	if (c == NULL) {
		page_over(q);
	} else if (!may_decide(flapi_tailnet(q), &q->who, c)) {
		page_say(q, 403, "Not yours to decide", "Administrators decide this, and the user whose node "
		    "the login comes from.");
		c = NULL;
	}
	return c;
}

static void
page_approve(struct http_req *q)
{
	const struct ssh_check *c = check_to_decide(q);

	if (c != NULL)
		tailnet_ssh_approve(flapi_tailnet(q), &q->who.actor, c->id, on_approved, q);
}

static void
page_reject(struct http_req *q)
{
	const struct ssh_check *c = check_to_decide(q);

	if (c != NULL)
		tailnet_ssh_reject(flapi_tailnet(q), &q->who.actor, c->id, on_rejected, q);
}

const struct http_route ssh_page_routes[] = {
	{ "GET", TAILNET_SSH_PAGE "/{id}", HTTP_PUBLIC, false, page_get },
	{ "POST", TAILNET_SSH_PAGE "/{id}/approve", HTTP_KNOWN, false, page_approve },
	{ "POST", TAILNET_SSH_PAGE "/{id}/reject", HTTP_KNOWN, false, page_reject },
};
const size_t ssh_page_routes_count = COUNT_OF(ssh_page_routes);
