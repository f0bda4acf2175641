/*
 * The STUN server: parser and answer, and the sockets, served in bursts. Replies leave from the
 * address that was asked (IP_PKTINFO, IPV6_PKTINFO), which matters on machines with several.
 */
#include "relay/stun.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "base/ratelimit.h"
#include "base/wire.h"

#define STUN_MAGIC		0x57a11u
#define COOKIE			0x2112a442u
#define HEAD_BYTES		20u
#define TYPE_REQUEST		0x0001
#define TYPE_ANSWER		0x0101
#define ATTR_XOR_MAPPED		0x0020
#define ATTR_SOFTWARE		0x8022
#define ATTR_FINGERPRINT	0x8028
#define FINGERPRINT_XOR		0x5354554eu

/* A request is 40 bytes; longer datagrams are cut and then refused. */
#define DATAGRAM_BYTES		128
/* Datagrams in one turn: some 0.1 ms, so that a flood does not delay relayed packets. */
#define BURST			32u
/* Answers per source address (IPv6: /64), generous because many clients share a NAT; and for
 * all. */
#define SOURCE_PER_S		2000
#define SOURCES_MAX		4096
#define ALL_PER_S		100000
/* Requests that wait for the worker: the kernel takes twice as many bytes, some 10 ms of ALL_PER_S. Its
 * usual 208 KiB hold 277 of them, and a worker that is busy for 3 ms loses the rest. No more is granted
 * than net.core.rmem_max. */
#define RECEIVE_BYTES		(512 << 10)

struct stun_socket {
	int fd;
	struct event *ev;	/* NULL: not polled any more */
	struct stun *stun;	/* borrowed */
};

struct stun {
	uint32_t magic;
	struct worker *w;		/* borrowed */
	struct ratelimit *by_source, *all;
	uint16_t port;
	unsigned n;
	struct stun_socket sockets[CONFIG_LIST_MAX];
};

/* One burst's memory: the loop's thread only, on its stack. */
struct burst {
	struct mmsghdr in[BURST], out[BURST];
	struct iovec iov_in[BURST], iov_out[BURST];
	struct sockaddr_storage from[BURST];
	_Alignas(struct cmsghdr) uint8_t control_in[BURST][CMSG_SPACE(sizeof(struct in6_pktinfo))];
	_Alignas(struct cmsghdr) uint8_t control_out[BURST][CMSG_SPACE(sizeof(struct in6_pktinfo))];
	uint8_t data[BURST][DATAGRAM_BYTES];
	uint8_t answers[BURST][STUN_ANSWER_MAX_BYTES];
};

/* --- pure ------------------------------------------------------------------------------------- */

/* CRC-32 of IEEE 802.3, four bits at a time: 32 bytes are seldom worth a bigger table. */
static uint32_t
crc32_ieee(const uint8_t *p, size_t n)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158,
		0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
		0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		crc = nibble[(crc ^ p[i]) & 15] ^ (crc >> 4);
		crc = nibble[(crc ^ (uint32_t)(p[i] >> 4)) & 15] ^ (crc >> 4);
	}
	return ~crc;
}

enum err
stun_parse(const uint8_t *p, size_t n, uint8_t id[STUN_ID_BYTES])
{
	static const char software[8] = { 't', 'a', 'i', 'l', 'n', 'o', 'd', 'e' };
	bool is_ours = false;
	size_t at = HEAD_BYTES, last = 0;

	if (n < HEAD_BYTES || wire_u16be(p) != TYPE_REQUEST || wire_u32be(p + 4) != COOKIE)
		return ERR_PROTO;
	while (at < n) {
		if (n - at < 4)
			return ERR_PROTO;
		size_t len = wire_u16be(p + at + 2);
		size_t padded = (len + 3) & ~(size_t)3;

		if (padded > n - at - 4)
			return ERR_PROTO;
		if (wire_u16be(p + at) == ATTR_SOFTWARE && len == sizeof software &&
		    memcmp(p + at + 4, software, len) == 0)
			is_ours = true;
		last = at;
		at += 4 + padded;
	}
	if (!is_ours || wire_u16be(p + last) != ATTR_FINGERPRINT || wire_u16be(p + last + 2) != 4 ||
	    wire_u32be(p + last + 4) != (crc32_ieee(p, last) ^ FINGERPRINT_XOR))
		return ERR_PROTO;
	memcpy(id, p + 8, STUN_ID_BYTES);
	return ERR_OK;
}

size_t
stun_answer(uint8_t out[STUN_ANSWER_MAX_BYTES], const uint8_t id[STUN_ID_BYTES],
	const struct net_addr *addr)
{
	bool is_v4 = addr->ip.family == 4;
	size_t n_ip = is_v4 ? 4 : 16;
	uint8_t *ip = out + HEAD_BYTES + 8;

	wire_put_u16be(out, TYPE_ANSWER);
	wire_put_u16be(out + 2, (uint16_t)(8 + n_ip));
	wire_put_u32be(out + 4, COOKIE);
	memcpy(out + 8, id, STUN_ID_BYTES);
	wire_put_u16be(out + 20, ATTR_XOR_MAPPED);
	wire_put_u16be(out + 22, (uint16_t)(4 + n_ip));
	out[24] = 0;
	out[25] = is_v4 ? 1 : 2;
	wire_put_u16be(out + 26, (uint16_t)(addr->port ^ (COOKIE >> 16)));
	for (size_t i = 0; i < n_ip; i++)
		ip[i] = (uint8_t)(addr->ip.b[i] ^ out[4 + i]);	/* cookie, then id */
	return HEAD_BYTES + 8 + n_ip;
}

void
stun_request_put(uint8_t out[STUN_REQUEST_BYTES], const uint8_t id[STUN_ID_BYTES])
{
	size_t n = HEAD_BYTES;

	wire_put_u16be(out, TYPE_REQUEST);
	wire_put_u16be(out + 2, STUN_REQUEST_BYTES - HEAD_BYTES);
	wire_put_u32be(out + 4, COOKIE);
	memcpy(out + 8, id, STUN_ID_BYTES);
	wire_put_u16be(out + n, ATTR_SOFTWARE);
	wire_put_u16be(out + n + 2, 8);
	memcpy(out + n + 4, "tailnode", 8);
	n += 12;
	wire_put_u16be(out + n, ATTR_FINGERPRINT);
	wire_put_u16be(out + n + 2, 4);
	wire_put_u32be(out + n + 4, crc32_ieee(out, n) ^ FINGERPRINT_XOR);
}

/* Address of an (XOR-)MAPPED-ADDRESS of n bytes. */
static enum err
mapped_parse(const uint8_t *p, size_t n, const uint8_t mask[16], struct net_addr *out)
{
	uint8_t ip[16];

	if (n < 8 || (p[1] != 1 && p[1] != 2) || (p[1] == 2 && n < 20))
		return ERR_PROTO;
	for (size_t i = 0; i < (p[1] == 1 ? 4u : 16u); i++)
		ip[i] = p[4 + i] ^ mask[i];
	out->ip = p[1] == 1 ? net_ip_from_v4(ip) : net_ip_from_v6(ip);
	out->port = (uint16_t)(wire_u16be(p + 2) ^ wire_u16be(mask));
	return ERR_OK;
}

enum err
stun_answer_parse(const uint8_t *p, size_t n, const uint8_t id[STUN_ID_BYTES], struct net_addr *out)
{
	size_t at = HEAD_BYTES;

	if (n < HEAD_BYTES || wire_u16be(p) != TYPE_ANSWER || wire_u32be(p + 4) != COOKIE ||
	    memcmp(p + 8, id, STUN_ID_BYTES) != 0)
		return ERR_PROTO;
	while (n - at >= 4) {
		size_t len = wire_u16be(p + at + 2), padded = (len + 3) & ~(size_t)3;

		if (padded > n - at - 4)
			return ERR_PROTO;
		if (wire_u16be(p + at) == ATTR_XOR_MAPPED)
			return mapped_parse(p + at + 4, len, p + 4, out);
		at += 4 + padded;
	}
	return ERR_PROTO;
}

/* --- serving ---------------------------------------------------------------------------------- */

static bool
stun_may_answer(struct stun *s, const struct net_addr *from)
{
	int64_t now_ms = worker_now_ms(s->w);

	return ratelimit_take_ip(s->by_source, &from->ip, now_ms) &&
	    ratelimit_take(s->all, "", 0, now_ms);
}

/* Copies the packet info, so that the address asked is the source of the answer; the route
 * decides on the interface. */
static void
copy_pktinfo(struct msghdr *out, struct msghdr *in, uint8_t *control)
{
	struct cmsghdr *c, *o = (struct cmsghdr *)(void *)control;

	for (c = CMSG_FIRSTHDR(in); c != NULL; c = CMSG_NXTHDR(in, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			info.ipi_ifindex = 0;
			memcpy(CMSG_DATA(o), &info, sizeof info);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			info.ipi6_ifindex = 0;
			memcpy(CMSG_DATA(o), &info, sizeof info);
		} else {
			continue;
		}
		o->cmsg_level = c->cmsg_level;
		o->cmsg_type = c->cmsg_type;
		o->cmsg_len = c->cmsg_len;
		out->msg_control = control;
		out->msg_controllen = CMSG_ALIGN(c->cmsg_len);
		return;
	}
}

/* Makes the answer to datagram i as the out-th one. false: it gets none. */
static bool
burst_answer(struct stun *s, struct burst *b, unsigned i, unsigned out)
{
	struct msghdr *in = &b->in[i].msg_hdr;
	uint8_t id[STUN_ID_BYTES];
	struct net_addr from;

	if ((in->msg_flags & MSG_TRUNC) != 0 ||
	    stun_parse(b->data[i], b->in[i].msg_len, id) != ERR_OK) {
		metric_add(METRIC_STUN_BAD, 1);
		return false;
	}
	net_addr_from_sockaddr((const struct sockaddr *)&b->from[i], &from);
	if (from.ip.family == 0 || from.port == 0)
		return false;
	if (!stun_may_answer(s, &from)) {
		metric_add(METRIC_STUN_LIMITED, 1);
		return false;
	}
	b->iov_out[out] = (struct iovec){
		.iov_base = b->answers[out], .iov_len = stun_answer(b->answers[out], id, &from),
	};
	b->out[out].msg_hdr = (struct msghdr){
		.msg_name = &b->from[i], .msg_namelen = in->msg_namelen,
		.msg_iov = &b->iov_out[out], .msg_iovlen = 1,
	};
	copy_pktinfo(&b->out[out].msg_hdr, in, b->control_out[out]);
	return true;
}

/* One that cannot be sent is skipped: the client asks again. */
static void
burst_send(int fd, struct burst *b, unsigned n)
{
	unsigned at = 0;

	while (at < n) {
		int sent = sendmmsg(fd, b->out + at, n - at, MSG_DONTWAIT);

		if (sent > 0) {
			metric_add(METRIC_STUN_OK, sent);
			at += (unsigned)sent;
		} else if (errno != EINTR) {
			at++;
		}
	}
}

static void
stun_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stun_socket *so = arg;
	struct burst b;
	unsigned n_out = 0;
	int n;

	(void)what;
	OBJ_CHECK(so->stun, STUN_MAGIC);
	memset(b.in, 0, sizeof b.in);
	memset(b.control_out, 0, sizeof b.control_out);
	for (unsigned i = 0; i < BURST; i++) {
		b.iov_in[i] = (struct iovec){ .iov_base = b.data[i], .iov_len = DATAGRAM_BYTES };
		b.in[i].msg_hdr = (struct msghdr){
			.msg_name = &b.from[i], .msg_namelen = sizeof b.from[i],
			.msg_iov = &b.iov_in[i], .msg_iovlen = 1,
			.msg_control = b.control_in[i], .msg_controllen = sizeof b.control_in[i],
		};
	}
	n = recvmmsg(fd, b.in, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		n_out += burst_answer(so->stun, &b, (unsigned)i, n_out);
	burst_send(fd, &b, n_out);
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* Has the list an IPv4 address with this port? */
static bool
list_has_v4(const struct config_list *list, uint16_t port)
{
	for (unsigned i = 0; i < list->n; i++) {
		struct net_addr a;

		if (net_addr_parse(list->items[i], strlen(list->items[i]), &a) == ERR_OK &&
		    a.ip.family == 4 && a.port == port)
			return true;
	}
	return false;
}

static enum err
socket_bind(int fd, const struct net_addr *a, bool is_v6_only)
{
	static const int on = 1;
	struct sockaddr_storage sa;
	socklen_t n = net_addr_to_sockaddr(a, &sa);
	int v6_only = is_v6_only;

	if (a->ip.family == 6 &&
	    (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) != 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0))
		return ERR_IO;
	if (a->ip.family == 4 && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0)
		return ERR_IO;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ RECEIVE_BYTES }, sizeof(int)) != 0)
		log_debug(LOG_STUN, "receive buffer stays small");
	return bind(fd, (const struct sockaddr *)&sa, n) == 0 ? ERR_OK : ERR_IO;
}

static uint16_t
socket_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof sa;
	struct net_addr a;

	if (getsockname(fd, (struct sockaddr *)&sa, &n) != 0)
		return 0;
	net_addr_from_sockaddr((const struct sockaddr *)&sa, &a);
	return a.port;
}

/* Opens one; *fd is -1 when this machine has no such address family and others are listed. */
static enum err
socket_open(const struct config_list *list, const char *text, int *fd, struct err_text *why)
{
	struct net_addr a;
	int s;

	if (net_addr_parse(text, strlen(text), &a) != ERR_OK)
		return err_say(why, ERR_INVAL, "\"%s\" is no address and port for STUN", text);
	if ((*fd = inherit_take_ip(SOCK_DGRAM, &a)) >= 0)
		return ERR_OK;
	s = socket(a.ip.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0 && errno == EAFNOSUPPORT && list->n > 1) {
		log_warn(LOG_STUN, "no such address family here", "listen", text);
		*fd = -1;
		return ERR_OK;
	}
	if (s < 0)
		return err_say(why, ERR_IO, "cannot make a UDP socket: %s", strerror(errno));
	if (socket_bind(s, &a, list_has_v4(list, a.port)) != ERR_OK) {
		int e = errno;

		close(s);
		if (e == EADDRINUSE)
			return err_say(why, ERR_IO, "UDP %s (STUN) is in use by another program: stop it,"
			    " or choose another port", text);
		return err_say(why, ERR_IO, "cannot listen on %s (UDP, STUN): %s", text, strerror(e));
	}
	*fd = s;
	return ERR_OK;
}

/* The worker stops: its loop must not know the sockets any more. */
static void
stun_on_stop(struct worker *w, void *arg)
{
	struct stun *s = arg;

	(void)w;
	OBJ_CHECK(s, STUN_MAGIC);
	for (unsigned i = 0; i < s->n; i++) {
		if (s->sockets[i].ev != NULL)
			event_free(s->sockets[i].ev);
		s->sockets[i].ev = NULL;
	}
}

void
stun_close(struct stun *s)
{
	if (s == NULL)
		return;
	stun_on_stop(s->w, s);
	for (unsigned i = 0; i < s->n; i++)
		close(s->sockets[i].fd);
	ratelimit_free(s->by_source);
	ratelimit_free(s->all);
	s->magic = 0;
	free(s);
}

static enum err
stun_add_socket(struct stun *s, int fd, struct err_text *why)
{
	struct stun_socket *so = &s->sockets[s->n];

	*so = (struct stun_socket){ .fd = fd, .stun = s };
	s->n++;
	if (s->port == 0)
		s->port = socket_port(fd);
	so->ev = event_new(s->w->base, fd, EV_READ | EV_PERSIST, stun_on_readable, so);
	if (so->ev == NULL || event_add(so->ev, NULL) != 0)
		return err_say(why, ERR_IO, "cannot poll a UDP socket");
	return ERR_OK;
}

enum err
stun_listen(const struct config_list *list, struct worker *w, struct stun **out,
	struct err_text *why)
{
	struct stun *s = obj_alloc(sizeof *s);
	enum err rc = ERR_OK;

	s->magic = STUN_MAGIC;
	s->w = w;
	s->by_source = ratelimit_new(SOURCE_PER_S, SOURCE_PER_S, SOURCES_MAX);
	s->all = ratelimit_new(ALL_PER_S, ALL_PER_S, 1);
	for (unsigned i = 0; i < list->n && i < CONFIG_LIST_MAX; i++) {
		int fd = -1;

		if ((rc = socket_open(list, list->items[i], &fd, why)) != ERR_OK)
			goto out;
		if (fd >= 0 && (rc = stun_add_socket(s, fd, why)) != ERR_OK)
			goto out;
	}
	worker_on_stop(w, stun_on_stop, s);
	*out = s;
	s = NULL;
out:
	stun_close(s);
	return rc;
}

unsigned
stun_sockets(const struct stun *s, int *out, unsigned max)
{
	unsigned n = 0;

	for (; s != NULL && n < s->n && n < max; n++)
		out[n] = s->sockets[n].fd;
	return n;
}

uint16_t
stun_port(const struct stun *s)
{
	return s == NULL ? 0 : s->port;
}
