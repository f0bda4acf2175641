/* The check is a callback of OpenSSL's context, which libcurl lets us set. */
#include "base/curl_pin.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/key.h"

enum err
curl_pin_parse(const char *text, struct curl_pin *out)
{
	size_t n = sizeof(CURL_PIN_PREFIX) - 1;

	if (strncmp(text, CURL_PIN_PREFIX, n) != 0 || strlen(text + n) != (size_t)2 * CURL_PIN_BYTES)
		return ERR_INVAL;
	return key_hex_parse(text + n, (size_t)2 * CURL_PIN_BYTES, out->digest);
}

static int
verify(X509_STORE_CTX *store, void *arg)
{
	const struct curl_pin *pin = arg;
	X509 *crt = X509_STORE_CTX_get0_cert(store);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (crt != NULL && X509_digest(crt, EVP_sha256(), digest, &n) == 1 && n == CURL_PIN_BYTES &&
	    CRYPTO_memcmp(digest, pin->digest, n) == 0 &&
	    X509_cmp_current_time(X509_get0_notBefore(crt)) < 0 &&
	    X509_cmp_current_time(X509_get0_notAfter(crt)) > 0)
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static CURLcode
on_context(CURL *curl, void *ctx, void *arg)
{
	(void)curl;
	SSL_CTX_set_cert_verify_callback(ctx, verify, arg);
	return CURLE_OK;
}

void
curl_pin_set(void *curl, struct curl_pin *pin)
{
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_context);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, pin);
}
