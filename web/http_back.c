/* Requests for a path of the door: the connection goes back to it. */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "web/http_private.h"

struct head_print {
	struct buf *out;
};

static enum MHD_Result
print_field(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct head_print *p = cls;

	(void)kind;
	buf_printf(p->out, "%s: %s\r\n", name, value != NULL ? value : "");
	return MHD_YES;
}

/* The door has closed its end (or, against the rules, something was sent behind the request). */
static void
on_back_end(evutil_socket_t fd, short what, void *arg)
{
	struct http_req *q = arg;
	char waste[512];

	(void)what;
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	ssize_t n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	event_del(q->_link->ev_back);
	http_resume(q);
}

static bool
path_is_of(const char *path, const char *route)
{
	size_t n = strlen(route);

	if (n > 1 && route[n - 1] == '/')
		return strncmp(path, route, n) == 0 && path[n] != '\0';
	return strcmp(path, route) == 0;
}

static unsigned
upgrade_find(const struct http *h, const struct http_req *q)
{
	char *path = router_path(q->target);
	unsigned i = 0;

	while (i < h->n_upgrades && !path_is_of(path, h->upgrades[i].path))
		i++;
	free(path);
	return i;
}

bool
http_back_start(struct http_req *q, const char *method)
{
	struct http *h = q->_http;
	unsigned i = upgrade_find(h, q);

	if (i == h->n_upgrades || q->peer->pass.generation == 0)
		return false;
	if (http_has_body(q)) {
		http_reply_error(q, 400, "a request for %s takes no body", h->upgrades[i].path);
		return true;
	}
	struct buf head = { .len = 0 };
	const struct buf none = { .len = 0 };
	buf_printf(&head, "%s %s HTTP/1.1\r\n", method, q->target);
	struct head_print print = { .out = &head };
	(void)MHD_get_connection_values(q->_conn, MHD_HEADER_KIND, print_field, &print);
	buf_str(&head, "\r\n");
	http_wait_start(q, HTTP_BACK);
	q->_link->ev_back = event_new(h->base, q->_link->fd, EV_READ | EV_PERSIST, on_back_end, q);
	ASSERT(event_add(q->_link->ev_back, NULL) == 0);
	h->upgrades[i].fn(h->upgrades[i].door, q->peer->pass, &head, &none);
	buf_fini(&head);
	return true;
}

void
http_on_upgrade(struct http *h, const char *path, http_upgrade_fn *fn, struct door *door)
{
	ASSERT(h->n_upgrades < HTTP_UPGRADES_MAX);
	h->upgrades[h->n_upgrades].path = obj_strdup(path);
	h->upgrades[h->n_upgrades].fn = fn;
	h->upgrades[h->n_upgrades++].door = door;
}
