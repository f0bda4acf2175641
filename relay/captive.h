/* HTTP answers that clients measure and probe with. Pure. Source: Tailscale
 * derp/derpserver/handler.go. */
#ifndef RELAY_CAPTIVE_H
#define RELAY_CAPTIVE_H

#include <stdbool.h>
#include <stddef.h>

#define CAPTIVE_CHALLENGE_MAX 64

/* X-Tailscale-Challenge of n bytes -> the X-Tailscale-Response value "response <V>" with NUL in
 * out (CAPTIVE_CHALLENGE_MAX + 16 bytes). false: the challenge is not 1-64 characters of
 * [a-zA-Z0-9.\-_:]. */
bool captive_response(const char *challenge, size_t n, char *out);

#endif
