/* Keys and their text forms (Tailscale types/key: prefix + 64 lower-case hex digits). */
#include "base/key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rand.h"

#define KEY_FILE_MAX_BYTES 256	/* a key file is 72 characters and white space */

char *
key_hex_put(const uint8_t *p, size_t n, char *out)
{
	return sodium_bin2hex(out, 2 * n + 1, p, n);
}

static bool
is_hex(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			return false;
	}
	return true;
}

enum err
key_hex_parse(const char *text, size_t n_chars, uint8_t *out)
{
	if (n_chars % 2 != 0 || !is_hex(text, n_chars))
		return ERR_INVAL;
	if (n_chars > 0 && sodium_hex2bin(out, n_chars / 2, text, n_chars, NULL, NULL, NULL) != 0)
		return ERR_INVAL;
	return ERR_OK;
}

static enum err
text_parse(const char *prefix, const char *text, size_t n, uint8_t out[KEY_BYTES])
{
	size_t n_prefix = strlen(prefix);

	if (n != n_prefix + 2 * KEY_BYTES || memcmp(text, prefix, n_prefix) != 0)
		return ERR_INVAL;
	return key_hex_parse(text + n_prefix, 2 * KEY_BYTES, out);
}

static char *
text_put(const char *prefix, const uint8_t key[KEY_BYTES], char out[KEY_TEXT_MAX])
{
	size_t n_prefix = strlen(prefix);

	memcpy(out, prefix, n_prefix);
	key_hex_put(key, KEY_BYTES, out + n_prefix);
	return out;
}

#define X(kind, prefix) \
	_Static_assert(sizeof(prefix) + 2 * (size_t)KEY_BYTES <= KEY_TEXT_MAX, "text fits"); \
	enum err kind##_parse(const char *text, size_t n, struct kind *out) \
	{ \
		return text_parse(prefix, text, n, out->b); \
	} \
	char *kind##_put(const struct kind *k, char out[KEY_TEXT_MAX]) \
	{ \
		return text_put(prefix, k->b, out); \
	} \
	bool kind##_eq(const struct kind *a, const struct kind *b) \
	{ \
		return sodium_memcmp(a->b, b->b, KEY_BYTES) == 0; \
	} \
	bool kind##_is_zero(const struct kind *k) \
	{ \
		return sodium_is_zero(k->b, KEY_BYTES) == 1; \
	}
KEY_TABLE(X)
#undef X

char *
key_short(const uint8_t key[KEY_BYTES], char out[8])
{
	char base64[sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)];

	sodium_bin2base64(base64, sizeof(base64), key, KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
	out[0] = '[';
	memcpy(out + 1, base64, 5);
	out[6] = ']';
	out[7] = '\0';
	return out;
}

void
private_key_new(struct private_key *out)
{
	rand_bytes(out->b, KEY_BYTES);
	out->b[0] &= 248;
	out->b[KEY_BYTES - 1] = (uint8_t)((out->b[KEY_BYTES - 1] & 127) | 64);
}

void
private_key_public(const struct private_key *priv, uint8_t out[KEY_BYTES])
{
	ASSERT(crypto_scalarmult_base(out, priv->b) == 0);
}

/* --- key files ------------------------------------------------------------------------------ */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum err
file_text_parse(const char *path, const char *text, size_t n, struct private_key *out,
	struct err_text *why)
{
	struct private_key k;
	enum err rc = ERR_OK;

	while (n > 0 && is_space(text[n - 1]))
		n--;
	while (n > 0 && is_space(text[0])) {
		text++;
		n--;
	}
	if (private_key_parse(text, n, &k) != ERR_OK)
		rc = err_say(why, ERR_INVAL, "%s holds no key (privkey: and 64 hex digits)", path);
	else if (private_key_is_zero(&k))
		rc = err_say(why, ERR_INVAL, "the key in %s is all zero", path);
	else
		*out = k;
	sodium_memzero(&k, sizeof(k));
	return rc;
}

/* ERR_NOTFOUND: there is no such file. */
static enum err
file_read(const char *path, struct private_key *out, struct err_text *why)
{
	char text[KEY_FILE_MAX_BYTES + 1];
	size_t n = 0;
	enum err rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		rc = errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
		return err_say(why, rc, "cannot open %s: %s", path, strerror(errno));
	}
	while (n < sizeof(text)) {
		ssize_t got = read(fd, text + n, sizeof(text) - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			rc = err_say(why, ERR_IO, "cannot read %s: %s", path, strerror(errno));
			goto out;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n > KEY_FILE_MAX_BYTES)
		rc = err_say(why, ERR_INVAL, "%s is too long for a key file", path);
	else
		rc = file_text_parse(path, text, n, out, why);
out:
	sodium_memzero(text, sizeof(text));
	close(fd);
	return rc;
}

static bool
write_synced(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		p += put;
		n -= (size_t)put;
	}
	return fsync(fd) == 0;
}

/* Makes a rename in the folder of path last. */
static bool
folder_sync(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int n = slash == NULL ? snprintf(folder, sizeof(folder), ".") :
	    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);

	if (n < 0 || (size_t)n >= sizeof(folder))
		return false;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool is_synced = fsync(fd) == 0;
	close(fd);
	return is_synced;
}

static enum err
file_make(const char *path, struct private_key *out, struct err_text *why)
{
	char tmp[PATH_MAX], suffix[9], text[KEY_TEXT_MAX + 1];
	struct private_key k;
	enum err rc = ERR_IO;
	int fd = -1;

	private_key_new(&k);
	rand_text(suffix, sizeof(suffix) - 1);
	int n = snprintf(tmp, sizeof(tmp), "%s.%s", path, suffix);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return err_say(why, ERR_IO, "the path of a key file is too long");
	strcat(private_key_put(&k, text), "\n");
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		err_say(why, rc, "cannot make %s: %s", tmp, strerror(errno));
		goto out;
	}
	if (!write_synced(fd, text, strlen(text)) || rename(tmp, path) != 0 || !folder_sync(path)) {
		err_say(why, rc, "cannot write %s: %s", path, strerror(errno));
		unlink(tmp);
		goto out;
	}
	*out = k;
	rc = ERR_OK;
out:
	if (fd >= 0)
		close(fd);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(&k, sizeof(k));
	return rc;
}

enum err
private_key_file(const char *path, bool is_made_if_missing, struct private_key *out,
	struct err_text *why)
{
	enum err rc = file_read(path, out, why);

	if (rc == ERR_NOTFOUND && is_made_if_missing)
		return file_make(path, out, why);
	return rc == ERR_NOTFOUND ? ERR_IO : rc;
}
