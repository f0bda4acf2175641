/*
 * Routes under /machine/. What the client (1.103) does with the answer when a feature is off:
 *
 * register         200 with Error: shown by `tailscale up` as "backend error: ..."
 * map              not 200: text logged, tried again with backoff
 * set-dns          not 200: `tailscale cert` prints the text    (control/controlclient/direct.go)
 * set-device-attr  not 200: an error in the log                 (control/controlclient/direct.go)
 * audit-log        429, 500, 502, 503, 504 are tried again; 501 is final and only logged
 *                                                               (control/controlclient/errors.go)
 * feature/query    not 200: the command fails; a Text without ShouldWait is printed and the
 *                  command ends                          (cmd/tailscale/cli/serve_legacy.go)
 * id-token         status and text are passed to the caller     (ipn/localapi/localapi.go)
 * ssh/action/      not 200: asked again for 30 minutes while the session hangs; so whatever is
 *                  final is an SSHAction that says why          (ssh/tailssh/tailssh.go)
 * tka/             never asked as long as no map has TKAInfo    (ipn/ipnlocal/tailnet-lock.go)
 * webclient/       not 200: the web interface shows the text    (ipn/ipnlocal/web_client.go)
 * update-health    of older clients, which look at nothing
 * ping-response    the answer is not looked at       (control/controlclient/direct.go)
 * whoami           printed by `tailscale debug ts2021`
 */
#include "coord/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/obj.h"

#define JSON "application/json"
#define PLAIN "text/plain"
#define OFF(what) { MACHINE_ANSWER, 501, PLAIN, what " is not available on this server\n" }
#define TOO_OLD "this Tailscale client is too old for this server: at least version 1.80 is needed"

struct entry {
	const char *path;
	bool is_prefix;
	const char *method;		/* NULL: any */
	struct machine_route route;
};

static const struct entry entries[] = {
	{ "register", false, "POST", { MACHINE_REGISTER, 0, NULL, NULL } },
	{ "map", false, "POST", { MACHINE_MAP, 0, NULL, NULL } },
	{ "whoami", false, "GET", { MACHINE_WHOAMI, 0, NULL, NULL } },
	{ "ping-response", false, "HEAD", { MACHINE_PONG, 0, NULL, NULL } },
	{ "feature/query", false, "POST", { MACHINE_ANSWER, 200, JSON,
	    "{\"Text\":\"This feature is not available on this server.\"}\n" } },
	{ "ssh/action/", true, "GET", { MACHINE_SSH, 0, NULL, NULL } },
	{ "set-dns", false, "POST", OFF("setting DNS records for certificates") },
	{ "set-device-attr", false, "PATCH", OFF("setting device attributes") },
	{ "audit-log", false, "POST", OFF("the audit log of clients") },
	{ "id-token", false, "POST", OFF("issuing ID tokens") },
	{ "update-health", false, "POST", OFF("health reporting") },
	{ "tka/", true, NULL, OFF("tailnet lock") },
	{ "webclient/", true, NULL, OFF("checking sessions of the web interface") },
};

static const struct machine_route old_register = { MACHINE_ANSWER, 200, JSON,
	"{\"MachineAuthorized\":false,\"Error\":\"" TOO_OLD "\"}\n" };
static const struct machine_route old_map = { MACHINE_ANSWER, 400, PLAIN, TOO_OLD "\n" };
static const struct machine_route unknown = { MACHINE_ANSWER, 404, PLAIN,
	"there is no such path on this server\n" };
static const struct machine_route wrong_method = { MACHINE_ANSWER, 405, PLAIN,
	"this path does not take that method\n" };

static bool
matches(const struct entry *e, const char *path, size_t n)
{
	size_t n_entry = strlen(e->path);

	return (e->is_prefix ? n >= n_entry : n == n_entry) && memcmp(path, e->path, n_entry) == 0;
}

const struct machine_route *
machine_route(const char *method, const char *path, uint16_t noise_version)
{
	static const char root[] = "/machine/";
	size_t n = strcspn(path, "?");

	if (n < sizeof root - 1 || memcmp(path, root, sizeof root - 1) != 0)
		return &unknown;
	path += sizeof root - 1;
	n -= sizeof root - 1;
	for (size_t i = 0; i < COUNT_OF(entries); i++) {
		const struct entry *e = &entries[i];

		if (!matches(e, path, n))
			continue;
		if (e->method != NULL && strcmp(method, e->method) != 0)
			return &wrong_method;
		if (noise_version < MACHINE_VERSION_MIN && e->route.act == MACHINE_REGISTER)
			return &old_register;
		if (noise_version < MACHINE_VERSION_MIN && e->route.act == MACHINE_MAP)
			return &old_map;
		return &e->route;
	}
	return &unknown;
}
