/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* Proves what becomes of a relay on another machine: its key, coming and going, one that cannot be reached,
 * one that is away for too long, and its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>

#include "coord/tailnet_relay.h"
#include "fake_tailnet.h"

static struct tailnet_relay *
relay(void)
{
	return tailnet_region_relay(fake.t, "edge");
}

/* With a region, and a relay in it, whose key is in fake.secret. */
static void
start(void)
{
	struct region r = { .code = "near", .name = "Near" };
	struct private_key noise = { { 1 } };

	fake_start();
	fake.cfg.derp.relay_valid_hours = 1;
	fake.cfg.derp.relay_gone_hours = 2;
	tailnet_relay_start(fake.t, &noise);
	tailnet_region_create(fake.t, &fake_actor, &r, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.id, 1);
	tailnet_relay_create(fake.t, &fake_actor, "edge", 1, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_non_null(relay());
}

static void
stop(void)
{
	tailnet_relay_stop(fake.t);
	fake_stop();
}

/* Nobody listens at port 1 of this machine. */
static struct relay_hello
hello(uint8_t key)
{
	struct relay_hello h = { .version = "1", .derp_key = { key },
		.node = { .name = "edge", .host = "127.0.0.1", .derp_port = 1, .stun_port = -1 } };

	return h;
}

static enum err
attach(uint8_t key, struct relay_feed **f, struct err_text *why)
{
	struct net_ip from = { .family = 4, .b = { 192, 0, 2, 1 } };
	struct relay_hello h = hello(key);

	return tailnet_relay_attach(fake.t, relay(), &h, &from, f, why);
}

static void
test_keys(void **state)
{
	struct err_text why;
	char text[AUTHKEY_TEXT_MAX];
	size_t n;

	(void)state;
	start();
	n = strlen(fake.secret);
	assert_ptr_equal(tailnet_relay_check(fake.t, fake.secret, n, &why), relay());
	memcpy(text, fake.secret, n + 1);
	text[n - 1] = text[n - 1] == 'a' ? 'b' : 'a';
	assert_null(tailnet_relay_check(fake.t, text, n, &why));
	assert_non_null(strstr(why.s, "is not known here"));
	assert_null(tailnet_relay_check(fake.t, "tskey-auth-x", 12, &why));
	assert_non_null(strstr(why.s, "no key of a relay"));
	memcpy(text, fake.secret, n + 1);
	tailnet_relay_create(fake.t, &fake_actor, "edge", 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	tailnet_relay_create(fake.t, &fake_actor, "other", 7, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	tailnet_relay_create(fake.t, &fake_actor, "-", 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	tailnet_region_remove(fake.t, &fake_actor, 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	tailnet_relay_remove(fake.t, &fake_actor, "edge", fake_done, NULL);
	fake_commit();
	assert_null(tailnet_relay_check(fake.t, text, n, &why));
	tailnet_region_remove(fake.t, &fake_actor, 1, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	stop();
}

static void
test_streams(void **state)
{
	struct relay_feed *one, *two, *three;
	struct err_text why;
	uint8_t block[4096];

	(void)state;
	start();
	assert_int_equal(attach(1, &one, &why), ERR_OK);
	assert_true(relay_feed_read(one, block, sizeof(block)) > 0);
	/* Another program with the same key is refused, the same one again takes over. */
	assert_int_equal(attach(2, &two, &why), ERR_EXISTS);
	assert_non_null(strstr(why.s, "192.0.2.1"));
	assert_int_equal(attach(1, &two, &why), ERR_OK);
	assert_int_equal(relay_feed_read(one, block, sizeof(block)), -1);
	relay_feed_gone(one);
	assert_ptr_equal(relay()->feed, two);
	relay_feed_gone(two);
	assert_null(relay()->feed);
	fake_commit();
	assert_int_equal(relay()->r.last_seen_unix_s, T0);
	assert_int_equal(attach(2, &three, &why), ERR_OK);
	tailnet_relay_remove(fake.t, &fake_actor, "edge", fake_done, NULL);
	fake_commit();
	assert_null(relay());
	assert_int_equal(relay_feed_read(three, block, sizeof(block)), -1);
	relay_feed_gone(three);
	stop();
}

static void
test_unreachable(void **state)
{
	struct relay_feed *f;
	struct err_text why;

	(void)state;
	start();
	assert_int_equal(attach(1, &f, &why), ERR_OK);
	/* Its probe has a thread of its own. */
	for (int i = 0; i < 2000 && relay()->trouble.s[0] == '\0'; i++) {
		tailnet_relay_look(fake.t);
		poll(NULL, 0, 5);
	}
	assert_non_null(strstr(relay()->trouble.s, "https://127.0.0.1:1/derp/probe does not answer"));
	fake_commit();
	assert_false(relay()->r.is_announced);
	assert_int_equal(fake.t->regions->in_map[0]->n_nodes, 0);
	relay_feed_gone(f);
	stop();
}

static void
test_away(void **state)
{
	struct relay_feed *f;
	struct err_text why;

	(void)state;
	start();
	assert_int_equal(attach(1, &f, &why), ERR_OK);
	relay()->is_reachable = true;	/* as a probe would find it */
	tailnet_relay_look(fake.t);
	fake_commit();
	assert_true(relay()->r.is_announced);
	assert_int_equal(fake.t->regions->in_map[0]->n_nodes, 1);
	relay_feed_gone(f);
	fake_commit();
	fake_clock(T0 + 7199);
	tailnet_relay_look(fake.t);
	assert_true(TAILQ_EMPTY(&fake_queue));
	fake_clock(T0 + 7200);
	tailnet_relay_look(fake.t);
	/* The disk does not take it: tried again. */
	fake_commit_one(ERR_FULL, "full");
	assert_true(relay()->r.is_announced);
	tailnet_relay_look(fake.t);
	fake_commit();
	assert_false(relay()->r.is_announced);
	assert_int_equal(fake.t->regions->in_map[0]->n_nodes, 0);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_streams), cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
