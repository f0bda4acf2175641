/*
 * WebSocket framing (RFC 6455), server side. Pure: bytes in, bytes out.
 *
 * offset size  (big-endian; RFC 6455 5.2)
 *      0    1  FIN 0x80, RSV 0x70 (zero: no extension is ever agreed on), opcode
 *      1    1  MASK 0x80, length 0 .. 125, or 126: two bytes follow, 127: eight
 *      2  0|2|8 the length, in its shortest form
 *      .    4  masking key: always from a client, never from us
 *      .       payload; a client's is XORed with the key
 *
 * opcodes: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong. Control frames (8 and up) have
 * at most 125 bytes, are not fragmented, and may come between the fragments of a message. Borders of
 * messages mean nothing here: binary messages carry a stream. Text is a protocol error.
 */
#ifndef BASE_WS_H
#define BASE_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WS_HDR_MAX_BYTES	14u	/* of a client's frame */
#define WS_OUT_HDR_MAX_BYTES	10u	/* of ours */
#define WS_CONTROL_MAX_BYTES	125u
#define WS_KEY_CHARS		24u	/* Sec-WebSocket-Key: base64 of 16 bytes */
#define WS_ACCEPT_BYTES		29u	/* Sec-WebSocket-Accept with NUL */

enum ws_opcode {
	WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10,
};

enum ws_close {
	WS_CLOSE_NORMAL = 1000, WS_CLOSE_PROTOCOL = 1002, WS_CLOSE_TYPE = 1003,
};

struct ws_hdr {
	uint8_t opcode;		/* enum ws_opcode */
	bool is_last;		/* of its message */
	uint8_t mask[4];
	uint64_t len_bytes;	/* of the payload */
	uint8_t hdr_bytes;
};

/* Header of the client's frame at p. ERR_AGAIN: not all of it yet; ERR_PROTO: not masked, a reserved
 * bit or opcode, a control frame that is long or fragmented, a length not in its shortest form. */
enum err ws_hdr_parse(const uint8_t *p, size_t n, struct ws_hdr *out) MUST_USE;
/* Writes the header of a whole frame of ours; returns its length. */
size_t ws_hdr_put(uint8_t p[WS_OUT_HDR_MAX_BYTES], enum ws_opcode opcode, size_t len_bytes);

/* Where a client's stream of frames stands. All zero is the start. */
struct ws_reader {
	uint64_t left_bytes;	/* of the frame's payload */
	uint8_t hdr[WS_HDR_MAX_BYTES];		/* of the frame, incomplete */
	uint8_t n_hdr;
	uint8_t opcode;
	uint8_t mask[4];
	uint8_t phase;		/* of the mask, 0 .. 3 */
	bool is_in_message;	/* a fragment came that was not the last */
	bool is_in_frame;
	bool has_ping;		/* the owner answers it and sets this to false; a later ping replaces it */
	uint8_t n_ping, n_control;
	uint8_t ping[WS_CONTROL_MAX_BYTES];
	uint8_t control[WS_CONTROL_MAX_BYTES];
};

/* Decodes n bytes at p in place: *n_data bytes of messages are at p afterwards. ERR_CLOSED: the client's
 * close frame came, what is behind it is ignored; ERR_PROTO: close. *n_data is right in every case. */
enum err ws_read(struct ws_reader *r, uint8_t *p, size_t n, size_t *n_data) MUST_USE;

/* Sec-WebSocket-Accept of a Sec-WebSocket-Key of n characters. ERR_INVAL: it is no key. */
enum err ws_accept_put(const char *key, size_t n, char out[WS_ACCEPT_BYTES]) MUST_USE;

#endif
