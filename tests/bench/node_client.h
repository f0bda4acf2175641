/*
 * A simulated node: TCP, TLS, upgrade, Noise, HTTP/2, and the requests of a client. It looks at
 * bytes only as far as it must: map messages are counted, and gathered only when somebody wants
 * to see them. One thread.
 */
#ifndef TESTS_BENCH_NODE_CLIENT_H
#define TESTS_BENCH_NODE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/key.h"
#include "coord/noise.h"
#include "tests/bench/link.h"

#define NODE_CLIENT_VERSION 145		/* capability version */

enum node_request { NODE_REGISTER, NODE_LITE, NODE_STREAM };

struct node_client;

/* What the owner is told. None of them may close the client. */
struct node_hooks {
	/* HTTP/2 is there: requests may be sent. */
	void (*on_open)(struct node_client *c);
	/* A request was answered completely. body: of NODE_REGISTER only, n bytes. A map stream has
	 * ended, whatever its status. */
	void (*on_answer)(struct node_client *c, enum node_request what, int status,
		const char *body, size_t n);
	/* A whole map message of n bytes; p is NULL unless wants_messages. */
	void (*on_message)(struct node_client *c, const uint8_t *p, size_t n);
};

/* What all clients of a run have in common. */
struct node_common {
	const struct link_target *target;
	struct machine_key server;
	struct noise_engine *engine;
	struct node_hooks hooks;
	bool wants_messages;
};

struct node_client {
	struct node_common *common;
	unsigned index;
	struct noise_identity machine;
	struct node_key key;
	struct disco_key disco;
	/* of the connection */
	struct link link;
	uint32_t events;		/* what epoll was told */
	struct node_shake *shake;	/* until HTTP/2 is there */
	struct noise_half rx, tx;
	uint8_t *carry;			/* begin of a Noise record; owned */
	size_t n_carry;
	struct nghttp2_session *h2;
	int32_t stream;			/* of the map; 0: none */
	uint8_t early[9];		/* is the first thing the early payload? */
	uint8_t n_early;
	uint32_t n_early_skip;
	uint8_t length[4];		/* of the map message that arrives */
	uint8_t n_length;
	uint32_t n_left;		/* bytes of it still to come */
	uint32_t n_message;
	struct buf message;		/* gathered */
	/* the owner's */
	uint8_t want, got;
	bool is_trying;
	int64_t begin_ns, retry_ns;
	uint64_t messages, messages_bytes, wire_bytes;	/* of all its connections */
};

/* A node with keys of its own, not connected. The same seed and index give the same keys. */
void node_client_init(struct node_client *c, struct node_common *common, const char *seed,
	unsigned index);

/* Begins to connect; not while connected. ERR_IO. */
enum err node_client_connect(struct node_client *c) MUST_USE;
/* The socket is ready. ERR_OK; anything else: close it. */
enum err node_client_serve(struct node_client *c, uint32_t events) MUST_USE;
/* After on_open. Sent by node_client_flush; json is copied. */
void node_client_request(struct node_client *c, enum node_request what, const char *json);
enum err node_client_flush(struct node_client *c) MUST_USE;
void node_client_close(struct node_client *c);

#endif
