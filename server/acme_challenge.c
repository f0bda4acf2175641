/* Answers to challenges, as files of their tokens' names: appearing whole, and removed when the
 * authority has asked. */
#include "server/acme_challenge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/obj.h"

#define PATH_BYTES	4400

static size_t
base64url_span(const char *s)
{
	return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
}

bool
acme_challenge_token_is_good(const char *token, size_t n)
{
	char copy[ACME_CHALLENGE_MAX + 1];

	if (n == 0 || n > ACME_CHALLENGE_MAX)
		return false;
	memcpy(copy, token, n);
	copy[n] = '\0';
	return base64url_span(copy) == n;
}

/* A token, a dot and a thumbprint, the token being this one. */
static bool
answer_is_good(const char *answer, const char *token)
{
	size_t n = strlen(token);

	if (strlen(answer) >= 2 * ACME_CHALLENGE_MAX || strncmp(answer, token, n) != 0 ||
	    answer[n] != '.')
		return false;
	size_t n_print = base64url_span(answer + n + 1);
	return n_print > 0 && answer[n + 1 + n_print] == '\0';
}

static int
refuse(const char *why)
{
	fprintf(stderr, "fairlead: %s\n", why);
	return 1;
}

static int
put(const char *path, const char *answer)
{
	char tmp[PATH_BYTES + 8];
	size_t n = strlen(answer);

	snprintf(tmp, sizeof(tmp), "%s.new", path);	/* no token has a dot */
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, answer, n) == (ssize_t)n;
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (ok && rename(tmp, path) == 0)
		return 0;
	fprintf(stderr, "fairlead: the challenge cannot be written to %s: %s\n", path, strerror(errno));
	unlink(tmp);
	return 1;
}

int
acme_challenge_hook(const char *dir, int argc, char **argv)
{
	char path[PATH_BYTES];

	if (argc != 6)
		return refuse("the hook takes five arguments");
	const char *method = argv[1], *type = argv[2], *token = argv[4], *answer = argv[5];
	if (strcmp(type, "http-01") != 0)
		return 1;		/* quietly: others are offered first */
	if (!acme_challenge_token_is_good(token, strlen(token)))
		return refuse("the challenge's token is not one");
	int n = snprintf(path, sizeof(path), "%s/%s", dir, token);
	if (n < 0 || (size_t)n >= sizeof(path))
		return refuse("the directory of challenges is too long a path");
	if (strcmp(method, "begin") == 0) {
		if (!answer_is_good(answer, token))
			return refuse("the challenge's answer is not one");
		return put(path, answer);
	}
	if (strcmp(method, "done") != 0 && strcmp(method, "failed") != 0)
		return refuse("the hook is called with an unknown word");
	return unlink(path) == 0 || errno == ENOENT ? 0 : refuse("the challenge cannot be removed");
}

bool
acme_challenge_read(const char *dir, const char *token, size_t n, char out[2 * ACME_CHALLENGE_MAX])
{
	char path[PATH_BYTES];
	bool ok = false;

	if (!acme_challenge_token_is_good(token, n))
		return false;
	snprintf(path, sizeof(path), "%s/%.*s", dir, (int)n, token);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, out, 2 * ACME_CHALLENGE_MAX - 1);
	if (got > (ssize_t)n && memcmp(out, token, n) == 0 && out[n] == '.') {
		out[got] = '\0';
		ok = true;
	}
	close(fd);
	return ok;
}
