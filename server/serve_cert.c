/* The door's certificate while the server runs: files that change, ACME, what the DERP map and
 * metrics say of it. */
#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/notify.h"
#include "server/serve_private.h"

static void
publish(struct serve *s)
{
	int64_t from, until;

	tls_dates(s->tls, &from, &until);
	metric_set(METRIC_CERT_EXPIRY, until);
	if (s->acme != NULL && tls_is_self_signed(s->tls))
		acme_set_dates(s->acme, 0, 0);
	else if (s->acme != NULL)
		acme_set_dates(s->acme, from, until);
}

static void
look(struct serve *s, bool is_now)
{
	if (!tls_check(s->tls, is_now))
		return;
	if (s->coord != NULL)
		coord_set_derp_pin(s->coord, serve_derp_pin(s));
	if (s->on_cert != NULL)
		s->on_cert(s);
	publish(s);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(s, SERVE_MAGIC);
	look(s, false);
}

static void
on_hup(void *arg)
{
	struct serve *s = arg;

	OBJ_CHECK(s, SERVE_MAGIC);
	notify_reloading();
	log_info(LOG_SERVER, "looking at the certificate", "signal", "HUP");
	look(s, true);
	if (s->acme != NULL)
		acme_hurry(s->acme);
	notify_ready();
}

/* Good for a while, not only good: otherwise it would be asked for again at once, and again. */
static bool
on_issued(void *arg)
{
	struct serve *s = arg;
	int64_t from, until;

	OBJ_CHECK(s, SERVE_MAGIC);
	look(s, true);
	tls_dates(s->tls, &from, &until);
	return !tls_is_self_signed(s->tls) && acme_due_unix_s(from, until) > clock_wall_s();
}

const char *
serve_derp_pin(const struct serve *s)
{
	return tls_is_self_signed(s->tls) ? tls_pin(s->tls) : NULL;
}

enum err
serve_cert_open(struct serve *s, struct err_text *why)
{
	struct acme_params p = {
		.base = coordinator_base(s->coordinator),
		.cfg = s->cfg,
		.program = "uacme",
		.run_ms = ACME_RUN_MS,
		.issued = on_issued,
		.arg = s,
	};
	enum err rc = tls_new(s->cfg, s->host, &s->tls, why);

	if (rc != ERR_OK || s->cfg->acme.hostname[0] == '\0')
		return rc;
	if ((rc = acme_new(&p, &s->acme, why)) == ERR_OK)
		tls_prefer(s->tls, acme_cert_file(s->acme), acme_key_file(s->acme));
	return rc;
}

void
serve_cert_start(struct serve *s)
{
	const struct timeval every = { .tv_sec = TLS_CHECK_MS / 1000 };

	s->cert_timer = event_new(coordinator_base(s->coordinator), -1, EV_PERSIST, on_look, s);
	ASSERT(s->cert_timer != NULL);
	ASSERT(event_add(s->cert_timer, &every) == 0);
	coordinator_on_hup(s->coordinator, on_hup, s);
	publish(s);
}

void
serve_cert_close(struct serve *s)
{
	if (s->cert_timer != NULL)
		event_free(s->cert_timer);
	s->cert_timer = NULL;
	acme_free(s->acme);
	s->acme = NULL;
}
