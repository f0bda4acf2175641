/*
 * A DERP client of the load: TCP, TLS, upgrade, greeting, then frames. Packets are told to a
 * function by their first bytes only; everything else of a frame is skipped.
 */
#ifndef TESTS_BENCH_DERP_CLIENT_H
#define TESTS_BENCH_DERP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/key.h"
#include "tests/bench/link.h"

/* Begin of a packet, told to on_packet: u64 number, u64 time in ns (big-endian). */
#define DERP_CLIENT_STAMP_BYTES	16

struct derp_client;
/* A whole packet of n bytes has arrived (at least DERP_CLIENT_STAMP_BYTES). Must not close the client. */
typedef void (*derp_client_packet_fn)(struct derp_client *c, const uint8_t *stamp, size_t n);

/* What it leaves out; the server closes those that say too little. */
enum derp_client_silence {
	DERP_CLIENT_SPEAKS,
	DERP_CLIENT_NO_UPGRADE,		/* nothing behind the connection */
	DERP_CLIENT_NO_INFO,		/* nothing behind the upgrade */
};

struct derp_client {
	struct link link;
	struct node_key key;
	bool is_ready;			/* ServerInfo has come */
	bool is_probe;			/* served before others: derp_pool_turn */
	enum derp_client_silence silence;
	uint32_t events;		/* what epoll was told */
	derp_client_packet_fn on_packet;	/* NULL: only counted */
	void *arg;
	uint64_t packets, gone_frames;
	struct derp_client_hello *hello;	/* until it is ready */
	uint8_t head[56];		/* begin of the frame that arrives */
	uint8_t n_head;
	uint32_t n_skip;		/* bytes of it still to come, not looked at */
};

/* Draws a key and begins to connect; a client that is connected already is closed first. */
enum err derp_client_connect(struct derp_client *c, const struct link_target *t) MUST_USE;
/* The socket is ready. ERR_OK; anything else: close it. */
enum err derp_client_serve(struct derp_client *c, uint32_t events) MUST_USE;
void derp_client_close(struct derp_client *c);

/* A SendPacket frame to the peer with a packet of n bytes in it: its bytes, with one to spare for
 * link_put. The stamp is at DERP_CLIENT_STAMP_AT. The caller frees it. */
#define DERP_CLIENT_STAMP_AT	37
uint8_t *derp_client_frame_new(const struct derp_client *peer, size_t n) MUST_USE;

/* Many clients on one epoll descriptor. */
struct derp_pool {
	int epoll;
	const struct link_target *target;
	bool expects_ends;		/* and says nothing of the first */
	uint64_t failed;		/* connections that ended by themselves */
};

void derp_pool_init(struct derp_pool *p, const struct link_target *target);
void derp_pool_fini(struct derp_pool *p);
/* Connects n clients, at_once at a time, and waits until all are ready. Ends the program when it
 * takes longer. */
void derp_pool_connect(struct derp_pool *p, struct derp_client *c, size_t n, unsigned at_once,
	unsigned timeout_s);
/* Waits at most that long for readiness and serves; probes first. 0: polls. */
void derp_pool_turn(struct derp_pool *p, int timeout_ms);
/* Tells epoll what the client waits for, if that changed. */
void derp_pool_update(struct derp_pool *p, struct derp_client *c);
/* The client is at another address in memory now. */
void derp_pool_moved(struct derp_pool *p, struct derp_client *c);
/* From now on nothing is read and nothing is noticed of it, until it is closed. */
void derp_pool_ignore(struct derp_pool *p, struct derp_client *c);
void derp_pool_close(struct derp_pool *p, struct derp_client *c);

#endif
