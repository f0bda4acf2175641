/*
 * Load generator for a DERP relay, ours or any other: see usage(). Prints one number per line, with
 * its unit.
 */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/bench/relay_bench.h"

#define PACKET_MIN_BYTES	DERP_CLIENT_STAMP_BYTES
#define PACKET_MAX_BYTES	16000		/* a frame fits one TLS record */

static void
usage(FILE *to)
{
	fputs("relay --server ADDRESS:PORT [options]\n"
	    "  --plain             no TLS (default: TLS 1.3, AES-128-GCM, certificate not verified)\n"
	    "  --sni NAME          server name in the TLS hello (default: none)\n"
	    "  --name NAME         what to call the server in the output (default: relay)\n"
	    "  --pid PID           of the server: adds its CPU and memory\n"
	    "load, each pair one sender and one receiver, one packet per TLS record:\n"
	    "  --pairs N           (10)   --size BYTES (1280)\n"
	    "  --window N          packets of a pair under way (32)\n"
	    "  --rate MBIT         instead: offered by all pairs together, evenly paced\n"
	    "  --flood             instead: whatever the sockets take\n"
	    "  --quiet             instead: nothing but the probe\n"
	    "  --seconds N         measured (5)   --warmup MS before that (500)\n"
	    "  --delays            adds how long packets of the load were under way\n"
	    "  --probe US          a pair more: 64 bytes there and back, one every US microseconds\n"
	    "connections:\n"
	    "  --idle N            instead of load: N connections that do nothing\n"
	    "  --storm N           with --idle: N times connect and close them\n"
	    "  --at-once N         handshakes under way (64)\n"
	    "  --soak N            for N seconds instead: --idle connections (10000), --pairs (1000) that\n"
	    "                      offer --rate together (100), and clients that come and go, flood, are\n"
	    "                      silent, lie\n", to);
}

enum { OPT_SERVER = 256, OPT_PLAIN, OPT_SNI, OPT_NAME, OPT_PID, OPT_PAIRS, OPT_SIZE, OPT_WINDOW,
	OPT_RATE, OPT_FLOOD, OPT_QUIET, OPT_DELAYS, OPT_SECONDS, OPT_WARMUP, OPT_PROBE, OPT_IDLE, OPT_STORM,
	OPT_AT_ONCE, OPT_SOAK, OPT_HELP };

static const struct option options[] = {
	{ "server", required_argument, NULL, OPT_SERVER }, { "plain", no_argument, NULL, OPT_PLAIN },
	{ "sni", required_argument, NULL, OPT_SNI }, { "name", required_argument, NULL, OPT_NAME },
	{ "pid", required_argument, NULL, OPT_PID }, { "pairs", required_argument, NULL, OPT_PAIRS },
	{ "size", required_argument, NULL, OPT_SIZE }, { "window", required_argument, NULL, OPT_WINDOW },
	{ "rate", required_argument, NULL, OPT_RATE }, { "flood", no_argument, NULL, OPT_FLOOD },
	{ "quiet", no_argument, NULL, OPT_QUIET }, { "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP }, { "probe", required_argument, NULL, OPT_PROBE },
	{ "idle", required_argument, NULL, OPT_IDLE }, { "storm", required_argument, NULL, OPT_STORM },
	{ "at-once", required_argument, NULL, OPT_AT_ONCE }, { "soak", required_argument, NULL, OPT_SOAK },
	{ "delays", no_argument, NULL, OPT_DELAYS }, { "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* The numbers of the command line: where they go, and their range. */
static bool
set_number(struct relay_options *o, int opt, const char *name, const char *text)
{
	const struct bench_option numbers[] = {
		{ OPT_PAIRS, &o->pairs, 1, 5000 },
		{ OPT_SIZE, &o->size_bytes, PACKET_MIN_BYTES, PACKET_MAX_BYTES },
		{ OPT_WINDOW, &o->window, 1, 100000 },
		{ OPT_RATE, &o->rate_mbit, 1, 1000000 },
		{ OPT_SECONDS, &o->seconds, 1, 3600 },
		{ OPT_WARMUP, &o->warmup_ms, 0, 600000 },
		{ OPT_PROBE, &o->probe_us, 50, 10000000 },
		{ OPT_IDLE, &o->idle, 1, 1000000 },
		{ OPT_STORM, &o->storms, 1, 100000 },
		{ OPT_AT_ONCE, &o->at_once, 1, 100000 },
		{ OPT_SOAK, &o->soak_s, 1, 86400 },
	};

	return bench_option_set(numbers, COUNT_OF(numbers), opt, name, text);
}

static void
parse(int argc, char **argv, struct relay_options *o)
{
	const char *server = NULL, *sni = NULL;
	bool is_tls = true;
	int opt, at;

	while ((opt = getopt_long(argc, argv, "", options, &at)) != -1) {
		if (opt == '?' || opt == OPT_HELP) {
			usage(opt == '?' ? stderr : stdout);
			exit(opt == '?' ? 2 : 0);
		}
		if (opt == OPT_PROBE)
			o->has_probe = true;
		else if (opt == OPT_RATE)
			o->mode = RELAY_RATE;
		else if (opt == OPT_FLOOD)
			o->mode = RELAY_FLOOD;
		else if (opt == OPT_QUIET)
			o->mode = RELAY_QUIET;
		else if (opt == OPT_DELAYS)
			o->has_delays = true;
		if (set_number(o, opt, options[at].name, optarg))
			continue;
		if (opt == OPT_SERVER)
			server = optarg;
		else if (opt == OPT_PLAIN)
			is_tls = false;
		else if (opt == OPT_SNI)
			sni = optarg;
		else if (opt == OPT_NAME)
			o->name = optarg;
		else if (opt == OPT_PID)
			o->pid = (pid_t)bench_number("pid", optarg, 1, 1L << 30);
	}
	if (server == NULL || optind != argc) {
		usage(stderr);
		exit(2);
	}
	if (o->mode == RELAY_QUIET)
		o->has_probe = true;
	link_target_init(&o->target, server, is_tls, sni);
}

int
main(int argc, char **argv)
{
	struct relay_options o = {
		.name = "relay", .pid = -1, .pairs = 0, .size_bytes = 1280, .window = 32,
		.seconds = 5, .warmup_ms = 500, .at_once = 64, .probe_us = 1000,
	};

	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		bench_die("libsodium does not start");
	parse(argc, argv, &o);
	if (o.pairs == 0)
		o.pairs = o.soak_s > 0 ? 1000 : 10;
	if (o.soak_s > 0 && o.idle == 0)
		o.idle = 10000;
	if (o.soak_s > 0 && o.rate_mbit == 0)
		o.rate_mbit = 100;
	if (o.soak_s > 0)
		relay_soak_run(&o);
	else if (o.idle > 0)
		relay_idle_run(&o);
	else
		relay_load_run(&o);
	link_target_fini(&o.target);
	return 0;
}
