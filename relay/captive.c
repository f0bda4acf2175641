/*
 * The challenge echo of /generate_204 (Tailscale derp/derpserver/handler.go): the client sends
 * "ts_" and the host; a portal that answers in our stead does not know to send it back.
 */
#include "relay/captive.h"

#include <string.h>

static bool
captive_is_allowed(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '.' || c == '-' || c == '_' || c == ':';
}

bool
captive_response(const char *challenge, size_t n, char *out)
{
	static const char word[] = "response ";

	if (n == 0 || n > CAPTIVE_CHALLENGE_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!captive_is_allowed(challenge[i]))
			return false;
	}
	memcpy(out, word, sizeof word - 1);
	memcpy(out + sizeof word - 1, challenge, n);
	out[sizeof word - 1 + n] = '\0';
	return true;
}
