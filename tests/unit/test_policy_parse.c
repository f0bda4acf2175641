/* links: coord/policy coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/* Policies that are taken, and such as are refused: why, and where it says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/policy.h"

/* Defined in every text of src() and the like below. */
#define HEAD "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"groups\":{\"group:g\":[\"u@\"]}," \
	"\"hosts\":{\"h\":\"10.0.0.1\",\"net\":\"10.0.0.0/8\"},\"ipsets\":{\"ipset:s\":[\"10.0.0.0/8\"]}," \
	"\"postures\":{\"posture:p\":[\"node:os == 'linux'\"]},"

/* want NULL: taken. Otherwise the errors, as told, begin with or (after '*') contain it. */
struct text_case {
	const char *text, *want;
};

static void
check(const char *head, const struct text_case *c, const char *tail)
{
	struct policy *p = NULL;
	struct policy_errors errors = { 0 };
	struct buf b = { 0 }, told = { 0 };
	enum err rc;
	bool is_right;

	buf_printf(&b, "%s%s%s", head, c->text, tail);
	rc = policy_parse((const char *)b.p, b.len, &p, &errors);
	policy_errors_put(&told, &errors);
	assert_int_equal(rc == ERR_OK, errors.n == 0);
	if (c->want == NULL)
		is_right = rc == ERR_OK;
	else if (c->want[0] == '*')
		is_right = strstr(buf_cstr(&told), c->want + 1) != NULL;
	else
		is_right = strncmp(buf_cstr(&told), c->want, strlen(c->want)) == 0;
	if (!is_right)
		fail_msg("%s: told \"%s\", wanted %s", c->text, buf_cstr(&told),
		    c->want == NULL ? "nothing" : c->want);
	policy_drop(p);
	policy_errors_fini(&errors);
	buf_fini(&b);
	buf_fini(&told);
}

#define CHECK_ALL(head, cases, tail) do { \
	for (size_t n_case = 0; n_case < COUNT_OF(cases); n_case++) \
		check(head, &(cases)[n_case], tail); \
} while (0)

static void
test_top(void **state)
{
	static const struct text_case cases[] = {
		{ "", NULL }, { " \n", NULL }, { "{}", NULL }, { "// none\n{}", NULL },
		{ "{\"acls\":null,\"GROUPS\":{},\"TagOwners\":{}}", NULL },
		{ "{\"randomizeClientPort\":true,\"disableIPv4\":false,\"OneCGNATRoute\":\"mac-never\"}",
		  NULL },
		{ "{\"oneCGNATRoute\":\"\"}", NULL },
		{ "// c", "line 1, column 5: the text ends" },
		{ "[]", "line 1, column 1: an object is wanted here, not a list" },
		{ "{\n \"rules\":[]}", "line 2, column 2: unknown field \"rules\"" },
		{ "{\"acls\":[],\"ACLs\":[]}", "line 1, column 12: field given twice: \"ACLs\"" },
		{ "{\"acls\":null,\"ACLs\":[]}", "line 1, column 14: field given twice: \"ACLs\"" },
		{ "{\"#note\":1}", "line 1, column 2: unknown field \"#note\"" },
		{ "{\"acls\":{}}", "line 1, column 9: acls wants a list, not an object" },
		{ "{\"grants\":\"x\"}", "line 1, column 11: grants wants a list, not a string" },
		{ "{\"groups\":[]}", "line 1, column 11: groups wants an object, not a list" },
		{ "{\"hosts\":[]}", "*hosts wants an object" },
		{ "{\"ipsets\":[]}", "*ipsets wants an object" },
		{ "{\"tagOwners\":[]}", "*tagOwners wants an object" },
		{ "{\"postures\":[]}", "*postures wants an object" },
		{ "{\"autoApprovers\":[]}", "*an object is wanted here, not a list" },
		{ "{\"ssh\":{}}", "*ssh wants a list" }, { "{\"nodeAttrs\":{}}", "*nodeAttrs wants a list" },
		{ "{\"tests\":{}}", "*tests wants a list" }, { "{\"sshTests\":1}", "*sshTests wants a list" },
		{ "{\"randomizeClientPort\":1}", "*randomizeClientPort wants true or false, not a number" },
		{ "{\"disableIPv4\":\"yes\"}", "*disableIPv4 wants true or false" },
		{ "{\"OneCGNATRoute\":true}", "*OneCGNATRoute wants a string" },
		{ "{\"OneCGNATRoute\":\"always\"}", "*not \"always\"" },
		{ "{\"derpMap\":{}}", "*\"derpMap\" is not read here" },
		{ "{", "line 1, column 2: the text ends where" },
		/* All of them are told. */
		{ "{\"a\":1,\n\"b\":2}", "line 1, column 2: unknown field \"a\"\nline 2, column 1: unknown "
		  "field \"b\"" },
	};

	(void)state;
	CHECK_ALL("", cases, "");
}

static void
test_names(void **state)
{
	static const struct text_case cases[] = {
		{ "{\"groups\":{\"group:a\":[\"u@\",\"u@x.y\"],\"group:b\":[],\"group:c\":null}}", NULL },
		{ "{\"groups\":{\"admins\":[]}}", "line 1, column 12: group must start with 'group:', got: "
		  "\"admins\"" },
		{ "{\"groups\":{\"group:\":[]}}", "*group must start with" },
		{ "{\"groups\":{\"group:a\":\"u@\"}}", "line 1, column 22: groups[\"group:a\"]: a group is a "
		  "list of users, not a string" },
		{ "{\"groups\":{\"group:a\":[1]}}", "*a user is a string, not a number" },
		{ "{\"groups\":{\"group:a\":[\"u\"]}}", "*groups[\"group:a\"]: \"u\" is no user" },
		{ "{\"groups\":{\"group:a\":[\"@\"]}}", "*\"@\" is no user" },
		{ "{\"groups\":{\"group:a\":[\"user:*@x\"]}}", "*\"user:*@x\" is no user" },
		{ "{\"groups\":{\"group:a\":[\"group:b\"],\"group:b\":[]}}",
		  "*groups[\"group:a\"]: \"group:b\": group members cannot be recursive" },
		{ "{\"groups\":{\"group:a\":[],\"group:a\":[]}}", "*the name \"group:a\" is given twice" },
		{ "{\"groups\":{\"group:a\":[],\"group:A\":[]}}", NULL },
		{ "{\"hosts\":{\"a\":\"1.2.3.4\",\"b\":\"fd00::/8\",\"C\":\"::1\"}}", NULL },
		{ "{\"hosts\":{\"a@b\":\"1.2.3.4\"}}", "*hosts[\"a@b\"]: a name has no '@'" },
		{ "{\"hosts\":{\"a:b\":\"1.2.3.4\"}}", "*hosts[\"a:b\"]" }, { "{\"hosts\":{\"\":\"1.2.3.4\"}}",
		  "*hosts[\"\"]" },
		{ "{\"hosts\":{\"a\":1}}", "*an entry of hosts wants a string, not a number" },
		{ "{\"hosts\":{\"a\":\"1.2.3.4-1.2.3.5\"}}", "*hosts[\"a\"]: \"1.2.3.4-1.2.3.5\" is no" },
		{ "{\"hosts\":{\"a\":\"10.0.0.5/8\"}}", "*hosts[\"a\"]: \"10.0.0.5/8\" has bits set behind "
		  "the prefix: \"10.0.0.0/8\" is the network, \"10.0.0.5\" the host" },
		{ "{\"hosts\":{\"a\":\"10.0.0.0/33\"}}", "*\"10.0.0.0/33\" is no address or prefix" },
		{ "{\"hosts\":{\"a\":\"fd00::5/64\"}}", "*\"fd00::/64\" is the network" },
		{ "{\"tagOwners\":{\"tag:a\":[\"u@\",\"tag:b\",\"autogroup:member\",\"autogroup:admin\","
		  "\"autogroup:tagged\"],\"tag:b\":[\"tag:a\"],\"tag:c-1\":null}}", NULL },
		{ "{\"tagOwners\":{\"a\":[]}}", "*tagOwners[\"a\"]: tag must start with 'tag:'" },
		{ "{\"tagOwners\":{\"tag:9\":[]}}", "*tagOwners[\"tag:9\"]: tag names must start with a "
		  "letter, after 'tag:'" },
		{ "{\"tagOwners\":{\"tag:a_b\":[]}}", "*tag names have letters, digits and '-'" },
		{ "{\"tagOwners\":{\"tag:a\":[\"tag:b\"]}}", "line 1, column 24: tag not found: \"tag:b\"" },
		{ "{\"tagOwners\":{\"tag:a\":[\"group:b\"]}}", "*group not defined in policy: \"group:b\"" },
		{ "{\"tagOwners\":{\"tag:a\":[\"10.0.0.1\"]}}", "*\"10.0.0.1\" not valid as owner of a tag" },
		{ "{\"tagOwners\":{\"tag:a\":[\"h\"]},\"hosts\":{\"h\":\"1.2.3.4\"}}", "*\"h\" not valid as" },
		{ "{\"tagOwners\":{\"tag:a\":\"u@\"}}", "*an owner list wants a list, not a string" },
		{ "{\"tagOwners\":{\"tag:a\":[7]}}", "*an owner list wants strings, not a number" },
	};

	(void)state;
	CHECK_ALL("", cases, "");
}

/* Any tag may be meant where there are no owners, but it must be one that a device could bear. */
static void
test_tags_without_owners(void **state)
{
	static const struct text_case cases[] = {
		{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:k3s\"],\"dst\":[\"tag:k3s:*\"]}]}", NULL },
		{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:k3s:*\"],\"dst\":[\"tag:k3s:*\"]}]}",
		  "line 1, column 36: \"tag:k3s:*\" is no tag: tag names start with a letter and have "
		  "letters, digits and '-'" },
		{ "{\"grants\":[{\"src\":[\"tag:a\"],\"dst\":[\"tag:a_b\"],\"ip\":[\"*\"]}]}",
		  "*\"tag:a_b\" is no tag" },
		{ "{\"autoApprovers\":{\"exitNode\":[\"tag:9\"]}}", "*\"tag:9\" is no tag" },
	};

	(void)state;
	CHECK_ALL("", cases, "");
}

static void
test_sources(void **state)
{
	static const struct text_case cases[] = {
		{ "u@", NULL }, { "u@x.y", NULL }, { " u@ ", NULL }, { "group:g", NULL }, { "tag:a", NULL },
		{ "h", NULL }, { "net", NULL }, { "ipset:s", NULL }, { "*", NULL }, { "10.42.0.0/16", NULL },
		{ "fd7a::1", NULL }, { "::/0", NULL }, { "user:*@x.y", NULL },
		{ "autogroup:member", NULL }, { "autogroup:members", NULL }, { "autogroup:tagged", NULL },
		{ "autogroup:danger-all", NULL }, { "autogroup:shared", NULL }, { "autogroup:owner", NULL },
		{ "autogroup:admin", NULL }, { "autogroup:it-admin", NULL },
		{ "autogroup:network-admin", NULL }, { "autogroup:billing-admin", NULL },
		{ "autogroup:auditor", NULL },
		{ "autogroup:internet", "*\"autogroup:internet\" not valid on the src side of a rule" },
		{ "autogroup:self", "*\"autogroup:self\" not valid on the src side of a rule" },
		{ "autogroup:nonroot", "*\"autogroup:nonroot\" not valid on the src side of a rule" },
		{ "autogroup:friends", "*there is no autogroup \"autogroup:friends\"" },
		{ "tag:z", "*src=tag not found: \"tag:z\"" }, { "tag:A", "*src=tag not found: \"tag:A\"" },
		{ "group:z", "*group not defined in policy: \"group:z\"" },
		{ "ipset:z", "*ipset not defined in policy: \"ipset:z\"" },
		{ "z", "*host not defined in policy: \"z\"" }, { "", "*\"\" names nothing" },
		{ "  ", "*names nothing" }, { "@", "*\"@\" names nothing" },
		{ "user:alice@x.y", "*users of a domain are" }, { "user:*@", "*users of a domain are" },
		{ "user:*@*.y", "*users of a domain are" }, { "user:*@x@y", "*users of a domain are" },
		{ "svc:web", "*has no Services" }, { "foo:bar", "*\"foo:bar\" is no selector" },
		{ "10.0.0.1-10.0.0.5", "*host not defined" }, { "10.0.0.1/24", "*\"10.0.0.0/24\" is the "
		  "network" },
		{ "1.2.3.4/x", "*\"1.2.3.4/x\" is no address or prefix" },
		{ "a/b", "*\"a/b\" is no address or prefix" },
		{ "fd7a::1/x", "*\"fd7a::1/x\" is no address or prefix" },
		{ "posture:p", "*is no selector" },
	};

	(void)state;
	CHECK_ALL(HEAD "\"acls\":[{\"action\":\"accept\",\"src\":[\"", cases, "\"],\"dst\":[]}]}");
	CHECK_ALL(HEAD "\"grants\":[{\"ip\":[\"*\"],\"src\":[\"", cases, "\"],\"dst\":[\"*\"]}]}");
}

static void
test_acl_destinations(void **state)
{
	static const struct text_case cases[] = {
		{ "*:*", NULL }, { "u@:22", NULL }, { "u@x.y:22", NULL }, { "tag:a:80,443", NULL },
		{ "group:g:1-65535", NULL }, { "h:0-65535", NULL }, { "10.0.0.0/8:8000-9000,22", NULL },
		{ "fd7a::1:80", NULL }, { "[fd7a::1]:80", NULL }, { "[fd7a::]/64:80", NULL },
		{ "fd7a::/64:*", NULL }, { "ipset:s:*", NULL }, { "autogroup:internet:*", NULL },
		{ "autogroup:self:*", NULL }, { "autogroup:member:22", NULL }, { "user:*@x.y:22", NULL },
		{ "autogroup:danger-all:*", "*cannot use autogroup:danger-all as a dst" },
		{ "autogroup:nonroot:*", "*\"autogroup:nonroot\" not valid on the dst side of a rule" },
		{ "autogroup:shared:*", "*\"autogroup:shared\" not valid on the dst side" },
		{ "tag:z:*", "*dst=\"tag:z\": tag not found: \"tag:z\"" },
		{ "z:*", "*host not defined in policy: \"z\"" }, { "svc:web:443", "*has no Services" },
		{ "h", "*dst=\"h\": a destination is \"host:ports\"" }, { ":80", "*dst=\":80\":" },
		{ "h:", "*dst=\"h:\":" }, { "", "*dst=\"\":" },
		{ "tag:a", "*dst=\"tag:a\": port range \"a\": invalid first integer" },
		{ "h:0", "*port range \"0\": first port must be >0, or use '*' for wildcard" },
		{ "h:65536", "*port range \"65536\": port number out of range" },
		{ "h:99999999999999999999", "*port number out of range" },
		{ "h:80-", "*invalid first integer" }, { "h:-80", "*invalid first integer" },
		{ "h:9-8", "*the first port is greater than the last" }, { "h:1-2-3", "*invalid first" },
		{ "h:80,", "*port range \"80,\": invalid first integer" }, { "h:,80", "*invalid first" },
		{ "h:80 ", "*invalid first integer" }, { "h:*,80", "*invalid first integer" },
		{ "h:+80", "*invalid first integer" },
		{ "[10.0.0.1]:80", "*square brackets are only valid around IPv6 addresses" },
		{ "[h]:80", "*square brackets" }, { "[fd7a::1:80", "*square brackets" },
		{ "[fd7a::1]80", "*square brackets" }, { "[]:80", "*square brackets" },
		{ "[::ffff:1.2.3.4]:80", NULL },
	};

	(void)state;
	CHECK_ALL(HEAD "\"acls\":[{\"action\":\"accept\",\"src\":[\"u@\"],\"dst\":[\"", cases, "\"]}]}");
}

static void
test_acls(void **state)
{
	static const struct text_case cases[] = {
		{ "", NULL }, { "{\"action\":\"accept\"}", NULL },
		{ "{\"action\":\"accept\",\"src\":null,\"dst\":[]}", NULL },
		{ "{\"Action\":\"accept\",\"SRC\":[\"*\"],\"Dst\":[\"*:*\"]}", NULL },
		{ "{\"action\":\"accept\",\"users\":[\"*\"],\"ports\":[\"*:*\"]}", NULL },
		{ "{\"action\":\"accept\",\"#note\":{\"x\":1},\"#\":2}", NULL },
		{ "{\"action\":\"accept\",\"srcPosture\":[\"posture:p\"]}", NULL },
		{ "{\"action\":\"accept\",\"proto\":\"\"}", NULL }, { "{\"action\":\"accept\",\"proto\":6}",
		  NULL },
		{ "{\"action\":\"accept\",\"proto\":\"TCP\",\"dst\":[\"h:80\"]}", NULL },
		{ "{\"action\":\"accept\",\"proto\":\"132\",\"dst\":[\"h:80\"]}", NULL },
		{ "{\"action\":\"accept\",\"proto\":\"icmp\",\"dst\":[\"h:*\"]}", NULL },
		{ "{\"action\":\"accept\",\"proto\":\"255\",\"dst\":[\"h:0-65535\"]}", NULL },
		{ "1", "*an object is wanted here, not a number" },
		{ "{}", "*action=\"\" is not supported" }, { "{\"action\":\"drop\"}", "*action=\"drop\" is not "
		  "supported" },
		{ "{\"action\":1}", "*action wants a string" },
		{ "{\"action\":\"accept\",\"dest\":[]}", "*unknown field \"dest\"" },
		{ "{\"action\":\"accept\",\"src\":\"*\"}", "*src wants a list, not a string" },
		{ "{\"action\":\"accept\",\"src\":[1]}", "*src wants strings, not a number" },
		{ "{\"action\":\"accept\",\"dst\":[true]}", "*a destination is a string, not true" },
		{ "{\"action\":\"accept\",\"dst\":{}}", "*dst wants a list, not an object" },
		{ "{\"action\":\"accept\",\"src\":[],\"users\":[]}", "*\"users\" is an old name of \"src\"" },
		{ "{\"action\":\"accept\",\"proto\":\"*\"}", "*protocol \"*\" not known" },
		{ "{\"action\":\"accept\",\"proto\":\"quic\"}", "*protocol \"quic\" not known" },
		{ "{\"action\":\"accept\",\"proto\":\"0\"}", "*protocol \"0\": no 0 in front" },
		{ "{\"action\":\"accept\",\"proto\":\"06\"}", "*protocol \"06\": no 0 in front" },
		{ "{\"action\":\"accept\",\"proto\":\"256\"}", "*protocol \"256\" out of range" },
		{ "{\"action\":\"accept\",\"proto\":\"99999999999\"}", "*out of range" },
		{ "{\"action\":\"accept\",\"proto\":-1}", "*protocol \"-1\" not known" },
		{ "{\"action\":\"accept\",\"proto\":[]}", "*proto wants a string, not a list" },
		{ "{\"action\":\"accept\",\"proto\":\"icmp\",\"dst\":[\"h:80\"]}",
		  "*dst=\"h:80\": protocol 1 does not support specific ports, only \"*\" is allowed" },
		{ "{\"action\":\"accept\",\"proto\":\"47\",\"dst\":[\"h:1-65535\"]}", "*protocol 47 does not" },
		{ "{\"action\":\"accept\",\"srcPosture\":[\"posture:z\"]}",
		  "*posture not defined in policy: \"posture:z\"" },
		{ "{\"action\":\"accept\",\"srcPosture\":\"posture:p\"}", "*srcPosture wants a list" },
		/* autogroup:self */
		{ "{\"action\":\"accept\",\"src\":[\"*\",\"u@\",\"group:g\",\"autogroup:member\","
		  "\"autogroup:admin\",\"user:*@x\"],\"dst\":[\"autogroup:self:*\",\"tag:a:*\"]}", NULL },
		{ "{\"action\":\"accept\",\"src\":[\"u@\",\"tag:a\"],\"dst\":[\"autogroup:self:*\"]}",
		  "*autogroup:self can only be used with users, groups, or supported autogroups, not with "
		  "\"tag:a\"" },
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:tagged\"],\"dst\":[\"autogroup:self:*\"]}",
		  "*autogroup:self can only" },
		{ "{\"action\":\"accept\",\"src\":[\"10.0.0.1\"],\"dst\":[\"autogroup:self:*\"]}",
		  "*autogroup:self can only" },
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],\"dst\":[\"autogroup:self:*\"]}",
		  "*autogroup:self can only" },
	};

	(void)state;
	CHECK_ALL(HEAD "\"acls\":[", cases, "]}");
}

static void
test_grants(void **state)
{
	static const struct text_case cases[] = {
		{ "\"ip\":[\"*\",\"80\",\"80-90,443\",\"tcp:22\",\"icmp:*\",\"6:1-9\",\" udp:53 \"]", NULL },
		{ "\"app\":{\"example.com/cap/x\":[{\"a\":[1]}],\"tailscale.com/cap/drive\":null}", NULL },
		{ "\"app\":{\"tailscale.com/cap/relay\":[],\"tailscale.com/cap/golink\":[{\"admin\":true}]}",
		  NULL },
		{ "\"ip\":[\"*\"],\"via\":[\"tag:a\",\"tag:b\"],\"srcPosture\":[\"posture:p\"]", NULL },
		{ "\"ip\":[\"*\"],\"via\":null", NULL },
		{ "\"dst\":[\"*\"]", "*ip and app can not both be empty" },
		{ "\"ip\":[],\"app\":{}", "*ip and app can not both be empty" },
		{ "\"ip\":[\"*\"],\"action\":\"accept\"", "*unknown field \"action\"" },
		{ "\"ip\":[\"*\"],\"#x\":1", "*unknown field \"#x\"" },
		{ "\"ip\":\"*\"", "*ip wants a list of strings" }, { "\"ip\":[80]", "*ip wants strings" },
		{ "\"ip\":[\"icmp\"]", "*port range \"icmp\": invalid first integer" },
		{ "\"ip\":[\"\"]", "*port range \"\": invalid first integer" },
		{ "\"ip\":[\"0\"]", "*first port must be >0" },
		{ "\"ip\":[\"tcp:80:90\"]", "*expected only one colon in Internet protocol and port type" },
		{ "\"ip\":[\":80\"]", "*\":80\" lacks a protocol" },
		{ "\"ip\":[\"tcp:\"]", "*port range \"\"" },
		{ "\"ip\":[\"*:80\"]", "*protocol \"*\" not known" },
		{ "\"ip\":[\"icmp:80\"]", "*protocol 1 does not support specific ports" },
		{ "\"app\":[]", "*app wants an object" },
		{ "\"app\":{\"x\":[]}", "*capability name must have the form {domain}/{path}" },
		{ "\"app\":{\"/x\":[]}", "*the form" }, { "\"app\":{\"x/\":[]}", "*the form" },
		{ "\"app\":{\"https://example.com/cap\":[]}", "*the form {domain}/{path}" },
		{ "\"app\":{\"tailscale.com/cap/ingress\":[]}",
		  "*capability name must not be in the tailscale.com domain" },
		{ "\"app\":{\"Tailscale.com/cap/drive\":[]}", "*must not be in the tailscale.com domain" },
		{ "\"app\":{\"tailscale.com/cap/drive/x\":[]}", "*must not be in the tailscale.com domain" },
		{ "\"app\":{\"a.b/c\":{}}", "*a capability wants a list, not an object" },
		{ "\"app\":{\"a.b/c\":[]},\"dst\":[\"autogroup:internet\"]",
		  "*cannot use app grants with autogroup:internet" },
		{ "\"ip\":[\"*\"],\"dst\":[\"autogroup:internet\",\"autogroup:self\"]", NULL },
		{ "\"ip\":[\"*\"],\"dst\":[\"0.0.0.0/0\"]",
		  "*dst \"0.0.0.0/0\": to allow all IP addresses, use \"*\" or \"autogroup:internet\"" },
		{ "\"ip\":[\"*\"],\"dst\":[\"::/0\"]", "*dst \"::/0\": to allow all" },
		{ "\"ip\":[\"*\"],\"dst\":[\"tag:z\"]", "*tag not found: \"tag:z\"" },
		{ "\"ip\":[\"*\"],\"dst\":[\"tag:a:80\"]", "*tag not found: \"tag:a:80\"" },
		{ "\"ip\":[\"*\"],\"dst\":[\"autogroup:danger-all\"]", "*cannot use autogroup:danger-all" },
		{ "\"ip\":[\"*\"],\"dst\":\"*\"", "*dst wants a list" },
		{ "\"ip\":[\"*\"],\"via\":[\"tag:z\"]", "*tag \"tag:z\" not found" },
		{ "\"ip\":[\"*\"],\"via\":[\"u@\"]", "*via can only be a tag" },
		{ "\"ip\":[\"*\"],\"via\":[\"h\"]", "*via can only be a tag" },
		{ "\"ip\":[\"*\"],\"via\":[1]", "*via can only be a tag" },
		{ "\"ip\":[\"*\"],\"via\":[\"autogroup:member\"]", "*via can only be a tag" },
	};
	static const struct text_case self[] = {
		{ "u@", NULL }, { "autogroup:member", NULL }, { "autogroup:owner", NULL },
		{ "*", "*autogroup:self can only be used with users, groups, or supported autogroups" },
		{ "tag:a", "*autogroup:self can only" }, { "autogroup:shared", "*autogroup:self can only" },
	};

	(void)state;
	CHECK_ALL(HEAD "\"grants\":[{\"src\":[\"u@\"],", cases, "}]}");
	CHECK_ALL(HEAD "\"grants\":[{\"ip\":[\"*\"],\"dst\":[\"autogroup:self\"],\"src\":[\"", self, "\"]}]}");
}

static void
test_ipsets(void **state)
{
	static const struct text_case cases[] = {
		{ "\"ipset:a\":[\"10.0.0.0/8\",\"add 1.2.3.4\",\"remove 10.1.0.0/16\",\"host:h\","
		  "\"1.2.3.4-1.2.3.9\",\"remove ipset:b\",\"add autogroup:internet\"],\"ipset:b\":[]", NULL },
		{ "\"ipset:a\":null", "*an ipset wants a list, not null" },
		{ "\"a\":[]", "*ipset must start with 'ipset:', got: \"a\"" },
		{ "\"ipset:\":[]", "*must start" },
		{ "\"ipset:a\":[1]", "*an entry of an ipset wants a string" },
		{ "\"ipset:a\":[\"tag:x\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"h\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"delete 1.2.3.4\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"add\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"1.2.3.9-1.2.3.4\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"1.2.3.9-::1\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"10.0.0.1/8\"]", "*\"10.0.0.0/8\" is the network" },
		{ "\"ipset:a\":[\"autogroup:member\"]", "*an ipset is made of addresses" },
		{ "\"ipset:a\":[\"host:z\"]", "*host not defined in policy: \"z\"" },
		{ "\"ipset:a\":[\"ipset:z\"]", "*ipset not defined in policy: \"ipset:z\"" },
		{ "\"ipset:a\":[\"ipset:a\"]", "*ipset \"ipset:a\" holds itself" },
		{ "\"ipset:a\":[\"ipset:b\"],\"ipset:b\":[\"remove ipset:a\"]", "*holds itself" },
	};

	(void)state;
	CHECK_ALL("{\"hosts\":{\"h\":\"9.9.9.9\"},\"ipsets\":{", cases, "}}");
}

static void
test_postures(void **state)
{
	static const struct text_case cases[] = {
		{ "node:os == 'linux'", NULL }, { "node:os=='linux'", NULL }, { "node:os!='linux'", NULL },
		{ "node:os IN ['macos', 'linux']", NULL }, { "node:os in ['macos']", NULL },
		{ "node:os NOT IN ['macos','js']", NULL }, { "node:tsVersion >= '1.40'", NULL },
		{ "custom:score < 7.5", NULL }, { "custom:score > -7", NULL }, { "node:x <= 1", NULL },
		{ "node:tsAutoUpdate == true", NULL }, { "node:tsAutoUpdate != false", NULL },
		{ "node:huntress IS SET", NULL }, { "custom:x  not   set ", NULL },
		{ "a:b == \\\"c\\\"", NULL },
		{ "", "*\"\" is no condition" }, { "node:os", "*is no condition" },
		{ "os == 'linux'", "*is no condition" }, { ":os == 'linux'", "*is no condition" },
		{ "node: == 'linux'", "*is no condition" }, { "node:os = 'linux'", "*is no condition" },
		{ "node:os == linux", "*is no condition" }, { "node:os == 'linux", "*is no condition" },
		{ "node:os == 'linux' x", "*is no condition" }, { "node:os IN 'linux'", "*is no condition" },
		{ "node:os IN []", "*is no condition" }, { "node:os IN ['a',]", "*is no condition" },
		{ "node:os IN ['a'", "*is no condition" }, { "node:os INside ['a']", "*is no condition" },
		{ "node:os IS", "*is no condition" }, { "node:os ==", "*is no condition" },
		{ "node:os == 12x", "*is no condition" }, { "node:os == truely", "*is no condition" },
		{ "node:os IS SET 'x'", "*is no condition" },
	};
	static const struct text_case sections[] = {
		{ "\"postures\":{\"posture:a\":[]},\"defaultSrcPosture\":[\"posture:a\"]", NULL },
		{ "\"postures\":{\"a\":[]}", "*posture must start with 'posture:', got: \"a\"" },
		{ "\"postures\":{\"posture:a\":\"x\"}", "*a posture wants a list of strings" },
		{ "\"defaultSrcPosture\":[\"posture:a\"]", "*posture not defined in policy: \"posture:a\"" },
		{ "\"defaultSrcPosture\":[7]", "*srcPosture wants strings" },
	};

	(void)state;
	CHECK_ALL("{\"postures\":{\"posture:a\":[\"", cases, "\"]}}");
	CHECK_ALL("{", sections, "}");
}

static void
test_approvers(void **state)
{
	static const struct text_case cases[] = {
		{ "\"routes\":{\"10.0.0.0/8\":[\"u@\",\"group:g\",\"tag:a\",\"autogroup:admin\"],"
		  "\"::/0\":null},\"exitNode\":[\"tag:a\"],\"services\":{\"svc:x\":[\"tag:a\"],\"tag:a\":[]}",
		  NULL },
		{ "\"routes\":[]", "*routes wants an object" },
		{ "\"routes\":{\"net\":[]}", "*\"net\" is no address or prefix" },
		{ "\"routes\":{\"10.0.0.1/8\":[]}", "*\"10.0.0.0/8\" is the network" },
		{ "\"routes\":{\"10.0.0.0/8\":\"u@\"}", "*a list of auto approvers wants a list" },
		{ "\"routes\":{\"10.0.0.0/8\":[\"10.0.0.1\"]}", "*\"10.0.0.1\" not valid as auto approver" },
		{ "\"routes\":{\"10.0.0.0/8\":[\"*\"]}", "*\"*\" not valid as auto approver" },
		{ "\"routes\":{\"10.0.0.0/8\":[\"tag:z\"]}", "*tag not found: \"tag:z\"" },
		{ "\"exitNode\":[\"group:z\"]", "*group not defined in policy" },
		{ "\"exitNodes\":[]", "*unknown field \"exitNodes\"" },
		{ "\"services\":{\"x\":[]}", "*services[\"x\"]: a service is" },
	};

	(void)state;
	CHECK_ALL(HEAD "\"autoApprovers\":{", cases, "}}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_tags_without_owners),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_acl_destinations),
		cmocka_unit_test(test_acls),
		cmocka_unit_test(test_grants),
		cmocka_unit_test(test_ipsets),
		cmocka_unit_test(test_postures),
		cmocka_unit_test(test_approvers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
