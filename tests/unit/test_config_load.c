/* links: server/config_load server/config_file server/config_table coord/quota_rule coord/dns_spec coord/dns_params coord/tag server/suggest server/address relay/derp_mesh_target */
/* Configuration: every sentence for bad files, variables and flags, and what wins over what. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config_load.h"
#include "server/config_table.h"

static const char *env_pairs[8];	/* name, value, …, NULL */
static char dir[64];

static const char *
test_env(const char *name)
{
	for (unsigned i = 0; env_pairs[i] != NULL; i += 2)
		if (strcmp(env_pairs[i], name) == 0)
			return env_pairs[i + 1];
	return strcmp(name, "HOME") == 0 ? "/home/ann" : NULL;
}

static struct config_world world = { .env = test_env, .n_cpus = 4, .etc_path = "/nonexistent/config.yaml" };

static const char *
write_file(const char *text)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/c.yaml", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	return path;
}

static enum err
load_text(const char *text, struct config **cfg, struct err_text *why)
{
	char *argv[] = { (char[]){ "serve" }, (char[]){ "-c" }, (char *)(uintptr_t)write_file(text), NULL };
	int argc = 3;

	enum err rc = config_load_in(&world, &argc, argv, cfg, why);
	if (rc == ERR_OK)
		assert_int_equal(argc, 1);
	return rc;
}

struct bad_file { const char *text, *want; };

static void
expect_refused(const struct bad_file *b)
{
	struct config *cfg = NULL;
	struct err_text why = { "" };
	char want[512];

	if (load_text(b->text, &cfg, &why) != ERR_INVAL)
		fail_msg("no refusal of %s", b->text);
	assert_null(cfg);
	snprintf(want, sizeof(want), "%s/c.yaml%s", dir, b->want);
	assert_string_equal(why.s, want);
}

#define EIGHT "a,a,a,a,a,a,a,a,"

static void
test_bad_files(void **state)
{
	static const struct bad_file cases[] = {
		{ "server_ulr: https://a\n",
		  " line 1: unknown key \"server_ulr\"; did you mean \"server_url\"?" },
		{ "# c\nderp:\n  region_id: 5\n  regon_name: x\n",
		  " line 4: unknown key \"regon_name\" in derp; did you mean \"region_name\"?" },
		{ "region_id: 5\n", " line 1: unknown key \"region_id\"; did you mean "
		    "\"derp.region_id\"?" },
		{ "zzz: 5\n", " line 1: unknown key \"zzz\"" },
		{ "workers: 1\nworkers: 2\n", " line 2: workers is given a second time" },
		{ "listen_https: 0.0.0.0:443\n",
		  " line 1: listen_https must be a list of \"- …\" lines, not one value" },
		{ "\nserver_url:\n  a: 5\n", " line 3: server_url must be one value, not a "
		    "section of keys" },
		{ "derp: on\n", " line 1: derp must be a section of keys, not one value" },
		{ "- a\n", " line 1: the file must be a section of keys, not a list of \"- …\" lines" },
		{ "derp:\n\tregion_id: 4\n",
		  " line 2: this is not YAML: found character that cannot start any token" },
		{ "workers: 1\nserver_url: \"abc\nuser: x\n",
		  " line 2: this is not YAML: found unexpected end of stream" },
		{ "workers: many\n", " line 1: workers: \"many\" is not a number from 0 to 64" },
		{ "workers: -1\n", " line 1: workers: \"-1\" is not a number from 0 to 64" },
		{ "workers: 4x\n", " line 1: workers: \"4x\" is not a number from 0 to 64" },
		{ "derp:\n  region_id: 70000\n",
		  " line 2: derp.region_id: \"70000\" is not a number from 1 to 65535" },
		{ "derp:\n  region_id: 99999999999999999999999\n",
		  " line 2: derp.region_id: \"99999999999999999999999\" is not a number from 1 to 65535" },
		{ "derp:\n  # why not\n  verify_clients: maybe\n",
		  " line 3: derp.verify_clients: \"maybe\" is not true or false" },
		{ "derp:\n  ipv4: \"::1\"\n",
		  " line 2: derp.ipv4: \"::1\" is not an IPv4 address, \"none\" or empty" },
		{ "derp:\n  region_code: Kiel!\n",
		  " line 2: derp.region_code: \"Kiel!\" is not a code of 1 to 16 characters of [a-z0-9-]" },
		{ "listen_https:\n  - 0.0.0.0:443\n  - nonsense\n",
		  " line 3: listen_https: \"nonsense\" is not an"
		  " address and port such as 0.0.0.0:443 or [::]:443" },
		{ "listen_http: [" EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT "x]\n",
		  " line 1: listen_http has more than 64 entries" },
		{ "dns:\n  split_dns: [corp.example]\n", " line 2: dns.split_dns: \"corp.example\" is not"
		  " DOMAIN=RESOLVER such as corp.example=10.0.0.53" },
		{ "dns:\n  split_dns: [a=1.1.1.1, \"*.a=1.1.1.1\"]\n", " line 2: dns.split_dns: \"*.a=1.1.1.1\""
		  " is not DOMAIN=RESOLVER such as corp.example=10.0.0.53" },
		{ "dns:\n  extra_records:\n  - a.b A 1.2.3.4\n  - \"*.b A 1.2.3.4\"\n",
		  " line 4: dns.extra_records: \"*.b A 1.2.3.4\" is not NAME TYPE VALUE such as"
		  " \"db.example A 10.0.0.5\" (A, AAAA, CNAME or TXT; no wildcard)" },
		{ "dns:\n  no_dns_tags: [k3s]\n",
		  " line 2: dns.no_dns_tags: \"k3s\" is not a tag such as tag:k3s" },
		{ "dns:\n  nameservers:\n    global: [1.1.1.1]\n", " line 3: nameservers must be a list of"
		  " \"- …\" lines, not a section of keys" },
		{ "prefixes:\n  v4: 10.0.0.0/8\n",
		  " line 2: prefixes.v4: \"10.0.0.0/8\" is not a prefix inside 100.64.0.0/10, at "
		  "most /29" },
		{ "prefixes:\n  v4: 100.64.0.0/9\n",
		  " line 2: prefixes.v4: \"100.64.0.0/9\" is not a prefix inside 100.64.0.0/10, "
		  "at most /29" },
		{ "prefixes:\n  v6: fd00::/48\n", " line 2: prefixes.v6: \"fd00::/48\" is not a "
		    "prefix inside"
		  " fd7a:115c:a1e0::/48, at most /120" },
		{ "dns:\n  base_domain: UPPER.example\n",
		  " line 2: dns.base_domain: \"UPPER.example\" is not a domain name in lower case" },
		{ "server_url: https://vpn.example.com\ndns:\n  base_domain: example.com\n",
		  " line 3: dns.base_domain: dns.base_domain example.com holds the server's own name"
		  " vpn.example.com: nodes could not find it; choose another domain" },
		{ "server_url: https://tailnet.internal:8443\n",
		  " line 1: server_url: dns.base_domain tailnet.internal holds the server's own name"
		  " tailnet.internal: nodes could not find it; choose another domain" },
		{ "server_url: vpn.example.com\n",
		  " line 1: server_url: server_url \"vpn.example.com\" must begin with https:// "
		  "or http://" },
		{ "tls_cert_path: /x.crt\n", " line 1: tls_cert_path: a certificate needs its "
		    "key: give both"
		  " tls_cert_path and tls_key_path, or none" },
		{ "trusted_proxies: [10.0.0.1/8]\n",
		  " line 1: trusted_proxies: \"10.0.0.1/8\" is not an address or"
		  " prefix such as 10.0.0.0/8 (host bits zero)" },
		{ "proxy_protocol: true\n", " line 1: proxy_protocol: PROXY headers count only from"
		  " trusted_proxies, and there are none" },
		{ "log:\n  level: loud\n",
		  " line 2: log.level: \"loud\" is not one of debug, info, warn, error" },
		{ "unix_socket: run/x\n",
		  " line 1: unix_socket: \"run/x\" is not an absolute path of at most 107"
		  " characters" },
		{ "listen_https: []\nlisten_http: []\n", " line 1: listen_https: there is nothing "
		    "to listen on:"
		  " listen_https and listen_http are both empty" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		expect_refused(&cases[i]);
}

static void
test_bad_acme(void **state)
{
	static const struct bad_file cases[] = {
		{ "tls_letsencrypt_hostname: vpn\n", " line 1: tls_letsencrypt_hostname: \"vpn\" is not a"
		  " domain name in lower case with a dot" },
		{ "tls_letsencrypt_hostname: 192.0.2.7\n", " line 1: tls_letsencrypt_hostname: \"192.0.2.7\""
		  " is not a domain name in lower case with a dot" },
		{ "acme_url: http://ca.example/dir\n",
		  " line 1: acme_url: \"http://ca.example/dir\" is not an https:// URL" },
		{ "acme_url: http://localhost:1@ca.example/dir\n",
		  " line 1: acme_url: \"http://localhost:1@ca.example/dir\" is not an https:// URL" },
		{ "acme_email: -y\n", " line 1: acme_email: \"-y\" is not an email address" },
		{ "tls_letsencrypt_hostname: vpn.example.com\ntls_cert_path: /c\ntls_key_path: /k\n",
		  " line 1: tls_letsencrypt_hostname: tls_cert_path names a certificate already: give one"
		  " of the two" },
		{ "listen_http: []\ntls_letsencrypt_hostname: vpn.example.com\n",
		  " line 2: tls_letsencrypt_hostname: needs listen_https, and listen_http for the"
		  " authority's question on port 80" },
		{ "tls_letsencrypt_hostname: vpn.example.com\nserver_url: https://www.example.com\n",
		  " line 2: server_url: is not at the name of the certificate (tls_letsencrypt_hostname)" },
		{ "tls_letsencrypt_hostname: vpn.example.com\nderp:\n  hostname: derp.example.com\n",
		  " line 3: derp.hostname: is not the name of the certificate (tls_letsencrypt_hostname)" },
		{ "tls_letsencrypt_hostname: vpn.tailnet.internal\n", " line 1: tls_letsencrypt_hostname:"
		  " dns.base_domain tailnet.internal holds the server's own name vpn.tailnet.internal: nodes"
		  " could not find it; choose another domain" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		expect_refused(&cases[i]);
}

static void
test_good_file(void **state)
{
	struct config *c = NULL;
	struct err_text why = { "" };
	(void)state;

	assert_int_equal(load_text(
	    "server_url: https://vpn.example.com\n"
	    "listen_https:\n  - 127.0.0.1:9443\n  - \"[::1]:0\"\n"
	    "listen_http: []\n"
	    "derp:\n"
	    "  region_id: 901\n  verify_clients: no\n  ipv6: none\n"
	    "dns:\n"			/* a section whose keys are all commented out */
	    "node: {key_expiry_days: 0}\n"
	    "prefixes:\n  v4: 100.100.0.0/16\n", &c, &why), ERR_OK);
	assert_string_equal(c->server_url, "https://vpn.example.com");
	assert_int_equal(c->listen_https.n, 2);
	assert_string_equal(c->listen_https.items[1], "[::1]:0");
	assert_int_equal(c->listen_http.n, 0);
	assert_int_equal(c->listen_stun.n, 2);
	assert_int_equal(c->derp.region_id, 901);
	assert_false(c->derp.verify_clients);
	assert_true(c->derp.is_enabled);
	assert_string_equal(c->derp.ipv6, "none");
	assert_string_equal(c->dns.base_domain, "tailnet.internal");
	assert_int_equal(c->node.key_expiry_days, 0);
	assert_string_equal(c->prefixes.v4, "100.100.0.0/16");
	config_free(c);
}

static void
test_defaults(void **state)
{
	struct config *c = NULL;
	(void)state;

	assert_int_equal(config_load_in(&world, NULL, NULL, &c, NULL), ERR_OK);
	assert_string_equal(c->listen_https.items[0], "0.0.0.0:8443");
	assert_string_equal(c->listen_http.items[1], "[::]:8080");
	assert_string_equal(c->data_dir, "/home/ann/.local/share/fairlead");
	assert_string_equal(c->unix_socket, "/home/ann/.local/share/fairlead/fairlead.sock");
	assert_int_equal(c->limits.relay_queue_bytes, 1u << 20);
	assert_int_equal(c->workers, 3);
	config_free(c);

	struct config_world root = world;
	root.is_root = true;
	root.n_cpus = 2;
	assert_int_equal(config_load_in(&root, NULL, NULL, &c, NULL), ERR_OK);
	assert_string_equal(c->listen_https.items[1], "[::]:443");
	assert_string_equal(c->data_dir, "/var/lib/fairlead");
	assert_string_equal(c->unix_socket, "/run/fairlead/fairlead.sock");
	assert_int_equal(c->workers, 1);
	config_free(c);

	env_pairs[0] = "XDG_RUNTIME_DIR";
	env_pairs[1] = "/run/user/7";
	env_pairs[2] = "XDG_DATA_HOME";
	env_pairs[3] = "/data";
	assert_int_equal(config_load_in(&world, NULL, NULL, &c, NULL), ERR_OK);
	assert_string_equal(c->data_dir, "/data/fairlead");
	assert_string_equal(c->unix_socket, "/run/user/7/fairlead.sock");
	config_free(c);

	/* What a service manager gives comes before both, and makes it the machine's server. */
	env_pairs[2] = "STATE_DIRECTORY";
	env_pairs[3] = "/srv/state";
	env_pairs[4] = "RUNTIME_DIRECTORY";
	env_pairs[5] = "/run/given";
	assert_int_equal(config_load_in(&world, NULL, NULL, &c, NULL), ERR_OK);
	assert_string_equal(c->listen_http.items[0], "0.0.0.0:80");
	assert_string_equal(c->data_dir, "/srv/state");
	assert_string_equal(c->unix_socket, "/run/given/fairlead.sock");
	config_free(c);
	assert_int_equal(load_text("data_dir: /d\nunix_socket: /s\n", &c, NULL), ERR_OK);
	assert_string_equal(c->data_dir, "/d");
	assert_string_equal(c->unix_socket, "/s");
	config_free(c);
	env_pairs[0] = NULL;
}

/* File < environment < flags; flags that are not ours stay in order. */
static void
test_order(void **state)
{
	struct config *c = NULL;
	struct err_text why = { "" };
	char env_file[96];
	(void)state;

	snprintf(env_file, sizeof(env_file), "%s",
	    write_file("server_url: https://file.example\nuser: file\nworkers: 1\n"));
	env_pairs[0] = "FAIRLEAD_CONFIG";
	env_pairs[1] = env_file;
	env_pairs[2] = "FAIRLEAD_USER";
	env_pairs[3] = "env";
	env_pairs[4] = "FAIRLEAD_WORKERS";
	env_pairs[5] = "2";
	env_pairs[6] = NULL;
	char *argv[] = { (char[]){ "serve" }, (char[]){ "--new-key" }, (char[]){ "--workers=3" },
		(char[]){ "--listen-stun" }, (char[]){ "none" }, (char[]){ "--listen-http" },
		(char[]){ "127.0.0.1:1, 127.0.0.1:2" }, (char[]){ "--proxy-protocol=false" },
		    (char[]){ "rest" },
		(char[]){ "--" }, (char[]){ "--workers=9" }, NULL };
	int argc = 11;
	assert_int_equal(config_load_in(&world, &argc, argv, &c, &why), ERR_OK);
	assert_string_equal(c->server_url, "https://file.example");
	assert_string_equal(c->user, "env");
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->listen_stun.n, 0);
	assert_int_equal(c->listen_http.n, 2);
	assert_string_equal(c->listen_http.items[1], "127.0.0.1:2");
	assert_int_equal(argc, 5);
	assert_string_equal(argv[1], "--new-key");
	assert_string_equal(argv[2], "rest");
	assert_string_equal(argv[3], "--");
	assert_string_equal(argv[4], "--workers=9");
	assert_null(argv[5]);
	config_free(c);
	env_pairs[0] = NULL;
}

static void
test_bad_env_and_flags(void **state)
{
	struct config *c = NULL;
	struct err_text why = { "" };
	(void)state;

	env_pairs[0] = "FAIRLEAD_DERP_REGION_ID";
	env_pairs[1] = "0";
	env_pairs[2] = NULL;
	assert_int_equal(config_load_in(&world, NULL, NULL, &c, &why), ERR_INVAL);
	assert_string_equal(why.s,
	    "environment variable FAIRLEAD_DERP_REGION_ID: \"0\" is not a number from 1 to 65535");
	env_pairs[0] = NULL;

	char *bad[] = { (char[]){ "serve" }, (char[]){ "--listen-https" }, (char[]){ "x" }, NULL };
	int argc = 3;
	assert_int_equal(config_load_in(&world, &argc, bad, &c, &why), ERR_INVAL);
	assert_string_equal(why.s,
	    "--listen-https: \"x\" is not an address and port such as 0.0.0.0:443 or [::]:443");

	char *open_end[] = { (char[]){ "serve" }, (char[]){ "--data-dir" }, NULL };
	argc = 2;
	assert_int_equal(config_load_in(&world, &argc, open_end, &c, &why), ERR_INVAL);
	assert_string_equal(why.s, "--data-dir needs a value");

	char *missing[] = { (char[]){ "serve" }, (char[]){ "--config=/nonexistent/x.yaml" }, NULL };
	argc = 2;
	assert_int_equal(config_load_in(&world, &argc, missing, &c, &why), ERR_IO);
	assert_string_equal(why.s, "cannot open /nonexistent/x.yaml: No such file or directory");
	assert_null(c);
}

/* Names of settings differ from each other as flags and variables too. */
static void
test_names(void **state)
{
	(void)state;

	for (unsigned i = 0; i < config_settings_count; i++) {
		char a[CONFIG_NAME_MAX], b[CONFIG_NAME_MAX];
		config_setting_env(&config_settings[i], a);
		assert_true(strlen(a) < CONFIG_NAME_MAX - 1);
		assert_string_not_equal(a, "FAIRLEAD_CONFIG");
		assert_string_not_equal(a, "FAIRLEAD_SOCKET");
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(a, config_setting_env(&config_settings[j], b));
	}
}

/* The commented example of the documentation is a good file, as it is and with every line active. */
static void
test_example(void **state)
{
	struct config *c = NULL;
	struct err_text why = { "" };
	char text[32768], active[32768], *to = active;
	FILE *f = fopen("docs/config.example.yaml", "re");
	(void)state;

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	if (load_text(text, &c, &why) != ERR_OK)
		fail_msg("%s", why.s);
	config_free(c);
	c = NULL;
	for (const char *p = text; *p != 0; p = strchr(p, '\n') + 1) {
		const char *line = strncmp(p, "#", 1) == 0 && p[1] != ' ' && p[1] != '\n' ? p + 1 : p;
		if (strncmp(p, "#  ", 3) == 0 && p[3] != ' ' && p[3] != '#')
			line = p + 1;		/* "#  key: value" of a section */
		size_t n = strcspn(line, "\n") + 1;
		memcpy(to, line, n);
		to += n;
	}
	*to = 0;
	if (load_text(active, &c, &why) != ERR_OK)
		fail_msg("%s", why.s);
	config_free(c);
	for (unsigned i = 0; i < config_settings_count; i++) {
		char want[80];
		snprintf(want, sizeof(want), "%s:", config_settings[i].key);
		if (strstr(active, want) == NULL)
			fail_msg("docs/config.example.yaml does not show %s", want);
	}
}

static int
dir_make(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/fairlead-test-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
dir_remove(void **state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/c.yaml", dir);
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_files), cmocka_unit_test(test_bad_acme),
		cmocka_unit_test(test_good_file),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_order),
		cmocka_unit_test(test_bad_env_and_flags), cmocka_unit_test(test_names),
		cmocka_unit_test(test_example),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
