/* The order of start and stop. */
#include "server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "server/datadir.h"
#include "server/metrics_port.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/regions_file.h"
#include "server/serve_private.h"
#include "web/flapi_traffic.h"

/* Every connection is a descriptor (two when passed to libmicrohttpd). */
void
serve_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) != 0)
			log_warn(LOG_SERVER, "open file limit stays low", "err", strerror(errno));
	}
}

static enum err
load_keys(struct serve *s, struct err_text *why)
{
	static const struct { const char *file; size_t offset; } keys[] = {
		{ "noise_private.key", offsetof(struct serve, noise_key) },
		{ "derp_private.key", offsetof(struct serve, derp_key) },
	};

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		char path[4200];
		struct private_key *key = (void *)((char *)s + keys[i].offset);

		snprintf(path, sizeof(path), "%s/%s", s->cfg->data_dir, keys[i].file);
		enum err rc = private_key_file(path, true, key, why);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

/* Host that clients know us by: of server_url, else this machine's address. */
static enum err
find_host(struct serve *s, struct err_text *why)
{
	if (s->cfg->server_url[0] != '\0') {
		enum err rc = address_url_parse(s->cfg->server_url, &s->url_parts, why);
		if (rc != ERR_OK)
			return rc;
	} else if (s->cfg->acme.hostname[0] != '\0') {
		snprintf(s->url_parts.host, sizeof(s->url_parts.host), "%s", s->cfg->acme.hostname);
	} else if (s->cfg->tls.cert_file[0] != '\0') {
		return err_say(why, ERR_INVAL, "server_url is needed beside tls_cert_path: clients"
		    " check the certificate's name (server_url: https://name)");
	} else {
		struct net_ip own;
		address_own(4, &own);
		if (own.family == 0)
			address_own(6, &own);
		if (own.family == 0)
			snprintf(s->url_parts.host, sizeof(s->url_parts.host), "127.0.0.1");
		else
			net_ip_put(&own, s->url_parts.host);
	}
	const char *host = s->url_parts.host;
	if (s->cfg->derp.hostname[0] != '\0')
		host = s->cfg->derp.hostname;
	else if (s->cfg->acme.hostname[0] != '\0')
		host = s->cfg->acme.hostname;
	snprintf(s->host, sizeof(s->host), "%s", host);
	return ERR_OK;
}

/* With sockets bound, the URL is known whole: without a certificate that clients trust it is plain http. */
static enum err
find_url(struct serve *s, struct err_text *why)
{
	uint16_t https, http;

	door_ports(s->door, &https, &http);
	if (s->cfg->server_url[0] == '\0' && s->acme != NULL) {
		s->url_parts.is_https = true;
		s->url_parts.port = https;
	} else if (s->cfg->server_url[0] == '\0') {
		if (http == 0)
			return err_say(why, ERR_INVAL, "server_url is needed when listen_http is empty");
		s->url_parts.is_https = false;
		s->url_parts.port = http;
	}
	address_url_put(&s->url_parts, s->url, sizeof(s->url));
	return ERR_OK;
}

static void
make_answers(struct serve *s)
{
	struct machine_key pub;
	struct net_ip ip;
	char text[KEY_TEXT_MAX], ip_text[NET_TEXT_MAX];

	ts2021_public_key(coord_control(s->coord), &pub);
	snprintf(s->key_json, sizeof(s->key_json),
	    "{\"legacyPublicKey\":\"mkey:%064d\",\"publicKey\":\"%s\"}", 0,
	    machine_key_put(&pub, text));
	address_own(4, &ip);
	if (net_ip_parse(s->host, strlen(s->host), &(struct net_ip){ 0 }) == ERR_OK ||
	    ip.family == 0 || net_ip_is_private(&ip))
		snprintf(s->bootstrap_json, sizeof(s->bootstrap_json), "{}");
	else
		snprintf(s->bootstrap_json, sizeof(s->bootstrap_json), "{\"%s\":[\"%s\"]}", s->host,
		    net_ip_put(&ip, ip_text));
}

static void
admit(void *arg, const struct node_key *key)
{
	struct serve *s = arg;

	relay_admit(s->relay, key);
}

static void
expel(void *arg, const struct node_key *key)
{
	struct serve *s = arg;

	relay_expel(s->relay, key);
}

static bool
is_relayed(void *arg, const struct node_key *key)
{
	struct serve *s = arg;

	return relay_has(s->relay, key);
}

static void
quota_charge(void *arg, const struct node_key *key, struct quota *const *quotas, unsigned n)
{
	struct serve *s = arg;

	relay_quota_take(s->relay, key, quota_set_new(quotas, n));
}

static const struct tailnet_quota_ops quota_ops = {
	.make = quota_new, .drop = quota_drop, .set_rate = quota_set_rate, .charge = quota_charge,
};

static enum err
make_coord(struct serve *s, struct err_text *why)
{
	uint16_t https, http;
	struct coord_params p = {
		.base = coordinator_base(s->coordinator),
		.mbox = coordinator_mbox(s->coordinator),
		.workers = s->workers,
		.cfg = s->cfg,
		.noise_key = &s->noise_key,
		.is_held = s->takeover != NULL,
	};

	enum err rc = regions_file_load(&s->cfg->derp.paths, &p.regions, &p.n_regions, why);
	if (rc != ERR_OK)
		return rc;
	door_ports(s->door, &https, &http);
	p.tailnet = (struct tailnet_deps){
		.arg = s,
		.admit = admit,
		.expel = expel,
		.relay_arg = s,
		.is_relayed = is_relayed,
		.quota_ops = &quota_ops,
		.derp_host = s->host,
		.derp_pin = serve_derp_pin(s),
		.derp_port = https,
		.stun_port = relay_stun_port(s->relay),
		.http_port = http,
		.server_url = s->url,
	};
	return coord_new(&p, &s->coord, why);
}

enum err
serve_open(struct serve *s, struct err_text *why)
{
	enum err rc;
	uint8_t derp_public[KEY_BYTES];

	if ((rc = coordinator_new(&s->coordinator, why)) != ERR_OK ||
	    (rc = serve_cert_open(s, why)) != ERR_OK ||
	    (rc = worker_group_new(s->cfg->workers, &s->workers, why)) != ERR_OK)
		return rc;
	if ((rc = relay_new(s->cfg, s->workers, &s->derp_key, &s->relay)) != ERR_OK)
		return err_say(why, rc, "cannot make the relay");
	if (s->cfg->derp.is_enabled && (rc = relay_mesh_open(s->relay, why)) != ERR_OK)
		return rc;
	relay_public_key(s->relay, derp_public);
	if ((rc = tls_add_derp_meta(s->tls, derp_public, why)) != ERR_OK ||
	    (rc = door_new(s->cfg, s->workers, s->tls, &s->door, why)) != ERR_OK ||
	    (rc = door_listen(s->door, why)) != ERR_OK)
		return rc;
	return relay_stun_listen(s->relay, why);
}

/* Everything up to the bound sockets: what a second server or a wrong path fails at. */
static enum err
make_front(struct serve *s, struct err_text *why)
{
	enum err rc;

	rc = s->options.takes_over ?
	    takeover_begin(s->cfg->data_dir, &s->takeover, &s->lock_fd, why) :
	    datadir_open(s->cfg->data_dir, &s->lock_fd, why);
	if (rc != ERR_OK ||
	    (rc = datadir_check(s->cfg->data_dir, why)) != ERR_OK ||
	    (rc = load_keys(s, why)) != ERR_OK ||
	    (rc = find_host(s, why)) != ERR_OK ||
	    (rc = serve_open(s, why)) != ERR_OK)
		return rc;
	return find_url(s, why);
}

/* Monitoring that cannot begin is no reason to serve nobody. */
void
serve_metrics(struct serve *s)
{
	struct err_text why;

	if (s->cfg->listen_metrics[0] != '\0' && metrics_port_open(coordinator_base(s->coordinator),
	    s->cfg->listen_metrics, &s->metrics, &why) != ERR_OK)
		log_warn(LOG_SERVER, "no metrics", "err", why.s);
}

enum err
serve_new(const struct config *cfg, const struct serve_options *options, struct serve **out,
    struct err_text *why)
{
	struct serve *s = obj_alloc(sizeof(*s));
	enum err rc;

	s->magic = SERVE_MAGIC;
	s->cfg = cfg;
	s->options = *options;
	s->lock_fd = -1;
	serve_descriptors();
	if ((rc = make_front(s, why)) != ERR_OK ||
	    (rc = privileges_drop(cfg, why)) != ERR_OK ||
	    (rc = serve_handover_database(s, why)) != ERR_OK ||
	    (rc = make_coord(s, why)) != ERR_OK ||
	    (rc = http_new(coordinator_base(s->coordinator), cfg, s->coord, &s->http, why)) != ERR_OK ||
	    (rc = http_listen_unix(s->http, cfg->unix_socket, why)) != ERR_OK ||
	    (rc = serve_handover_open(s, why)) != ERR_OK) {
		struct takeover *t = s->takeover;

		s->takeover = NULL;
		if (t != NULL && s->http != NULL)
			http_unix_leave(s->http);
		serve_free(s);
		takeover_free(t, why);
		return rc;
	}
	s->backup = backup_new(cfg, coordinator_mbox(s->coordinator), s->http);
	flapi_traffic_attach(s->http, s->relay, coordinator_mbox(s->coordinator));
	serve_metrics(s);
	make_answers(s);
	serve_routes(s);
	*out = s;
	return ERR_OK;
}

enum err
serve_run(struct serve *s, struct err_text *why)
{
	OBJ_CHECK(s, SERVE_MAGIC);
	/* Who gets an answer finds the first user there. */
	http_unix_serve(s->http, false);
	enum err rc = serve_handover_finish(s, why);
	if (rc != ERR_OK || (rc = serve_first(s, why)) != ERR_OK ||
	    (rc = worker_group_start(s->workers, why)) != ERR_OK)
		return rc;
	http_unix_serve(s->http, true);
	serve_cert_start(s);
	serve_memory_start(s);
	notify_ready();
	coordinator_run(s->coordinator);
	if (s->has_failed)
		return err_say(why, ERR_IO, "lock or database did not come back from the server that failed to"
		    " take over");
	if (!s->has_left)
		notify_stopping();
	return ERR_OK;
}

void
serve_free(struct serve *s)
{
	if (s == NULL)
		return;
	OBJ_CHECK(s, SERVE_MAGIC);
	if ((s->takeover != NULL || s->has_left) && s->http != NULL)
		http_unix_leave(s->http);
	handover_free(s->handover);
	if (s->door != NULL)
		door_close(s->door);
	if (s->workers != NULL)
		worker_group_stop(s->workers);
	metrics_port_close(s->metrics);
	backup_stop(s->backup);
	http_free(s->http);
	if (s->coord != NULL)
		coord_stop(s->coord);
	coord_free(s->coord);
	backup_free(s->backup);
	if (s->relay != NULL)
		relay_stun_close(s->relay);
	door_free(s->door);
	relay_free(s->relay);
	serve_memory_close(s);
	serve_cert_close(s);
	coordinator_free(s->coordinator);
	worker_group_free(s->workers);
	tls_free(s->tls);
	datadir_close(&s->lock_fd);
	takeover_free(s->takeover, NULL);
	explicit_bzero(&s->noise_key, sizeof(s->noise_key));
	explicit_bzero(&s->derp_key, sizeof(s->derp_key));
	s->magic = 0;
	free(s);
}
