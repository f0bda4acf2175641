/* Layers of configuration, and the checks that concern more than one setting. */
#include "server/config_load.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "server/address.h"
#include "server/config_file.h"
#include "server/config_table.h"

#define ETC_PATH	"/etc/fairlead/config.yaml"
#define WORKERS_DFLT_MAX 4u		/* more workers cost hops between them: docs/benchmarks.md */

/* Where a value came from, so that a complaint can say it. */
enum origin { FROM_DEFAULT, FROM_FILE, FROM_ENV, FROM_FLAG };

struct loading {
	const struct config_world *w;
	struct config *cfg;
	struct config_file *file;		/* NULL: none */
	const char *path;			/* of the file */
	enum origin origin[CONFIG_SETTINGS_MAX];
	struct err_text *why;
};

static const char *
own_env(const char *name)
{
	return getenv(name);
}

static enum err
say_bad(const struct loading *l, unsigned i, unsigned item, const char *what)
{
	const struct config_setting *s = &config_settings[i];
	char name[CONFIG_NAME_MAX], other[CONFIG_NAME_MAX];

	config_setting_name(s, name);
	switch (l->origin[i]) {
	case FROM_FILE:
		return err_say(l->why, ERR_INVAL, "%s line %u: %s: %s", l->path,
		    config_file_line(l->file, i, item), name, what);
	case FROM_ENV:
		return err_say(l->why, ERR_INVAL, "environment variable %s: %s",
		    config_setting_env(s, other), what);
	case FROM_FLAG:
		return err_say(l->why, ERR_INVAL, "--%s: %s", config_setting_flag(s, other), what);
	default:
		return err_say(l->why, ERR_INVAL, "%s: %s", name, what);
	}
}

static enum err
put(struct loading *l, unsigned i, enum origin from, const struct config_texts *t)
{
	struct err_text what;
	unsigned bad_item;

	l->origin[i] = from;
	if (config_setting_put(&config_settings[i], l->cfg, t, &bad_item, &what) == ERR_OK)
		return ERR_OK;
	return say_bad(l, i, bad_item, what.s);
}

/* One text; a list is split at commas ("" and "none": an empty list). */
static enum err
put_text(struct loading *l, unsigned i, enum origin from, const char *text)
{
	const char *items[CONFIG_LIST_MAX + 1];
	struct config_texts t = { .v = items, .n = 0 };
	char *copy = obj_strdup(text), *rest = copy, *item;

	if (config_settings[i].kind != CONFIG_LIST) {
		items[t.n++] = text;
	} else if (strcmp(text, "none") != 0) {
		while (t.n <= CONFIG_LIST_MAX && (item = strsep(&rest, ",")) != NULL) {
			item += strspn(item, " ");
			for (size_t n = strlen(item); n > 0 && item[n - 1] == ' '; n--)
				item[n - 1] = 0;
			if (*item != 0)
				items[t.n++] = item;
		}
	}
	enum err rc = put(l, i, from, &t);
	free(copy);
	return rc;
}

/* Below a directory of the environment: "$name<tail>", NULL when it is not set. */
static char *
env_path(const struct loading *l, const char *name, const char *tail)
{
	const char *dir = l->w->env(name);
	char *out = NULL;

	if (dir == NULL || *dir != '/' || asprintf(&out, "%s%s", dir, tail) < 0)
		return NULL;
	return out;
}

/* Does it serve the whole machine? Not only root: a service manager that gives it a state directory
 * (systemd.exec(5), StateDirectory=) or an image that sets the same variable means that too. */
static bool
is_system(const struct config_world *w)
{
	return w->is_root || w->env("STATE_DIRECTORY") != NULL;
}

static enum err
put_defaults(struct loading *l)
{
	for (unsigned i = 0; i < config_settings_count; i++) {
		const struct config_setting *s = &config_settings[i];
		const char *text = is_system(l->w) && s->dflt_root != NULL ? s->dflt_root : s->dflt;
		enum err rc = text == NULL ? ERR_OK : put_text(l, i, FROM_DEFAULT, text);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

static enum err
put_file(struct loading *l)
{
	enum err rc = ERR_OK;

	if (l->path == NULL)
		return ERR_OK;
	if ((rc = config_file_load(l->path, &l->file, l->why)) != ERR_OK)
		return rc;
	for (unsigned i = 0; i < config_settings_count && rc == ERR_OK; i++) {
		struct config_texts t;
		if (config_file_get(l->file, i, &t))
			rc = put(l, i, FROM_FILE, &t);
	}
	return rc;
}

static enum err
put_env(struct loading *l)
{
	for (unsigned i = 0; i < config_settings_count; i++) {
		char name[CONFIG_NAME_MAX];
		const char *v = l->w->env(config_setting_env(&config_settings[i], name));
		enum err rc = v == NULL ? ERR_OK : put_text(l, i, FROM_ENV, v);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

/* Is arg "--name", "--name=value"? *value is NULL for the first. */
static bool
flag_is(const char *arg, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, n) != 0)
		return false;
	if (arg[n + 2] != 0 && arg[n + 2] != '=')
		return false;
	*value = arg[n + 2] == '=' ? arg + n + 3 : NULL;
	return true;
}

/* Index of the setting that argv[at] is the flag of, config_settings_count for --config and -c, or -1. */
static int
flag_find(const char *arg, const char **value)
{
	char name[CONFIG_NAME_MAX];

	*value = NULL;
	if (strcmp(arg, "-c") == 0 || flag_is(arg, "config", value))
		return (int)config_settings_count;
	for (unsigned i = 0; i < config_settings_count; i++)
		if (flag_is(arg, config_setting_flag(&config_settings[i], name), value))
			return (int)i;
	return -1;
}

static enum err
flag_value(struct loading *l, int which, int argc, char **argv, int *at, const char **value)
{
	if (*value != NULL)
		return ERR_OK;
	if (which < (int)config_settings_count && config_settings[which].kind == CONFIG_BOOL) {
		*value = "true";
		return ERR_OK;
	}
	if (*at + 1 >= argc)
		return err_say(l->why, ERR_INVAL, "%s needs a value", argv[*at]);
	*value = argv[++*at];
	return ERR_OK;
}

/* First walk (is_path_only): finds --config. Second: puts the others and takes all of them out of argv. */
static enum err
put_flags(struct loading *l, int *argc, char **argv, bool is_path_only)
{
	int kept = 1, at = 1;
	enum err rc = ERR_OK;

	if (argc == NULL)
		return ERR_OK;
	for (; at < *argc && strcmp(argv[at], "--") != 0; at++) {
		const char *value, *flag = argv[at];
		int which = flag_find(flag, &value);
		if (which < 0) {
			if (!is_path_only)
				argv[kept++] = argv[at];
			continue;
		}
		if ((rc = flag_value(l, which, *argc, argv, &at, &value)) != ERR_OK)
			return rc;
		if (which == (int)config_settings_count)
			l->path = value;
		else if (!is_path_only && (rc = put_text(l, (unsigned)which, FROM_FLAG, value)) != ERR_OK)
			return rc;
	}
	if (is_path_only)
		return ERR_OK;
	while (at < *argc)
		argv[kept++] = argv[at++];
	argv[kept] = NULL;
	*argc = kept;
	return ERR_OK;
}

static void
path_find(struct loading *l)
{
	if (l->path != NULL)
		return;
	const char *v = l->w->env("FAIRLEAD_CONFIG");
	if (v != NULL && *v != 0)
		l->path = v;
	else if (access(l->w->etc_path, F_OK) == 0)
		l->path = l->w->etc_path;
}

static unsigned
setting_at(size_t offset)
{
	unsigned i = 0;

	while (config_settings[i].offset != offset)
		i++;
	return i;
}

/* The setting whose member this is, as say_bad wants it. */
#define SETTING(member) setting_at(offsetof(struct config, member))

/* The default of a path, when a service manager names the directory. */
static void
put_given(struct loading *l, unsigned i, const char *env, const char *tail)
{
	char **at = (char **)(void *)((char *)l->cfg + config_settings[i].offset);
	char *given = l->origin[i] == FROM_DEFAULT ? env_path(l, env, tail) : NULL;

	if (given == NULL)
		return;
	free(*at);
	*at = given;
}

/* Paths that depend on other settings and on the environment. */
static enum err
put_paths(struct loading *l)
{
	struct config *c = l->cfg;

	/* Before the defaults of root, which are the same unless somebody moved them. */
	put_given(l, SETTING(data_dir), "STATE_DIRECTORY", "");
	put_given(l, SETTING(unix_socket), "RUNTIME_DIRECTORY", "/fairlead.sock");
	if (c->data_dir == NULL)
		c->data_dir = env_path(l, "XDG_DATA_HOME", "/fairlead");
	if (c->data_dir == NULL)
		c->data_dir = env_path(l, "HOME", "/.local/share/fairlead");
	if (c->data_dir == NULL)
		return err_say(l->why, ERR_INVAL,
		    "no data directory: set data_dir (or --data-dir), as HOME is not set either");
	if (c->unix_socket == NULL)
		c->unix_socket = env_path(l, "XDG_RUNTIME_DIR", "/fairlead.sock");
	if (c->unix_socket == NULL && asprintf(&c->unix_socket, "%s/fairlead.sock", c->data_dir) < 0)
		abort();
	if (strcmp(c->policy.mode, "database") == 0)
		*c->policy.path = 0;
	if (strlen(c->unix_socket) > CONFIG_SOCKET_MAX_CHARS)
		return err_say(l->why, ERR_INVAL, "the socket's path %.120s… is longer than 107 characters:"
		    " set unix_socket", c->unix_socket);
	return ERR_OK;
}

/* A name inside base_domain would be looked up at the very server that it names. */
static enum err
check_names(const struct loading *l)
{
	const struct config *c = l->cfg;
	struct address_url u;
	struct err_text what;

	if (*c->server_url == 0 && *c->acme.hostname == 0)
		return ERR_OK;
	if (*c->server_url == 0)
		snprintf(u.host, sizeof(u.host), "%s", c->acme.hostname);
	else if (address_url_parse(c->server_url, &u, &what) != ERR_OK)
		return say_bad(l, SETTING(server_url), 0, what.s);
	size_t n = strlen(u.host), nb = strlen(c->dns.base_domain);
	if (n < nb || strcasecmp(u.host + n - nb, c->dns.base_domain) != 0 ||
	    (n > nb && u.host[n - nb - 1] != '.'))
		return ERR_OK;
	unsigned at = l->origin[SETTING(dns.base_domain)] != FROM_DEFAULT ? SETTING(dns.base_domain) :
	    *c->server_url != 0 ? SETTING(server_url) : SETTING(acme.hostname);
	err_say(&what, ERR_INVAL, "dns.base_domain %.100s holds the server's own name %.100s:"
	    " nodes could not find it; choose another domain", c->dns.base_domain, u.host);
	return say_bad(l, at, 0, what.s);
}

/* One certificate, for one name, asked for on port 80. */
static enum err
check_acme(const struct loading *l)
{
	const struct config *c = l->cfg;
	struct address_url u;
	struct err_text what;

	if (*c->acme.hostname == 0)
		return ERR_OK;
	if (*c->tls.cert_file != 0)
		return say_bad(l, SETTING(acme.hostname), 0, "tls_cert_path names a certificate already:"
		    " give one of the two");
	if (c->listen_https.n == 0 || c->listen_http.n == 0)
		return say_bad(l, SETTING(acme.hostname), 0, "needs listen_https, and listen_http for"
		    " the authority's question on port 80");
	if (c->derp.is_enabled && *c->derp.hostname != 0 &&
	    strcmp(c->derp.hostname, c->acme.hostname) != 0)
		return say_bad(l, SETTING(derp.hostname), 0, "is not the name of the certificate"
		    " (tls_letsencrypt_hostname)");
	if (*c->server_url != 0 && address_url_parse(c->server_url, &u, &what) == ERR_OK &&
	    u.is_https && strcasecmp(u.host, c->acme.hostname) != 0)
		return say_bad(l, SETTING(server_url), 0, "is not at the name of the certificate"
		    " (tls_letsencrypt_hostname)");
	return ERR_OK;
}

static enum err
check_all(const struct loading *l)
{
	const struct config *c = l->cfg;

	if ((*c->tls.cert_file == 0) != (*c->tls.key_file == 0))
		return say_bad(l, *c->tls.cert_file != 0 ? SETTING(tls.cert_file) : SETTING(tls.key_file), 0,
		    "a certificate needs its key: give both tls_cert_path and tls_key_path, or none");
	if (c->listen_https.n + c->listen_http.n == 0)
		return say_bad(l, SETTING(listen_https), 0,
		    "there is nothing to listen on: listen_https and listen_http are both empty");
	if (c->proxy_protocol && c->trusted_proxies.n == 0)
		return say_bad(l, SETTING(proxy_protocol), 0,
		    "PROXY headers count only from trusted_proxies, and there are none");
	if (strcmp(c->policy.mode, "file") == 0 && *c->policy.path == 0)
		return say_bad(l, SETTING(policy.mode), 0, "there is no file: give policy.path");
	enum err rc = check_acme(l);
	return rc != ERR_OK ? rc : check_names(l);
}

enum err
config_load_in(const struct config_world *w, int *argc, char **argv, struct config **out,
    struct err_text *why)
{
	struct err_text ignored;
	struct loading l = { .w = w, .why = why != NULL ? why : &ignored };
	enum err rc;

	l.cfg = obj_alloc(sizeof(*l.cfg));
	if ((rc = put_flags(&l, argc, argv, true)) != ERR_OK)
		goto out;
	path_find(&l);
	if ((rc = put_defaults(&l)) != ERR_OK || (rc = put_file(&l)) != ERR_OK ||
	    (rc = put_env(&l)) != ERR_OK || (rc = put_flags(&l, argc, argv, false)) != ERR_OK ||
	    (rc = put_paths(&l)) != ERR_OK || (rc = check_all(&l)) != ERR_OK)
		goto out;
	if (l.cfg->workers == 0) {
		unsigned spare = w->n_cpus <= 2 ? 1 : w->n_cpus - 1;
		l.cfg->workers = spare < WORKERS_DFLT_MAX ? spare : WORKERS_DFLT_MAX;
	}
out:
	config_file_free(l.file);
	if (rc == ERR_OK)
		*out = l.cfg;
	else
		config_free(l.cfg);
	return rc;
}

enum err
config_load(int *argc, char **argv, struct config **out, struct err_text *why)
{
	struct config_world w = { .env = own_env, .is_root = geteuid() == 0, .etc_path = ETC_PATH };
	cpu_set_t cpus;

	w.n_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
	return config_load_in(&w, argc, argv, out, why);
}

void
config_free(struct config *cfg)
{
	if (cfg == NULL)
		return;
	for (unsigned i = 0; i < config_settings_count; i++)
		config_setting_clear(&config_settings[i], cfg);
	free(cfg);
}

void
config_usage(FILE *f)
{
	fprintf(f,
	    "  -c, --config FILE\n        configuration file; default $FAIRLEAD_CONFIG, else %s\n",
	    ETC_PATH);
	for (unsigned i = 0; i < config_settings_count; i++) {
		const struct config_setting *s = &config_settings[i];
		char name[CONFIG_NAME_MAX];
		fprintf(f, "      --%s%s%s\n        %s", config_setting_flag(s, name),
		    s->kind == CONFIG_BOOL ? "[=true|false]" : " ", s->kind == CONFIG_BOOL ? "" :
		    s->arg, s->help);
		if (s->dflt != NULL && *s->dflt != 0)
			fprintf(f, " [%s]", geteuid() == 0 && s->dflt_root != NULL ? s->dflt_root : s->dflt);
		fputc('\n', f);
	}
}
