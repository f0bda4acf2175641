/* fairlead doctor: what is wrong with a server, seen from inside and as a client sees it, and what to do. */
#include <curl/curl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "server/cli_client.h"
#include "server/cmd.h"
#include "server/config_load.h"
#include "server/doctor.h"
#include "server/suggest.h"

#define STUN_PORT "3478"

static const char *server_url, *data_dir, *only, *stun_port = STUN_PORT;

/* The parts and the names of what they find. */
static const struct {
	void (*run)(const struct doctor *d, struct doctor_report *r);
	const char *names[16];
} parts[] = {
	{ doctor_server, { "server", "files", "policy", "clusters", "silent-nodes", "store", "acme",
	    "ephemeral" } },
	{ doctor_clock, { "clock" } },
	{ doctor_data, { "data-dir", "keys", "disk-space", "disk-write", "wal" } },
	{ doctor_database, { "database", "schema", "references", "addresses", "tags", "clock" } },
	{ doctor_load, { "load", "policy" } },
	{ doctor_client, { "server-url", "resolve", "connect", "certificate", "key", "proxy", "clock",
	    "control", "websocket", "port80", "relay", "stun" } },
};

static bool
is_known(const char *word, struct suggest *s)
{
	bool is_so = false;

	for (size_t i = 0; i < COUNT_OF(parts); i++)
		for (size_t k = 0; k < COUNT_OF(parts[i].names) && parts[i].names[k] != NULL; k++) {
			is_so = is_so || strcmp(parts[i].names[k], word) == 0;
			suggest_try(s, parts[i].names[k]);
		}
	return is_so;
}

/* The word of --only at p, without what is behind a "/"; returns where the next one begins. */
static const char *
only_next(const char *p, char word[64])
{
	size_t n = strcspn(p, ",");

	snprintf(word, 64, "%.*s", (int)n, p);
	word[strcspn(word, "/")] = 0;
	return p + n + (p[n] == ',' ? 1 : 0);
}

/* true: said. */
static bool
only_is_bad(void)
{
	char word[64];

	for (const char *p = only; p != NULL && *p != 0; ) {
		struct suggest s = { .word = word };

		p = only_next(p, word);
		if (word[0] == 0 || is_known(word, &s))
			continue;
		if (s.best != NULL)
			cli_fail("there is no check \"%s\"; did you mean \"%s\"?", word, s.best);
		else
			cli_fail("there is no check \"%s\"; without --only all are listed", word);
		return true;
	}
	return false;
}

static bool
wants_part(size_t i)
{
	char word[64];
	bool wants = only == NULL;

	for (const char *p = only; p != NULL && *p != 0 && !wants; ) {
		p = only_next(p, word);
		for (size_t k = 0; k < COUNT_OF(parts[i].names) && parts[i].names[k] != NULL; k++)
			wants = wants || strcmp(parts[i].names[k], word) == 0;
	}
	return wants;
}

/* Does a server hold the directory's lock? */
static bool
is_locked(const char *dir)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool is_so = flock(fd, LOCK_SH | LOCK_NB) != 0;
	close(fd);
	return is_so;
}

/* Asks the server of this machine, if it runs. */
static void
ask_server(struct doctor *d, struct doctor_report *r)
{
	struct err_text why;
	char *socket = cli_client_socket_path();
	long status = cli_client_status("http://fairlead/health", socket, &why);

	if (status != 200) {
		doctor_bad(r, DOCTOR_WARN, "server", "does not run here: no answer on %s", socket);
		doctor_todo(r, "start it (systemctl start fairlead); if it ends at once its log says"
		    " why. What follows is without it");
	} else if (cli_call("GET", "/status", NULL, &d->status) == 0 && cli_call("GET", "/doctor", NULL,
	    &d->facts) == 0) {
		d->is_running = true;
		d->url = obj_strdup(json_get_str(d->status, "serverUrl", ""));
		d->data_dir = json_get_str(d->status, "dataDir", NULL);
	} else {
		doctor_bad(r, DOCTOR_FAIL, "server", "answers on %s, but not what was asked", socket);
		doctor_todo(r, "is it of an older version? Restart it");
	}
	free(socket);
}

static void
look_here(struct doctor *d, struct doctor_report *r)
{
	struct err_text why;

	if (config_load(NULL, NULL, &d->cfg, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "config", "%s", why.s);
		doctor_todo(r, "correct it: the server does not start with it (docs/configuration.md)");
	}
	if (data_dir == NULL)
		ask_server(d, r);
	else
		d->data_dir = data_dir;
	if (d->data_dir == NULL && d->cfg != NULL)
		d->data_dir = d->cfg->data_dir;
	if (d->data_dir != NULL && is_locked(d->data_dir))
		d->is_running = true;
}

static int
doctor(struct cli *c)
{
	struct doctor d = { .only = only };
	struct doctor_report *r;
	int64_t port = strtol(stun_port, NULL, 10);
	int code;

	if (server_url != NULL && (data_dir != NULL || cli_client_socket != NULL)) {
		cli_fail("--server looks from outside only: without --data-dir and --socket");
		return 2;
	}
	if (port < 1 || port > UINT16_MAX) {
		cli_fail("\"%s\" is not a port", stun_port);
		return 2;
	}
	if (only_is_bad())
		return 2;
	d.stun_port = (unsigned)port;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return cli_fail("no memory is left");
	log_set_level(LOG_ERROR);
	r = doctor_report_new();
	if (server_url != NULL)
		d.url = obj_strdup(server_url);
	else
		look_here(&d, r);
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (wants_part(i) && (server_url == NULL || parts[i].run == doctor_client))
			parts[i].run(&d, r);
	code = doctor_print(r, only, c->is_json);
	doctor_report_free(r);
	json_decref(d.status);
	json_decref(d.facts);
	config_free(d.cfg);
	free(d.url);
	return code;
}

static const struct cli_opt opts[] = {
	{ "server", 0, CLI_STRING, &server_url, "URL", "look at another machine's server, from outside"
	    " only" },
	{ "data-dir", 0, CLI_STRING, &data_dir, "DIR", "look at this directory only, with or without a"
	    " server" },
	{ "only", 0, CLI_STRING, &only, "NAMES", "these checks only: relay,stun" },
	{ "stun-port", 0, CLI_STRING, &stun_port, "N", "with --server: where STUN is; default"
	    " " STUN_PORT },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Looks for what is wrong with the server of this machine, or another one,"
	    " and says what to do.\nOne line per check: ok, warn or fail. Exit code 1 when one failed.",
	    opts, doctor },
};

static const struct cli_noun noun = { "doctor", "", verbs, COUNT_OF(verbs), false };

const struct cmd cmd_doctor = {
	.name = "doctor", .noun = &noun, .summary = "what is wrong with a server, and what to do",
};
