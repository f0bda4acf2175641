/*
 * Control connections on their workers: the upgrade request, Noise, HTTP/2 (nghttp2) inside, and
 * the requests under /machine/ as structs. It knows nothing of tailnets: requests leave through
 * hooks, answers come back by conn_ref and stream id.
 *
 * A map stream has at most one answer under way (pull): after ts2021_map_send the hook on_drained
 * says when it has left, and then the next may be sent. Keep-alives are made here when a stream was
 * idle for 50-60 s.
 *
 * What a stranger can hold is bounded: Noise handshakes are rationed per turn of the worker, HTTP/2
 * must begin within 10 s and ask for something within 30 s, connections without an open stream end
 * after two minutes, a reader that takes nothing for config.limits.map_stall_s is closed. A client that
 * acknowledges nothing for 20 s, not even a keep-alive, is taken for gone: its network went without a word.
 */
#ifndef COORD_TS2021_H
#define COORD_TS2021_H

#include "base/config.h"
#include "base/io.h"
#include "base/key.h"
#include "base/worker.h"
#include "coord/msg_map.h"
#include "coord/msg_register.h"
#include "coord/msg_ssh.h"

/* Oldest capability version accepted: 113 = client 1.80. */
#define TS2021_VERSION_MIN 113

struct ts2021;

/* Who asks: the machine key is authenticated by Noise, everything else in a request is a claim. */
struct ctl_peer {
	struct conn_ref conn;
	int32_t stream;
	struct machine_key machine;
	struct net_addr addr;		/* of the client, as the door knows it */
	uint16_t noise_version;		/* capability version of the handshake */
};

/* A stream of a connection. */
struct ts2021_stream {
	struct conn_ref conn;
	int32_t stream;
};

/* All are called on the connection's worker and must not wait; arg is hooks.arg. A hook that
 * returns an error has not taken the request: it is answered 503 (429 with Retry-After for
 * ERR_BUSY). */
struct ts2021_hooks {
	void *arg;
	enum err (*on_register)(void *arg, const struct ctl_peer *from, struct register_req *req);
	enum err (*on_map)(void *arg, const struct ctl_peer *from, struct map_req *req);
	enum err (*on_ssh)(void *arg, const struct ctl_peer *from, const struct ssh_req *req);
	/* The answer to a PingRequest with ?id= in its URL; it is answered whatever becomes of it. */
	void (*on_pong)(void *arg, const struct machine_key *from, uint64_t id);
	/* The answers of ts2021_map_send on these streams have been taken by their sockets; not
	 * called after is_last. All of a worker's turn in one call: a wake-up of the other side
	 * costs more than sending a small answer. The list is borrowed for the call. */
	void (*on_drained)(void *arg, const struct ts2021_stream *list, unsigned n);
	/* A register, map or SSH stream ended before its answer was complete: by the client, by an
	 * error, or with its connection; the client was last heard of silent_ms ago. Not called after
	 * ts2021_reply, is_last or ts2021_stream_end. */
	void (*on_gone)(void *arg, struct conn_ref conn, int32_t stream, unsigned silent_ms);
};

/* Main thread, before the workers start. key: the server's Noise key (copied). */
enum err ts2021_new(const struct config *cfg, struct worker_group *g,
	const struct private_key *key, const struct ts2021_hooks *hooks, struct ts2021 **out)
	MUST_USE;
void ts2021_free(struct ts2021 *c);		/* after the workers stopped; NULL is fine */
void ts2021_public_key(const struct ts2021 *c, struct machine_key *out);

/* Takes a connection whose upgrade request was read. handshake: the value of X-Tailscale-Handshake
 * (n characters of base64). ERR_OK: io is taken; the handshake is made at the end of this turn or a
 * later one, its 101 and everything behind it written then (400 if it does not succeed). ERR_INVAL:
 * no initiation; ERR_BUSY: too many wait; with *why, io is not taken and nothing was written: the
 * caller answers. On io's worker. */
enum err ts2021_attach(struct ts2021 *c, struct io *io, const char *handshake, size_t n,
	struct err_text *why) MUST_USE;

/* Answers a request completely. body is taken (may be NULL). retry_after_s > 0 adds Retry-After.
 * Any thread; a connection that has gone is a miss. */
void ts2021_reply(struct ts2021 *c, struct conn_ref conn, int32_t stream, int status,
	int retry_after_s, struct shbuf *body);
/* Sends one map message on a streaming answer (the first sends the 200 head): segs are n zstd
 * frames that together are one JSON text; the 4-byte length is put in front here. All references
 * are taken. is_last ends the stream afterwards. Any thread. */
void ts2021_map_send(struct ts2021 *c, struct conn_ref conn, int32_t stream,
	struct shbuf **segs, unsigned n, bool is_last);
/* Ends a stream without a message (replaced by a newer one, or the node is unknown by now). Any
 * thread. */
void ts2021_stream_end(struct ts2021 *c, struct conn_ref conn, int32_t stream);

/* What a timer does every second on each worker (deadlines, keep-alives), by clock_mono_ms. For
 * tests, on the worker's thread. */
void ts2021_tick(struct ts2021 *c, struct worker *w);

#endif
