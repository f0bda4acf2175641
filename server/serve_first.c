/* First start: a user and an auth key. Every start: where everything is, and how a node joins. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/serve_private.h"

#define FIRST_USER		"admin"
#define FIRST_KEY_DAYS		90

struct waiting {
	bool is_done;
	enum err rc;
	struct err_text why;
	int64_t id;
	char secret[AUTHKEY_TEXT_MAX];
};

static void
on_done(void *arg, const struct tailnet_result *res)
{
	struct waiting *w = arg;

	w->is_done = true;
	w->rc = res->rc;
	w->why = res->why;
	w->id = res->id;
	if (res->rc == ERR_OK && res->secret != NULL)
		snprintf(w->secret, sizeof(w->secret), "%s", res->secret);
}

static enum err
wait_for(struct serve *s, struct waiting *w, struct err_text *why)
{
	coordinator_run_until(s->coordinator, &w->is_done);
	if (!w->is_done)
		return err_say(why, ERR_CLOSED, "ended by a signal during start");
	if (w->rc != ERR_OK)
		*why = w->why;
	return w->rc;
}

/* The owner of keys made at start: the first user by id. */
static struct user *
first_user(struct tailnet *t)
{
	struct user *first = NULL, *u;
	size_t at = 0;

	while ((u = map_next(&t->users, &at)) != NULL)
		if (first == NULL || u->id < first->id)
			first = u;
	return first;
}

static enum err
make_user(struct serve *s, struct tailnet *t, const struct actor *by, struct err_text *why)
{
	/* Static: a signal may end the wait before the store has answered. */
	static struct waiting w;
	struct tailnet_user_spec spec = {
		.name = FIRST_USER, .display_name = "Administrator", .role = USER_OWNER,
	};

	w = (struct waiting){ .is_done = false };
	tailnet_user_create(t, by, &spec, on_done, &w);
	return wait_for(s, &w, why);
}

static enum err
make_key(struct serve *s, struct tailnet *t, const struct actor *by, struct err_text *why,
    char secret[AUTHKEY_TEXT_MAX])
{
	static struct waiting w;
	struct tailnet_key_spec spec = {
		.user_id = first_user(t)->id,
		.description = "made at start",
		.is_reusable = true,
		.is_preauthorized = true,
		.expires_unix_s = clock_wall_s() + FIRST_KEY_DAYS * 86400,
	};

	w = (struct waiting){ .is_done = false };
	tailnet_key_create(t, by, &spec, on_done, &w);
	enum err rc = wait_for(s, &w, why);
	if (rc == ERR_OK)
		memcpy(secret, w.secret, AUTHKEY_TEXT_MAX);
	explicit_bzero(w.secret, sizeof(w.secret));
	return rc;
}

/* How people call the fairlead command here: docker-compose.yml sets the variable. */
static const char *
command(void)
{
	const char *own = getenv("FAIRLEAD_COMMAND");

	return own != NULL && *own != '\0' ? own : "fairlead";
}

static void
say_how_to_join(const struct serve *s, const char *secret)
{
	if (secret[0] == '\0') {
		printf("  Join a node     `%s keys create` makes a key and prints the line to type\n",
		    command());
		return;
	}
	printf("\n  Auth key (reusable, %d days; shown only now):\n    %s\n", FIRST_KEY_DAYS, secret);
	printf("\n  Join a node:\n    sudo tailscale up --login-server=%s --authkey=%s\n", s->url, secret);
	printf("\n  `%s keys create` makes more keys.\n", command());
}

static void
say_warnings(const struct serve *s)
{
	struct net_ip ip;

	if (!s->url_parts.is_https)
		printf("\n  Plain http: somebody in the middle could pose as this server at a node's first"
		    " contact;\n  after that Noise protects everything. Two ways out, with a domain name:"
		    " set tls_letsencrypt_hostname: NAME\n  and the server gets a certificate by itself"
		    " (port 80 must be reachable), or set tls_cert_path,\n  tls_key_path and"
		    " server_url: https://NAME.\n");
	if (s->acme != NULL && tls_is_self_signed(s->tls))
		printf("\n  The server is asking for a certificate for %s. Nodes can join when"
		    " `fairlead status`\n  shows it; the log says what is wrong if it takes more than a"
		    " minute.\n", s->cfg->acme.hostname);
	if (s->cfg->server_url[0] == '\0' &&
	    net_ip_parse(s->host, strlen(s->host), &ip) == ERR_OK && net_ip_is_private(&ip))
		printf("\n  %s is a private address: if nodes reach this machine by another one, set"
		    " server_url\n  (FAIRLEAD_SERVER_URL in the environment).\n", s->host);
}

static void
say(const struct serve *s, const char *secret)
{
	uint16_t https, http;

	door_ports(s->door, &https, &http);
	printf("\nFairlead %s is running.\n\n", FAIRLEAD_VERSION);
	printf("  Login server    %s\n", s->url);
	printf("  Listening       ");
	if (https != 0)
		printf("TLS %u  ", https);
	if (http != 0)
		printf("plain http %u  ", http);
	if (relay_stun_port(s->relay) != 0)
		printf("STUN udp %u", relay_stun_port(s->relay));
	printf("\n  API             unix:%s (/api/fairlead/v1), used by the fairlead command\n",
	    s->cfg->unix_socket);
	printf("  Data            %s\n", s->cfg->data_dir);
	printf("  Console         `fairlead console` prints a link that signs a browser in\n");
	say_how_to_join(s, secret);
	say_warnings(s);
	printf("\n");
	fflush(stdout);
}

enum err
serve_first(struct serve *s, struct err_text *why)
{
	struct tailnet *t = coord_tailnet(s->coord, "default");
	struct actor by = { .name = "server start" };
	char secret[AUTHKEY_TEXT_MAX] = "";
	bool is_first = first_user(t) == NULL;
	enum err rc;

	if (is_first && (rc = make_user(s, t, &by, why)) != ERR_OK)
		return rc;
	if ((is_first || s->options.makes_new_key) &&
	    (rc = make_key(s, t, &by, why, secret)) != ERR_OK)
		return rc;
	if (!s->has_taken_over || secret[0] != '\0')
		say(s, secret);
	explicit_bzero(secret, sizeof(secret));
	return ERR_OK;
}
