/*
 * A long path between two network namespaces of this program: what one sends leaves a TUN device there, waits
 * here, and enters at the other's. So congestion control, window scaling and retransmissions of both kernels
 * see a real round trip. Needs root.
 *
 * From the first to the second is a line of so many Mbit/s with a drop-tail queue before it, then a
 * constant delay; back there is the delay alone. The loop sleeps until the next packet is due: delays are
 * right to about 0.1 ms.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PACKET_MAX	2048u
#define RING_BYTES	(128u << 20)	/* of a direction: 1 Gbit/s for a second */
#define TURN_PACKETS	64u

struct packet {
	int64_t due_ns;
	uint32_t n;
	uint8_t bytes[];
};

/* One direction. */
struct line {
	int from, to;
	uint8_t *ring;
	size_t head, tail, used;	/* of bytes of the ring */
	int64_t free_ns;		/* when the last packet will have left the queue */
	int64_t queue_ns;		/* its length */
	double ns_per_byte;		/* 0: no limit, and no queue */
	uint64_t dropped;
};

static int64_t delay_ns;

/* --- namespaces ------------------------------------------------------------------------------- */

static void
interface_up(const char *name, const char *address)
{
	struct ifreq r = { .ifr_flags = 0 };
	struct sockaddr_in *a = (struct sockaddr_in *)(void *)&r.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	if (address != NULL) {
		a->sin_family = AF_INET;
		if (inet_pton(AF_INET, address, &a->sin_addr) != 1 || ioctl(fd, SIOCSIFADDR, &r) != 0)
			bench_die("%s: no address: %s", name, strerror(errno));
		inet_pton(AF_INET, "255.255.255.0", &a->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &r) != 0)
			bench_die("%s: no mask: %s", name, strerror(errno));
	}
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) != 0)
		bench_die("%s does not come up: %s", name, strerror(errno));
	close(fd);
}

/* A namespace with lo and one TUN device, which is returned. This process is in it afterwards. */
static int
namespace_make(const char *address)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		bench_die("no network namespace: %s", strerror(errno));
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(r.ifr_name, sizeof r.ifr_name, "path");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) != 0)
		bench_die("no TUN device: %s", strerror(errno));
	interface_up("lo", NULL);
	interface_up("path", address);
	return fd;
}

/* --- a direction ------------------------------------------------------------------------------ */

static struct packet *
line_at(const struct line *l, size_t at)
{
	return (struct packet *)(void *)(l->ring + at);
}

static size_t
packet_bytes(size_t n)
{
	return (sizeof(struct packet) + n + 15) & ~(size_t)15;
}

/* A packet begins at the start of the ring where the longest one would not fit behind. */
static void
line_wrap(size_t *at, size_t *used, int sign)
{
	size_t left = RING_BYTES - *at;

	if (left >= packet_bytes(PACKET_MAX))
		return;
	*used = sign > 0 ? *used + left : *used - left;
	*at = 0;
}

/* Room for the longest packet at the tail; NULL: the ring is full. */
static struct packet *
line_room(struct line *l)
{
	if (l->used + 2 * packet_bytes(PACKET_MAX) > RING_BYTES)
		return NULL;
	line_wrap(&l->tail, &l->used, 1);
	return line_at(l, l->tail);
}

/* What has come out of the sender's device. */
static void
line_read(struct line *l, int64_t now_ns)
{
	uint8_t waste[PACKET_MAX];

	for (unsigned i = 0; i < TURN_PACKETS; i++) {
		struct packet *p = line_room(l);
		ssize_t n = read(l->from, p != NULL ? p->bytes : waste, PACKET_MAX);

		if (n <= 0)
			return;
		if (l->free_ns < now_ns)
			l->free_ns = now_ns;
		if (p == NULL || l->free_ns - now_ns > l->queue_ns) {
			l->dropped++;
			continue;
		}
		l->free_ns += (int64_t)(l->ns_per_byte * (double)n);
		p->due_ns = l->free_ns + delay_ns;
		p->n = (uint32_t)n;
		l->tail += packet_bytes((size_t)n);
		l->used += packet_bytes((size_t)n);
	}
}

/* Sends what is due. Returns when the next packet is; INT64_MAX: there is none. */
static int64_t
line_write(struct line *l, int64_t now_ns)
{
	while (l->used > 0) {
		line_wrap(&l->head, &l->used, -1);
		if (l->used == 0)
			break;
		struct packet *p = line_at(l, l->head);

		if (p->due_ns > now_ns)
			return p->due_ns;
		if (write(l->to, p->bytes, p->n) < 0 && errno != EAGAIN && errno != EIO)
			bench_die("cannot write a packet: %s", strerror(errno));
		l->head += packet_bytes(p->n);
		l->used -= packet_bytes(p->n);
	}
	return INT64_MAX;
}

static void
run(struct line lines[2])
{
	struct pollfd p[2] = {
		{ .fd = lines[0].from, .events = POLLIN }, { .fd = lines[1].from, .events = POLLIN },
	};

	for (;;) {
		int64_t now_ns = bench_now_ns(), next_ns = INT64_MAX;

		for (unsigned i = 0; i < 2; i++) {
			line_read(&lines[i], now_ns);
			int64_t due_ns = line_write(&lines[i], now_ns);

			if (due_ns < next_ns)
				next_ns = due_ns;
		}
		int64_t left_ns = next_ns == INT64_MAX ? BENCH_NS_PER_S : next_ns - bench_now_ns();
		struct timespec wait = {
			.tv_sec = left_ns / BENCH_NS_PER_S, .tv_nsec = left_ns % BENCH_NS_PER_S,
		};

		if (left_ns > 0)
			ppoll(p, 2, &wait, NULL);
	}
}

/* --- start ------------------------------------------------------------------------------------ */

static void
usage(FILE *to)
{
	fputs("path [options]\n"
	    "  --rtt MS        round trip (50)\n"
	    "  --rate MBIT     from the first namespace to the second (default: no limit; back there is none)\n"
	    "  --queue KB      before that (256)\n"
	    "Prints the two namespaces for nsenter --net=…, 10.77.0.1 in the first, 10.77.0.2 in the second.\n"
	    "Runs until it is killed or its parent ends.\n", to);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rtt", required_argument, NULL, 'd' }, { "rate", required_argument, NULL, 'r' },
		{ "queue", required_argument, NULL, 'q' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct line lines[2] = { { .used = 0 }, { .used = 0 } };
	long rtt_ms = 50, rate = 0, queue_kb = 256;
	int opt, tun[2], near;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'd')
			rtt_ms = bench_number("rtt", optarg, 0, 2000);
		else if (opt == 'r')
			rate = bench_number("rate", optarg, 1, 100000);
		else if (opt == 'q')
			queue_kb = bench_number("queue", optarg, 1, 100000);
		else {
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	delay_ns = rtt_ms * BENCH_NS_PER_MS / 2;
	lines[0].ns_per_byte = rate > 0 ? 8e3 / (double)rate : 0;
	lines[0].queue_ns = (int64_t)(lines[0].ns_per_byte * (double)queue_kb * 1000);
	tun[0] = namespace_make("10.77.0.1");
	near = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	tun[1] = namespace_make("10.77.0.2");
	for (unsigned i = 0; i < 2; i++) {
		lines[i].from = tun[i];
		lines[i].to = tun[1 - i];
		lines[i].ring = obj_alloc(RING_BYTES);
	}
	printf("/proc/%d/fd/%d /proc/%d/ns/net\n", (int)getpid(), near, (int)getpid());
	fflush(stdout);
	run(lines);
	return 0;
}
