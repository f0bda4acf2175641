/* The order of start and stop of a relay on its own: a struct serve without coord and http. */
#include "server/relay_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "server/datadir.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/relay_link.h"
#include "server/serve_private.h"

#define RELAY_MAIN_MAGIC 0x4e1a7001u

struct relay_main {
	struct serve *serve;		/* owned; its on_cert finds us */
	uint32_t magic;
	struct relay_link *link;	/* owned */
	bool has_host;			/* clients know us by serve->host; else by where we come from */
};

static struct relay_main *only;		/* of this process: a certificate that changes has no other way */

/* Name in the certificate and, if it was given, in the DERP map. */
static enum err
find_host(struct relay_main *m, struct err_text *why)
{
	const struct config *cfg = m->serve->cfg;
	struct net_ip own;

	m->has_host = true;
	if (cfg->derp.hostname[0] != '\0') {
		snprintf(m->serve->host, sizeof(m->serve->host), "%s", cfg->derp.hostname);
	} else if (cfg->acme.hostname[0] != '\0') {
		snprintf(m->serve->host, sizeof(m->serve->host), "%s", cfg->acme.hostname);
	} else if (cfg->tls.cert_file[0] != '\0') {
		return err_say(why, ERR_INVAL, "--hostname NAME is needed beside tls_cert_path: clients "
		    "check the certificate's name");
	} else {
		m->has_host = false;
		address_own(4, &own);
		if (own.family == 0)
			address_own(6, &own);
		if (own.family == 0)
			snprintf(m->serve->host, sizeof(m->serve->host), "127.0.0.1");
		else
			net_ip_put(&own, m->serve->host);
	}
	return ERR_OK;
}

/* What the coordinator is told: coord/relay_hello.h. */
static void
say(struct relay_main *m)
{
	struct serve *s = m->serve;
	const char *pin = serve_derp_pin(s);
	uint8_t key[KEY_BYTES];
	char hex[2 * KEY_BYTES + 1];
	uint16_t https, http, stun = relay_stun_port(s->relay);
	struct buf b = { .len = 0 };
	struct json_writer w;

	door_ports(s->door, &https, &http);
	relay_public_key(s->relay, key);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "version", FAIRLEAD_VERSION);
	json_w_str(&w, "derpKey", key_hex_put(key, KEY_BYTES, hex));
	json_w_obj_open(&w, "node");
	if (m->has_host)
		json_w_str(&w, "hostname", s->host);
	json_w_str(&w, "ipv4", s->cfg->derp.ipv4);
	json_w_str(&w, "ipv6", s->cfg->derp.ipv6);
	json_w_int(&w, "derpPort", https);
	json_w_int(&w, "stunPort", stun != 0 ? stun : -1);
	json_w_str(&w, "certName", pin != NULL ? pin : "");
	json_w_bool(&w, "canPort80", http == 80);
	json_w_obj_close(&w);
	json_w_obj_close(&w);
	relay_link_say(m->link, buf_cstr(&b));
	buf_fini(&b);
}

static void
on_cert(struct serve *s)
{
	ASSERT(only != NULL && only->serve == s);
	say(only);
}

static enum err
open_all(struct relay_main *m, const struct relay_main_options *o, struct err_text *why)
{
	struct serve *s = m->serve;
	char path[4200];
	enum err rc;

	if (s->cfg->listen_https.n == 0)
		return err_say(why, ERR_INVAL, "a relay needs listen_https: clients come over TLS only");
	if (s->cfg->derp.mesh_key_file[0] != '\0')
		return err_say(why, ERR_INVAL, "derp.mesh_key_file is for fairlead serve: a relay gets its "
		    "region's key from the coordinator");
	if ((rc = datadir_open(s->cfg->data_dir, &s->lock_fd, why)) != ERR_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/derp_private.key", s->cfg->data_dir);
	if ((rc = private_key_file(path, true, &s->derp_key, why)) != ERR_OK ||
	    (rc = find_host(m, why)) != ERR_OK ||
	    (rc = serve_open(s, why)) != ERR_OK ||
	    (rc = privileges_drop(s->cfg, why)) != ERR_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/relay_state", s->cfg->data_dir);
	return relay_link_new(&(struct relay_link_params){
		.url = o->coordinator, .pin = o->coordinator_pin, .key = o->key, .state_file = path,
		.relay = s->relay, .fails_open = o->fails_open, .prefers_v4 = !m->has_host,
	}, &m->link, why);
}

enum err
relay_main_new(const struct config *cfg, const struct relay_main_options *options, struct relay_main **out,
	struct err_text *why)
{
	struct relay_main *m = obj_alloc(sizeof(*m));
	struct serve *s = m->serve = obj_alloc(sizeof(*s));
	enum err rc;

	m->magic = RELAY_MAIN_MAGIC;
	s->magic = SERVE_MAGIC;
	s->cfg = cfg;
	s->lock_fd = -1;
	s->on_cert = on_cert;
	only = m;
	serve_descriptors();
	if ((rc = open_all(m, options, why)) != ERR_OK) {
		relay_main_free(m);
		return rc;
	}
	serve_metrics(s);
	serve_routes(s);
	say(m);
	*out = m;
	return ERR_OK;
}

static void
banner(const struct relay_main *m, const struct config *cfg)
{
	uint16_t https, http;

	door_ports(m->serve->door, &https, &http);
	printf("\nFairlead %s is running as a relay.\n\n  Listening       TLS %u", FAIRLEAD_VERSION, https);
	if (http != 0)
		printf("  plain http %u", http);
	if (relay_stun_port(m->serve->relay) != 0)
		printf("  STUN udp %u", relay_stun_port(m->serve->relay));
	printf("\n  Data            %s\n\n", cfg->data_dir);
	fflush(stdout);
}

enum err
relay_main_run(struct relay_main *m, struct err_text *why)
{
	struct serve *s = m->serve;
	enum err rc;

	OBJ_CHECK(m, RELAY_MAIN_MAGIC);
	if ((rc = worker_group_start(s->workers, why)) != ERR_OK)
		return rc;
	serve_cert_start(s);
	serve_memory_start(s);
	if ((rc = relay_link_start(m->link, why)) != ERR_OK)
		return rc;
	banner(m, s->cfg);
	notify_ready();
	coordinator_run(s->coordinator);
	notify_stopping();
	relay_link_stop(m->link);
	if (relay_link_refusal(m->link)[0] != '\0')
		return err_say(why, ERR_DENIED, "the coordinator refuses this relay: %.250s",
		    relay_link_refusal(m->link));
	return ERR_OK;
}

void
relay_main_free(struct relay_main *m)
{
	if (m == NULL)
		return;
	OBJ_CHECK(m, RELAY_MAIN_MAGIC);
	if (m->link != NULL)
		relay_link_stop(m->link);
	m->serve->on_cert = NULL;
	serve_free(m->serve);
	relay_link_free(m->link);
	only = NULL;
	m->magic = 0;
	free(m);
}
