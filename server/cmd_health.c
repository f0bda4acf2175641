/* fairlead health: does the server of this machine answer? For container engines and monitors. */
#include <stdlib.h>
#include <string.h>

#include "base/net.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cmd.h"
#include "server/config_load.h"

struct health {
	bool is_answering;
	long status;			/* of the answer */
	char where[160];
	struct err_text why;		/* of the first that gave none */
};

static void
ask(struct health *h, const char *url, const char *socket, const char *where)
{
	struct err_text why = { "" };
	long status = cli_client_status(url, socket, &why);

	if (status == 0) {
		if (h->why.s[0] == '\0')
			err_say(&h->why, ERR_IO, "no answer on %s: %s", where, why.s);
		return;
	}
	h->is_answering = true;
	h->status = status;
	snprintf(h->where, sizeof(h->where), "%s", where);
}

/* A listener's own address; of one on every address the loopback one. */
static void
ask_port(struct health *h, const char *scheme, const char *listen)
{
	struct net_addr a;
	char text[NET_TEXT_MAX], url[NET_TEXT_MAX + 32];
	bool is_any = true;

	if (net_addr_parse(listen, strlen(listen), &a) != ERR_OK)
		return;
	for (size_t i = 0; i < (a.ip.family == 4 ? 4u : 16u); i++)
		is_any = is_any && a.ip.b[i] == 0;
	if (is_any && a.ip.family == 4)
		memcpy(a.ip.b, "\x7f\0\0\1", 4);
	else if (is_any)
		a.ip.b[15] = 1;
	snprintf(url, sizeof(url), "%s://%s/health", scheme, net_addr_put(&a, text));
	ask(h, url, NULL, url);
}

static void
ask_ports(struct health *h)
{
	struct config *cfg = NULL;
	struct err_text why;

	if (config_load(NULL, NULL, &cfg, &why) != ERR_OK)
		return;		/* what the socket said stays */
	for (unsigned i = 0; i < cfg->listen_http.n && !h->is_answering; i++)
		ask_port(h, "http", cfg->listen_http.items[i]);
	for (unsigned i = 0; i < cfg->listen_https.n && !h->is_answering; i++)
		ask_port(h, "https", cfg->listen_https.items[i]);
	config_free(cfg);
}

static int
health(struct cli *c)
{
	struct health h = { .is_answering = false };
	char *socket = cli_client_socket_path();

	ask(&h, "http://fairlead/health", socket, socket);
	if (!h.is_answering && cli_client_socket == NULL)
		ask_ports(&h);
	free(socket);
	if (!h.is_answering)
		return cli_fail("not healthy: %s", h.why.s);
	if (h.status != 200)
		return cli_fail("not healthy: %s answers with status %ld", h.where, h.status);
	if (c->is_json)
		printf("{\"status\": \"pass\"}\n");
	else
		printf("healthy: the server answers on %s\n", h.where);
	return 0;
}

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Says whether the server on this machine answers: exit code 0 or 1.", NULL,
	  health },
};

static const struct cli_noun noun = { "health", "", verbs, COUNT_OF(verbs), false };

const struct cmd cmd_health = {
	.name = "health", .noun = &noun, .summary = "whether the server on this machine answers",
};
