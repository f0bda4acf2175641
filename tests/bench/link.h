/*
 * One non-blocking TCP connection of a load generator, plain or TLS 1.3 with AES-128-GCM. OpenSSL
 * makes the handshake; the records after it are ours (seal). What is written goes through one
 * staging buffer of the process, so that the records of one turn leave in one system call. One
 * thread.
 */
#ifndef TESTS_BENCH_LINK_H
#define TESTS_BENCH_LINK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "tests/bench/seal.h"

#define LINK_STAGE_BYTES (1u << 20)

/* Where to connect. */
struct link_target {
	struct sockaddr_storage addr;
	socklen_t n_addr;
	bool is_tls;
	const char *host;		/* of the Host header; borrowed */
	const char *sni;		/* NULL: none; borrowed */
	struct ssl_ctx_st *ctx;
};

/* "address:port" ([v6]:port) -> *t. Certificates are not verified. Ends the program when it is no
 * address. */
void link_target_init(struct link_target *t, const char *address, bool is_tls, const char *sni);
void link_target_fini(struct link_target *t);

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_HANDSHAKE, LINK_OPEN };

struct link {
	enum link_state state;
	int fd;
	bool is_tls;
	struct link_shake *shake;	/* while the handshake lasts */
	struct seal rx, tx;
	uint8_t *carry;			/* begin of a record; owned, NULL when empty */
	size_t n_carry;
	uint8_t *out;			/* sealed, not taken by the socket; owned, NULL when empty */
	size_t n_out, out_at;
	uint64_t bytes_in, bytes_out;	/* on the socket, behind the handshake */
};

/* Bytes that arrived; they may be changed. Returning an error ends link_read with it. */
typedef enum err (*link_data_fn)(void *arg, uint8_t *p, size_t n);

/* Begins to connect; *l is overwritten. ERR_IO. */
enum err link_connect(struct link *l, const struct link_target *t) MUST_USE;
/* Goes on connecting. ERR_OK: open; ERR_AGAIN: wait for link_wants; ERR_IO, ERR_CRYPTO, ERR_CLOSED. */
enum err link_handshake(struct link *l) MUST_USE;
/* EPOLLIN, EPOLLOUT. */
uint32_t link_wants(const struct link *l);
/* One read from the socket; fn is called for each piece of data. ERR_OK: maybe nothing; ERR_CLOSED,
 * ERR_IO, ERR_CRYPTO, or what fn returned. fn must not close the link. */
enum err link_read(struct link *l, link_data_fn fn, void *arg) MUST_USE;

/* The socket does not take more now, or the stage is full. */
bool link_is_blocked(const struct link *l);
/* Stages n bytes (at most SEAL_PLAIN_MAX) as one record. p[n] is overwritten. The link is not blocked. */
void link_put(struct link *l, uint8_t *p, size_t n);
/* Stages any number of bytes, also while blocked (then kept in memory). */
void link_write(struct link *l, const void *p, size_t n);
/* Sends what is staged. Before another link may be written. ERR_OK: sent or kept; ERR_CLOSED,
 * ERR_IO. */
enum err link_flush(struct link *l) MUST_USE;

/* Closes at once. Closed already is fine. */
void link_close(struct link *l);

#endif
