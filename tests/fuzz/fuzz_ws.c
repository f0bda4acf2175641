/* links: */
/* A WebSocket client's bytes, whole and cut into pieces (the first byte says how long): the same data, the same
 * end. */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/obj.h"
#include "base/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
read_in_pieces(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
	struct ws_reader r = { 0 };
	enum err rc = ERR_OK;

	for (size_t at = 0; at < size && rc == ERR_OK; at += piece) {
		size_t n = size - at < piece ? size - at : piece, n_data;
		uint8_t *p = obj_alloc(n);

		memcpy(p, data + at, n);
		rc = ws_read(&r, p, n, &n_data);
		ASSERT(n_data <= n);
		buf_append(out, p, n_data);
		free(p);
		ASSERT(r.n_ping <= WS_CONTROL_MAX_BYTES && r.n_control <= WS_CONTROL_MAX_BYTES);
	}
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { .p = NULL }, pieces = { .p = NULL };
	char accept[WS_ACCEPT_BYTES];
	enum err a, b;

	if (size < 2)
		return 0;
	a = read_in_pieces(data + 1, size - 1, size - 1, &whole);
	b = read_in_pieces(data + 1, size - 1, (size_t)data[0] + 1, &pieces);
	ASSERT(a == b && whole.len == pieces.len);
	ASSERT(whole.len == 0 || memcmp(whole.p, pieces.p, whole.len) == 0);
	if (ws_accept_put((const char *)data, size, accept) == ERR_OK)
		ASSERT(strlen(accept) == WS_ACCEPT_BYTES - 1);
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
