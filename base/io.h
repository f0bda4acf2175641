/*
 * One stream socket of a worker, plain or TLS, non-blocking; no events of its own (the owner has
 * them: io_fd). A struct io moves from the door to the relay or to control as a whole, together
 * with what was read and not parsed yet.
 *
 * Reading: TLS records are read ahead by the 64 KiB. After io_read fills, read again until
 * ERR_AGAIN: epoll does not see what was read ahead. (io_has_more says whether another read can give
 * bytes without the socket; go on in the next turn with worker_again.) Events must be
 * level-triggered: a read that took all there was is followed by ERR_AGAIN in the same turn without
 * asking the socket.
 *
 * Writing: io_write seals into the worker's one staging buffer, io_flush sends that in one system
 * call; what the socket does not take is kept with this io (io_pending_bytes), and io_write then
 * answers ERR_AGAIN until io_flush got rid of it. Between the first io_write and io_flush of one io
 * no other io of the worker may be written (asserted). TLS may have to write while it reads (a
 * handshake, a key update): io_read and io_tls_handshake send that themselves as far as possible.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"

#define IO_STAGE_BYTES	(256u << 10)	/* io_write takes at most what fits */
#define IO_RECORD_BYTES	16384u	/* largest TLS plaintext: the best size for one io_write */

struct io;
struct worker;
typedef struct ssl_st SSL;

/* Per-worker staging: made and freed by base/worker. */
struct io_stage *io_stage_new(void) MUST_USE;
void io_stage_free(struct io_stage *s);

/* Takes fd (non-blocking; TCP_NODELAY, keep-alive and a user timeout of 15 s are set here). peer
 * may be NULL, and corrected later by a trusted proxy. Never NULL. */
struct io *io_new(struct worker *w, int fd, const struct net_addr *peer) MUST_USE;
/* Sends what is staged and, with TLS, close_notify, if the socket takes it at once; closes and
 * frees. The owner's events on the descriptor are gone before. NULL is fine. */
void io_free(struct io *io);

/* Somebody of whom nothing is known yet, counted by whoever embeds this. */
struct io_guest {
	void (*fn)(struct io_guest *g);
};
/* g->fn runs once: with io_known, or when io is freed. io has no guest yet. */
void io_guest_take(struct io *io, struct io_guest *g);
bool io_is_guest(const struct io *io);
/* The peer has proved to be one of ours. */
void io_known(struct io *io);

/* Facts. What they point to is borrowed. */
int io_fd(const struct io *io);
struct worker *io_worker(const struct io *io);
const struct net_addr *io_peer(const struct io *io);
void io_set_peer(struct io *io, const struct net_addr *peer);
bool io_is_tls(const struct io *io);
/* "TLSv1.3" or "plain"; static. */
const char *io_version(const struct io *io);

/* What to wait for: EV_READ, with EV_WRITE while bytes are pending (then io_flush, or
 * io_tls_handshake as long as that is not done). */
short io_wants(const struct io *io);

/* From here on TLS server with this SSL (taken; from SSL_new of a context that io_tls_ctx_init
 * prepared). Bytes already put back with io_unread are read first. */
void io_tls_start(struct io *io, SSL *ssl);
/* The same as TLS client; what of the server is checked, and its name, are set in ssl before. */
void io_tls_start_client(struct io *io, SSL *ssl);
/* The certificate of the other side, the caller's; NULL: none was shown. Before the first io_read or
 * io_write: it is not kept longer. */
struct x509_st *io_tls_peer_certificate(const struct io *io);
/* Continues the handshake. ERR_OK: done (bytes may be pending); ERR_AGAIN: wait for io_wants;
 * ERR_CRYPTO: not TLS, or nothing in common; ERR_CLOSED, ERR_IO. */
enum err io_tls_handshake(struct io *io) MUST_USE;
/* Read-ahead, buffer release, no tickets, no renegotiation, TLS 1.2 and 1.3 with AEAD ciphers:
 * settings that every SSL_CTX given to io_tls_start must have. */
struct ssl_ctx_st;
void io_tls_ctx_init(struct ssl_ctx_st *ctx);
/* Whether records of TLS 1.3 are sealed and opened here (base/tls_record; at first they are), and the SSL
 * freed after the handshake, or all is left to OpenSSL. TLS 1.2 always is. */
void io_tls_ctx_records(struct ssl_ctx_st *ctx, bool are_own);

/* From here on the stream is carried by WebSocket binary frames, under io_read and io_write (base/ws,
 * server side): the client's request was read and the 101 written, by plain io_write. Pings are answered
 * inside io_read, a client's close frame is the end of the stream. Bytes put back with io_unread before
 * are frames. */
void io_ws_start(struct io *io);
bool io_is_ws(const struct io *io);

/* At least 1 byte into p on ERR_OK, count in *got (TLS: of one record at most). ERR_AGAIN;
 * ERR_CLOSED: the end, of TLS also without close_notify; ERR_IO, ERR_PROTO (no WebSocket frames):
 * close. Not before a handshake is done. */
enum err io_read(struct io *io, void *p, size_t cap, size_t *got) MUST_USE;
/* Puts n bytes back in front of what io_read gives next (copied). */
void io_unread(struct io *io, const void *p, size_t n);
/* Another io_read may give bytes without waiting for the socket. When only a part of a record is
 * there it may say so once too often: after ERR_AGAIN it is false. */
bool io_has_more(const struct io *io);

/* Seals all n bytes (n <= IO_STAGE_BYTES / 2) behind what is staged. ERR_AGAIN: something is
 * pending or the stage is full, nothing was taken; ERR_IO: close. */
enum err io_write(struct io *io, const void *p, size_t n) MUST_USE;
/* What io_write would take right now, in bytes, at most IO_STAGE_BYTES / 2; 0 while something is
 * pending. */
size_t io_write_room(const struct io *io);
/* Sends. ERR_OK: all gone; ERR_AGAIN: some is kept, wait for writability and call again; ERR_IO,
 * ERR_CLOSED: nobody is there any more. */
enum err io_flush(struct io *io) MUST_USE;
/* What io_flush could not send yet; sealed, so it cannot be taken back. */
size_t io_pending_bytes(const struct io *io);

/* How long the kernel waits for a peer that acknowledges nothing or keeps its window shut, before it
 * breaks the connection; 15 s at first. 0: the kernel's own rules. */
void io_set_stall_ms(struct io *io, unsigned stall_ms);

/* How long ago the peer was last heard of: bytes, or an acknowledgement. 0 of sockets that are not TCP. */
unsigned io_silent_ms(const struct io *io);
/* Was something sent that the peer has not acknowledged? A peer with a closed window, of which the kernel
 * asks only now and then, owes nothing. */
bool io_is_owed_ack(const struct io *io);

/* Bytes since birth, on the socket. */
uint64_t io_bytes_in(const struct io *io);
uint64_t io_bytes_out(const struct io *io);

#endif
