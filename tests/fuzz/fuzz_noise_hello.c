/* links: coord/noise */
/* Any bytes as an initiation, and as records: no overread, and nothing opens that was not sealed
 * with the key. The identity is the one of tests/data/noise.json, so that the corpus gets through. */
#include <string.h>

#include "base/obj.h"
#include "coord/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct noise_engine *engine;
static struct noise_identity identity;

static void
start(void)
{
	static const char priv[] =
	    "3864c15a492c5f431dcaff207678c3cafe599c33cd602aeed04247d7b607d558";
	static const char pub[] =
	    "cd1a304c6d7f955baf3f0f0cf3619de6a253aa479b08fe420fb88b159c32780e";

	engine = noise_engine_new();
	ASSERT(key_hex_parse(priv, 64, identity.priv.b) == ERR_OK);
	ASSERT(key_hex_parse(pub, 64, identity.pub.b) == ERR_OK);
}

static void
records(const uint8_t *data, size_t size)
{
	struct noise_half rx = { .counter = 0 };
	uint8_t *copy = malloc(size + 1);
	size_t off = 0, n, n_plain;

	ASSERT(copy != NULL);
	memcpy(copy, data, size);
	while (noise_record_bytes(copy + off, size - off, &n) == ERR_OK) {
		ASSERT(n <= size - off && n <= NOISE_RECORD_MAX);
		if (noise_open(engine, &rx, copy + off, n, &n_plain) == ERR_OK)
			ASSERT(n_plain <= NOISE_PLAIN_MAX);
		off += n;
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct private_key ephemeral = { { 7 } };
	struct noise_accepted a;
	uint16_t version = 0;

	if (engine == NULL)
		start();
	if (noise_hello_check(data, size, &version) == ERR_OK &&
	    noise_accept(engine, &identity, &ephemeral, data, &a) == ERR_OK)
		ASSERT(a.version == version && a.answer[0] == 2);
	records(data, size);
	return 0;
}
