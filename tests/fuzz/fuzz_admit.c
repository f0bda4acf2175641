/* links: relay/derp_admit coord/relay_hello coord/region */
/* What a relay is told, whole and its signed part alone, on any bytes: what the parser takes it could have
 * written. Signed, it goes through a relay's state. And a relay's first words to the coordinator. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coord/relay_hello.h"
#include "relay/derp_admit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_key(void *arg, const struct node_key *key)
{
	(void)arg;
	(void)key;
}

static void
on_config(void *arg, const char *json, size_t n)
{
	(void)arg;
	ASSERT(json[n] == '\0');
}

/* The record as the coordinator would sign it, into a state that has one key. */
static void
apply(const struct admit_signer *signer, const struct admit_record *r)
{
	static const struct derp_admit_ops ops = { NULL, on_key, on_key, on_key, on_config };
	/* In a directory that is not there: nothing is written. */
	struct derp_admit *a = derp_admit_new("/nonexistent/fairlead/relay_state", &ops);
	const uint8_t key[KEY_BYTES] = { 1 };
	struct admit_record first = {
		.kind = ADMIT_SNAPSHOT, .valid_s = 1, .epoch = r->epoch, .seq = r->seq - 1, .payload = key,
		.n = sizeof(key),
	};
	struct shbuf *b = admit_record_new(signer, &first);
	struct err_text why;

	ASSERT(derp_admit_pin(a, signer->public, &why) == ERR_OK);
	ASSERT(derp_admit_feed(a, b->bytes, b->len, 0, &why) == ERR_OK);
	shbuf_drop(b);
	b = admit_record_new(signer, r);
	(void)!derp_admit_feed(a, b->bytes, b->len, 0, &why);
	derp_admit_lost(a);
	derp_admit_look(a, INT64_MAX / 2);
	shbuf_drop(b);
	derp_admit_free(a);
}

static void
hello(const uint8_t *data, size_t size)
{
	struct net_ip from = { .family = 4, .b = { 192, 0, 2, 1 } };
	struct err_text why = { "" };
	struct relay_hello h;
	json_t *v = NULL;
	enum err rc;

	if (json_parse(data, size, &v, NULL) != ERR_OK)
		return;
	if ((rc = relay_hello_parse(v, "name", &from, &h, &why)) == ERR_OK)
		ASSERT(region_node_check(&h.node, &why) == ERR_OK);
	else
		ASSERT(why.s[0] != '\0');
	json_decref(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct private_key noise = { { 1 } };
	static struct admit_signer signer;
	struct admit_record r;
	size_t used;

	log_set_level(LOG_ERROR);
	if (signer.secret[0] == 0)
		admit_signer_init(&signer, &noise);
	if (admit_record_parse(data, size, signer.public, &r, &used) == ERR_OK)
		ASSERT(used <= size);
	if (admit_body_parse(data, size, &r) == ERR_OK)
		apply(&signer, &r);
	hello(data, size);
	return 0;
}
