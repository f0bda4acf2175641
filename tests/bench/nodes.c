/*
 * Load generator for the control plane: many simulated nodes on one thread, see usage(). Prints one
 * number per line, with its unit.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "tests/bench/nodes_phase.h"

#define KEYS_MAX	1000
#define PHASES		"register,connect,idle,change,join,reconnect,flap"

static void
usage(FILE *to)
{
	fputs("nodes --server ADDRESS:PORT --key KEY [options]\n"
	    "  --key KEY           auth key; more than one are given out in turn; what happens to a node\n"
	    "                      happens to those of the first\n"
	    "  --tls               TLS 1.3 outside (default: plain); --sni NAME\n"
	    "  --name NAME         what to call the server in the output (default: nodes)\n"
	    "  --pid PID           of the server: adds its CPU and memory\n"
	    "  --nodes N           (100)\n"
	    "  --phases LIST       (" PHASES ")\n"
	    "        register      each node: connect, register, close\n"
	    "        connect       all: connect, stream and first update, until all have a full map\n"
	    "        idle          --idle S: (3)\n"
	    "        change        --changes N: (20) a node's endpoints change, until all have seen it\n"
	    "        join          --joins N: (5) a node more, until all have seen it\n"
	    "        reconnect     all connections are dropped and made again\n"
	    "        flap          --flaps N: (20) one node drops and comes back\n"
	    "        leave         one node goes; --grace MS: (15000) until when peers must know\n"
	    "        burst         --burst N: (50) nodes change their endpoints at once\n"
	    "        command       --command CMD: runs it --rounds N: (1) times, {} being the round's number,\n"
	    "                      until all have had a message, or one with --expect TEXT in it\n"
	    "  --at-once N         handshakes under way (200); --register-at-once N: (50)\n"
	    "  --hubs N            the last N nodes: they alone have the last key (0)\n"
	    "  --seed TEXT         keys of the nodes follow from it (default: random)\n"
	    "  --settle MS         a phase ends when no message came for 400 ms, at the latest then (60000)\n"
	    "  --timeout S         for each phase (180)\n", to);
}

enum { OPT_SERVER = 256, OPT_KEY, OPT_TLS, OPT_SNI, OPT_NAME, OPT_PID, OPT_NODES, OPT_PHASES,
	OPT_IDLE, OPT_CHANGES, OPT_JOINS, OPT_FLAPS, OPT_GRACE, OPT_COMMAND, OPT_AT_ONCE,
	OPT_REGISTER_AT_ONCE, OPT_HUBS, OPT_BURST, OPT_ROUNDS, OPT_EXPECT, OPT_SEED, OPT_SETTLE,
	OPT_TIMEOUT, OPT_HELP };

static const struct option options[] = {
	{ "server", required_argument, NULL, OPT_SERVER }, { "key", required_argument, NULL, OPT_KEY },
	{ "tls", no_argument, NULL, OPT_TLS }, { "sni", required_argument, NULL, OPT_SNI },
	{ "name", required_argument, NULL, OPT_NAME }, { "pid", required_argument, NULL, OPT_PID },
	{ "nodes", required_argument, NULL, OPT_NODES },
	{ "phases", required_argument, NULL, OPT_PHASES },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "changes", required_argument, NULL, OPT_CHANGES },
	{ "joins", required_argument, NULL, OPT_JOINS },
	{ "flaps", required_argument, NULL, OPT_FLAPS },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "command", required_argument, NULL, OPT_COMMAND },
	{ "at-once", required_argument, NULL, OPT_AT_ONCE },
	{ "register-at-once", required_argument, NULL, OPT_REGISTER_AT_ONCE },
	{ "hubs", required_argument, NULL, OPT_HUBS },
	{ "burst", required_argument, NULL, OPT_BURST },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "settle", required_argument, NULL, OPT_SETTLE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "help", no_argument, NULL, OPT_HELP }, { NULL, 0, NULL, 0 },
};

static bool
set_number(struct nodes_options *o, int opt, const char *name, const char *text)
{
	const struct bench_option numbers[] = {
		{ OPT_NODES, &o->nodes, 2, 1000000 }, { OPT_IDLE, &o->idle_s, 1, 86400 },
		{ OPT_CHANGES, &o->changes, 1, 100000 }, { OPT_JOINS, &o->joins, 0, 100000 },
		{ OPT_FLAPS, &o->flaps, 1, 100000 }, { OPT_GRACE, &o->leave_ms, 0, 3600000 },
		{ OPT_AT_ONCE, &o->at_once, 1, 1000000 },
		{ OPT_REGISTER_AT_ONCE, &o->register_at_once, 1, 1000000 },
		{ OPT_HUBS, &o->hubs, 0, 1000000 }, { OPT_BURST, &o->burst, 1, 1000000 },
		{ OPT_ROUNDS, &o->rounds, 1, 1000 }, { OPT_TIMEOUT, &o->timeout_s, 1, 86400 },
		{ OPT_SETTLE, &o->settle_ms, 0, 3600000 },
	};

	return bench_option_set(numbers, COUNT_OF(numbers), opt, name, text);
}

static void
set_text(struct nodes_options *o, int opt, const char *text)
{
	switch (opt) {
	case OPT_SERVER:
		o->server = text;
		break;
	case OPT_KEY:
		if (o->n_keys == KEYS_MAX)
			bench_die("more than %d keys", KEYS_MAX);
		o->keys[o->n_keys++] = text;
		break;
	case OPT_SNI:
		o->sni = text;
		break;
	case OPT_NAME:
		o->name = text;
		break;
	case OPT_PHASES:
		o->phases = text;
		break;
	case OPT_COMMAND:
		o->command = text;
		break;
	case OPT_EXPECT:
		o->expect = text;
		break;
	case OPT_SEED:
		o->seed = text;
		break;
	default:
		break;
	}
}

static void
parse(int argc, char **argv, struct nodes_options *o)
{
	int opt, at = 0;

	while ((opt = getopt_long(argc, argv, "", options, &at)) != -1) {
		if (opt == '?' || opt == OPT_HELP) {
			usage(opt == '?' ? stderr : stdout);
			exit(opt == '?' ? 2 : 0);
		}
		if (opt == OPT_TLS)
			o->is_tls = true;
		else if (opt == OPT_PID)
			o->pid = (pid_t)bench_number("pid", optarg, 1, 1L << 30);
		else if (!set_number(o, opt, options[at].name, optarg))
			set_text(o, opt, optarg);
	}
	if (o->server == NULL || optind != argc || o->hubs >= o->nodes) {
		usage(stderr);
		exit(2);
	}
}

static void
run_phases(const char *list)
{
	char *copy = obj_strdup(list), *rest = copy, *name;

	while ((name = strsep(&rest, ",")) != NULL)
		if (!phase_run(name))
			bench_die("there is no phase \"%s\"", name);
	free(copy);
}

int
main(int argc, char **argv)
{
	static const char *keys[KEYS_MAX];
	char seed[20];
	struct nodes_options o = {
		.name = "nodes", .pid = -1, .keys = keys, .phases = PHASES, .nodes = 100,
		.at_once = 200, .register_at_once = 50, .joins = 5, .changes = 20, .flaps = 20,
		.burst = 50, .rounds = 1, .idle_s = 3, .timeout_s = 180, .settle_ms = 60000,
		.leave_ms = 15000, .seed = seed,
	};

	signal(SIGPIPE, SIG_IGN);
	rand_text(seed, sizeof seed - 1);
	parse(argc, argv, &o);
	bench_label("%s %s n=%u", o.name, o.is_tls ? "tls" : "plain", o.nodes);
	nodes_run_init(&o);
	run_phases(o.phases);
	bench_say("streams cut in all", (double)run.cut, 0, "");
	nodes_run_fini();
	return 0;
}
