/* links: relay/derp_mesh_target relay/derp_frame relay/derp_hello */
/* What another relay sends: its HTTP answer, its ServerKey, its frames; and a mesh peer's frames. */
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "relay/derp_mesh_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(const uint8_t *data, size_t size, enum err (*check)(const struct derp_frame_hdr *h))
{
	for (size_t at = 0; at < size;) {
		struct derp_frame_hdr h;
		uint8_t key[KEY_BYTES], *copy;
		enum err rc;
		size_t n;

		if (derp_frame_parse(data + at, size - at, &h) != ERR_OK)
			return;
		rc = check(&h);
		n = DERP_FRAME_HDR_BYTES + (size_t)h.len_bytes;
		if ((rc != ERR_OK && rc != ERR_UNSUPPORTED) || n > size - at)
			return;
		copy = obj_alloc(n);
		memcpy(copy, data + at, n);
		if (h.type == DERP_FRAME_SERVER_KEY)
			(void)!derp_hello_key_parse(copy + DERP_FRAME_HDR_BYTES, h.len_bytes, key);
		if (rc == ERR_OK && h.type == DERP_FRAME_FORWARD_PACKET) {
			uint8_t *to = derp_frame_unforward(copy, n);

			ASSERT(derp_frame_parse(to, n - KEY_BYTES, &h) == ERR_OK);
			ASSERT(h.len_bytes == n - KEY_BYTES - DERP_FRAME_HDR_BYTES);
		}
		free(copy);
		at += n;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = obj_alloc(size + 1);
	struct derp_mesh_target t;
	char request[DERP_MESH_REQUEST_BYTES];
	size_t n_head = 0;

	memcpy(text, data, size);
	if (derp_mesh_target_parse(text, &t) == ERR_OK)
		ASSERT(derp_mesh_target_request(&t, request) < sizeof request);
	if (derp_mesh_target_answer((const char *)data, size, &n_head) == ERR_OK) {
		ASSERT(n_head <= size);
		walk(data + n_head, size - n_head, derp_frame_check_server);
	}
	walk(data, size, derp_frame_check_mesh);
	free(text);
	return 0;
}
