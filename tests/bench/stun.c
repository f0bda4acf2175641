/*
 * Load generator for a STUN server, ours or any other: see usage(). One socket asks from many loopback
 * addresses; the transaction id is the time, so that an answer says how long it took. Prints one number
 * per line, with its unit.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/net.h"
#include "base/obj.h"
#include "base/wire.h"
#include "relay/stun.h"
#include "tests/bench/bench.h"

#define BATCH		32u
#define ANSWER_BYTES	128
#define BUFFER_BYTES	(8 << 20)
#define TAIL_NS		(200 * BENCH_NS_PER_MS)	/* for answers under way at the end */
#define SOURCE_FIRST	0x7f010001u		/* 127.1.0.1 */
#define BEHIND_MAX	256			/* open loop: requests that may be made up for */
#define DELAY_EVERY	16

struct asked {
	uint64_t sent, answered;
	struct bench_samples delay_us;
};

struct options {
	const char *name;
	struct net_addr server;
	pid_t pid;
	unsigned rate, sources, seconds;	/* rate 0: as many as go */
	bool is_bad;
};

/* A batch: requests one behind the other, each with its source address. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
	uint8_t data[BATCH][ANSWER_BYTES];
};

static void
usage(FILE *to)
{
	fputs("stun --server ADDRESS:PORT (IPv4, of this machine) [options]\n"
	    "  --name NAME         what to call the server in the output (default: stun)\n"
	    "  --pid PID           of the server: adds its CPU\n"
	    "  --rate N            requests per second, evenly paced (default: as many as go)\n"
	    "  --sources N         different addresses that ask (1000)\n"
	    "  --bad               requests whose fingerprint is wrong\n"
	    "  --seconds N         (3)\n", to);
}

static int
socket_new(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = BUFFER_BYTES;
	struct sockaddr_in any = { .sin_family = AF_INET };

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0)
		bench_die("no UDP socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	return fd;
}

static void
set_source(struct cmsghdr *c, uint32_t address)
{
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(address) };

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof info);
	memcpy(CMSG_DATA(c), &info, sizeof info);
}

/* Sends n requests; what the socket does not take was not asked. */
static void
ask(int fd, const struct options *o, unsigned n, struct asked *a)
{
	static struct batch b;
	struct sockaddr_storage to;
	socklen_t n_to = net_addr_to_sockaddr(&o->server, &to);
	uint8_t id[STUN_ID_BYTES] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		wire_put_u64be(id, (uint64_t)bench_now_ns());
		stun_request_put(b.data[i], id);
		b.data[i][STUN_REQUEST_BYTES - 1] ^= o->is_bad;
		set_source((struct cmsghdr *)(void *)b.control[i],
		    SOURCE_FIRST + (uint32_t)((a->sent + i) % o->sources));
		b.iov[i] = (struct iovec){ .iov_base = b.data[i], .iov_len = STUN_REQUEST_BYTES };
		b.msg[i].msg_hdr = (struct msghdr){
			.msg_name = &to, .msg_namelen = n_to, .msg_iov = &b.iov[i], .msg_iovlen = 1,
			.msg_control = b.control[i], .msg_controllen = sizeof b.control[i],
		};
	}
	int sent = sendmmsg(fd, b.msg, n, MSG_DONTWAIT);
	if (sent > 0)
		a->sent += (unsigned)sent;
	else if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		bench_die("requests cannot be sent: %s", strerror(errno));
}

static void
take(int fd, struct asked *a)
{
	static struct batch b;
	int n;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			b.iov[i] = (struct iovec){ .iov_base = b.data[i], .iov_len = ANSWER_BYTES };
			b.msg[i].msg_hdr = (struct msghdr){ .msg_iov = &b.iov[i], .msg_iovlen = 1 };
		}
		n = recvmmsg(fd, b.msg, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct net_addr seen;
			const uint8_t *id = b.data[i] + 8;

			if (b.msg[i].msg_len < 20 ||
			    stun_answer_parse(b.data[i], b.msg[i].msg_len, id, &seen) != ERR_OK)
				bench_die("an answer of %u bytes is none", b.msg[i].msg_len);
			if (a->answered++ % DELAY_EVERY == 0)
				bench_samples_add(&a->delay_us,
				    (double)(bench_now_ns() - (int64_t)wire_u64be(id)) / 1e3);
		}
	} while (n == (int)BATCH);
}

static void
run(int fd, const struct options *o, struct asked *a)
{
	int64_t begin_ns = bench_now_ns(), end_ns = begin_ns + o->seconds * BENCH_NS_PER_S, now_ns;
	uint64_t made_up = 0;		/* asked, or given up because this program was too slow */

	while ((now_ns = bench_now_ns()) < end_ns) {
		uint64_t due = o->rate == 0 ? BATCH :
		    (uint64_t)((double)(now_ns - begin_ns) * o->rate / 1e9) - made_up;

		if (due > BEHIND_MAX) {
			made_up += due - BEHIND_MAX;
			due = BEHIND_MAX;
		}
		unsigned n = due < BATCH ? (unsigned)due : BATCH;
		if (n > 0)
			ask(fd, o, n, a);
		made_up += n;
		take(fd, a);
	}
	end_ns += TAIL_NS;
	while (bench_now_ns() < end_ns)
		take(fd, a);
}

static void
report(const struct options *o, struct asked *a, double cpu_s)
{
	bench_say("requests", (double)a->sent / o->seconds, 0, "/s");
	bench_say("answers", (double)a->answered / o->seconds, 0, "/s");
	bench_say("not answered", (double)(a->sent - a->answered) * 100 / (double)a->sent, 2, "%");
	if (a->answered > 0) {
		bench_say("round trip p50", bench_samples_quantile(&a->delay_us, 0.5), 0, "us");
		bench_say("round trip p99", bench_samples_quantile(&a->delay_us, 0.99), 0, "us");
	}
	if (o->pid <= 0)
		return;
	bench_say("server core", cpu_s * 100 / o->seconds, 1, "%");
	bench_say("server cpu per request", cpu_s * 1e6 / (double)a->sent, 2, "us");
	if (a->answered > 0)
		bench_say("server cpu per answer", cpu_s * 1e6 / (double)a->answered, 2, "us");
}

static void
parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' }, { "name", required_argument, NULL, 'n' },
		{ "pid", required_argument, NULL, 'p' }, { "rate", required_argument, NULL, 'r' },
		{ "sources", required_argument, NULL, 'f' }, { "bad", no_argument, NULL, 'b' },
		{ "seconds", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 's' && (net_addr_parse(optarg, strlen(optarg), &o->server) != ERR_OK ||
		    o->server.ip.family != 4))
			bench_die("\"%s\" is not an address and port such as 127.0.0.1:3478", optarg);
		else if (opt == 'n')
			o->name = optarg;
		else if (opt == 'p')
			o->pid = (pid_t)bench_number("pid", optarg, 1, 1L << 30);
		else if (opt == 'r')
			o->rate = (unsigned)bench_number("rate", optarg, 1, 10000000);
		else if (opt == 'f')
			o->sources = (unsigned)bench_number("sources", optarg, 1, 60000);
		else if (opt == 't')
			o->seconds = (unsigned)bench_number("seconds", optarg, 1, 3600);
		else if (opt == 'b')
			o->is_bad = true;
		else if (opt == 'h' || opt == '?') {
			usage(opt == 'h' ? stdout : stderr);
			exit(opt == 'h' ? 0 : 2);
		}
	}
	if (o->server.port == 0 || optind != argc) {
		usage(stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct options o = { .name = "stun", .pid = -1, .sources = 1000, .seconds = 3 };
	struct asked a = { 0 };
	char rate[32] = "as many as go";

	parse(argc, argv, &o);
	if (o.rate > 0)
		snprintf(rate, sizeof rate, "%u/s", o.rate);
	bench_label("%s stun %s sources=%u%s", o.name, rate, o.sources, o.is_bad ? " spoilt" : "");
	int fd = socket_new();
	double cpu_s = bench_cpu_s(o.pid);
	run(fd, &o, &a);
	report(&o, &a, bench_cpu_s(o.pid) - cpu_s);
	bench_samples_fini(&a.delay_us);
	return 0;
}
