/* fairlead relay */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "server/cli_opt.h"
#include "server/cmd.h"
#include "server/cmd_daemon.h"
#include "server/config_load.h"
#include "server/relay_main.h"

static const char *coordinator, *pin, *key, *key_file, *hostname;
static bool fails_open, wants_help;

static const struct cli_opt opts[] = {
	{ "coordinator", 0, CLI_STRING, &coordinator, "URL", "the server that this relay belongs to "
	  "($FAIRLEAD_RELAY_COORDINATOR)" },
	{ "coordinator-pin", 0, CLI_STRING, &pin, "PIN", "sha256-raw:… of its certificate, if that is "
	  "self-signed ($FAIRLEAD_RELAY_COORDINATOR_PIN)" },
	{ "key", 0, CLI_STRING, &key, "KEY", "fl-relay-…, of fairlead relays add ($FAIRLEAD_RELAY_KEY)" },
	{ "key-file", 0, CLI_STRING, &key_file, "FILE", "it is in this file ($FAIRLEAD_RELAY_KEY_FILE)" },
	{ "hostname", 0, CLI_STRING, &hostname, "NAME", "name or address that clients reach this relay by; "
	  "default: the address that the coordinator sees it come from" },
	{ "fail-open", 0, CLI_BOOL, &fails_open, NULL, "while the coordinator is away everybody may use the "
	  "relay, not only nodes known before" },
	{ "help", 'h', CLI_BOOL, &wants_help, NULL, "this text" },
	{ 0 },
};

static void
usage(FILE *f)
{
	fprintf(f, "Runs a relay on another machine than the server, in the foreground, until SIGINT or\n"
	    "SIGTERM.\n\nUsage: fairlead relay --coordinator URL --key KEY [flags]\n\n"
	    "`fairlead relays add NAME`, on the server, prints the whole line.\n"
	    "`fairlead relay top`, on the server, shows who uses its own relay.\n\nFlags:\n");
	cli_opt_usage(opts, f);
	fprintf(f, "\nListeners, TLS, limits, data directory and log are set as for fairlead serve; what\n"
	    "concerns nodes has no meaning here:\n");
	config_usage(f);
}

static int
fail(const struct err_text *why)
{
	fprintf(stderr, "fairlead: %s\n", why->s);
	return 1;
}

/* The flag, else the variable, else "". */
static const char *
or_env(const char *flag, const char *name)
{
	const char *v = flag != NULL ? flag : getenv(name);

	return v != NULL ? v : "";
}

/* The key's text into out: of the flag, or the first word of the file. */
static enum err
key_read(char out[SECRET_TEXT_MAX], struct err_text *why)
{
	const char *text = or_env(key, "FAIRLEAD_RELAY_KEY");
	const char *path = or_env(key_file, "FAIRLEAD_RELAY_KEY_FILE");
	char line[256] = "", *at = line;
	FILE *f;

	if (text[0] == '\0' && path[0] == '\0')
		return err_say(why, ERR_INVAL, "which key? --key or --key-file; fairlead relays add, on the "
		    "server, makes one");
	if (text[0] == '\0') {
		if ((f = fopen(path, "re")) == NULL)
			return err_say(why, ERR_IO, "--key-file: cannot read %s: %s", path, strerror(errno));
		if (fgets(line, sizeof(line), f) == NULL)
			line[0] = '\0';
		fclose(f);
		at += strspn(at, " \t\r\n");
		at[strcspn(at, " \t\r\n")] = '\0';
		text = at;
	}
	snprintf(out, SECRET_TEXT_MAX, "%s", text);
	explicit_bzero(line, sizeof(line));
	return ERR_OK;
}

static int
serve(struct config *cfg)
{
	char secret[SECRET_TEXT_MAX];
	struct relay_main_options o = {
		.coordinator = or_env(coordinator, "FAIRLEAD_RELAY_COORDINATOR"),
		.coordinator_pin = or_env(pin, "FAIRLEAD_RELAY_COORDINATOR_PIN"),
		.key = secret, .fails_open = fails_open,
	};
	struct relay_main *m = NULL;
	struct err_text why = { "" };
	enum err rc;

	if (o.coordinator[0] == '\0') {
		fprintf(stderr, "fairlead: which server? --coordinator https://NAME; fairlead relays add, "
		    "there, prints the whole line\n");
		return 2;
	}
	if (key_read(secret, &why) != ERR_OK)
		return fail(&why);
	/* A relay that lets strangers in is none of this command's. */
	cfg->derp.is_enabled = cfg->derp.verify_clients = true;
	if (hostname != NULL) {
		free(cfg->derp.hostname);
		cfg->derp.hostname = obj_strdup(hostname);
	}
	rc = relay_main_new(cfg, &o, &m, &why);
	explicit_bzero(secret, sizeof(secret));
	if (rc == ERR_OK)
		rc = relay_main_run(m, &why);
	relay_main_free(m);
	return rc == ERR_OK ? 0 : fail(&why);
}

static const struct cmd_daemon daemon_relay = {
	.name = "relay", .opts = opts, .usage = usage, .fail = fail, .run = serve,
};

static int
run(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "top") == 0)
		return cmd_relay_top(argc - 1, argv + 1);
	return cmd_daemon_run(&daemon_relay, argc, argv);
}

const struct cmd cmd_relay = {
	.name = "relay", .summary = "run a relay on another machine; top: who uses the server's", .run = run,
	.usage = usage,
};
