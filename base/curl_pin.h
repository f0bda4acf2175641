/* A pinned certificate for libcurl: exactly the one with this SHA-256, within its dates, whatever name
 * and authority it has. Any thread. */
#ifndef BASE_CURL_PIN_H
#define BASE_CURL_PIN_H

#include <stdint.h>

#include "base/err.h"

#define CURL_PIN_PREFIX	"sha256-raw:"
#define CURL_PIN_BYTES	32

struct curl_pin {
	uint8_t digest[CURL_PIN_BYTES];
};

/* "sha256-raw:" and 64 hex digits. ERR_INVAL. */
enum err curl_pin_parse(const char *text, struct curl_pin *out) MUST_USE;
/* For the CURL handle, instead of the usual checks; pin is borrowed for as long as it is used. */
void curl_pin_set(void *curl, struct curl_pin *pin);

#endif
