/* links: coord/derpmap coord/region */
/* Proves: the DERP map says what a client needs for each kind of host, port and certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "coord/derpmap.h"

#define HEAD "{\"omitDefaultRegions\":true,\"Regions\":{"
#define REGION(id, code, name) "\"" id "\":{\"RegionID\":" id ",\"RegionCode\":\"" code \
	"\",\"RegionName\":\"" name "\",\"Nodes\":[{\"Name\":\"" id "a\",\"RegionID\":" id ","
#define FAIRLEAD REGION("900", "fairlead", "Fairlead")
#define TAIL "}]}}}"
#define PIN "sha256-raw:00112233"

#define OURS .region_id = 900, .region_code = "fairlead", .region_name = "Fairlead"

static void
maps(void **state)
{
	static const struct {
		struct derpmap_params p;
		const char *want;
	} cases[] = {
		{ { OURS, .host = "derp.example.com", .derp_port = 443, .stun_port = 3478, .http_port = 80 },
		    HEAD FAIRLEAD "\"HostName\":\"derp.example.com\",\"IPv6\":\"none\"" TAIL },
		{ { OURS, .host = "192.0.2.1", .pin = PIN, .derp_port = 443, .stun_port = 3478,
		    .http_port = 80 },
		    HEAD FAIRLEAD "\"HostName\":\"192.0.2.1\",\"CertName\":\"" PIN "\","
		    "\"IPv4\":\"192.0.2.1\",\"IPv6\":\"none\",\"CanPort80\":true" TAIL },
		{ { OURS, .host = "192.0.2.1", .pin = PIN, .derp_port = 8443, .stun_port = 0,
		    .http_port = 8080 },
		    HEAD FAIRLEAD "\"HostName\":\"192.0.2.1\",\"CertName\":\"" PIN "\","
		    "\"IPv4\":\"192.0.2.1\",\"IPv6\":\"none\",\"STUNPort\":-1,\"DERPPort\":8443" TAIL },
		{ { .host = "192.0.2.1", .derp_port = 443, .stun_port = 13478, .region_id = 910,
		    .region_code = "x\"", .region_name = "X" },
		    HEAD REGION("910", "x\\\"", "X") "\"HostName\":\"192.0.2.1\","
		    "\"IPv4\":\"192.0.2.1\",\"IPv6\":\"none\",\"STUNPort\":13478" TAIL },
		{ { OURS, .host = "[2001:db8::1]", .derp_port = 443, .stun_port = 3478, .http_port = 80 },
		    HEAD FAIRLEAD "\"HostName\":\"2001:db8::1\",\"IPv4\":\"none\","
		    "\"IPv6\":\"2001:db8::1\"" TAIL },
		{ { OURS, .host = "d.example", .derp_port = 443, .stun_port = 3478, .http_port = 80,
		    .ipv4 = "198.51.100.1", .ipv6 = "2001:db8::2" },
		    HEAD FAIRLEAD "\"HostName\":\"d.example\",\"IPv4\":\"198.51.100.1\","
		    "\"IPv6\":\"2001:db8::2\",\"CanPort80\":true" TAIL },
		{ { OURS, .host = "d.example", .derp_port = 443, .stun_port = 3478, .http_port = 80,
		    .ipv4 = "none", .ipv6 = "2001:db8::2" },
		    HEAD FAIRLEAD "\"HostName\":\"d.example\",\"IPv4\":\"none\","
		    "\"IPv6\":\"2001:db8::2\"" TAIL },
		{ { OURS, .host = "d.example" }, HEAD "}}" },
		{ { OURS, .host = "", .derp_port = 443 }, HEAD "}}" },
		{ { OURS, .host = NULL, .derp_port = 443 }, HEAD "}}" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };
		json_t *v;

		derpmap_put(&b, &cases[i].p);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		assert_non_null(v = json_loads(buf_cstr(&b), 0, NULL));
		json_decref(v);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(maps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
