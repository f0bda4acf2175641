/* Requests to the server's Unix socket, and sentences for everything that can go wrong with them. */
#include "server/cli_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/config_load.h"

#define SYSTEM_SOCKET	"/run/fairlead/fairlead.sock"
#define API		"http://fairlead/api/fairlead/v1"
#define CALL_TIMEOUT_S	60L
#define DOWNLOAD_STALL_S 600L	/* a backup is sent when it is whole */
#define STATUS_TIMEOUT_S 4L	/* below the 5 s that docker-compose.yml gives a health check */
#define ANSWER_MAX_BYTES (256u << 20)	/* a list of 100,000 nodes is about 70 MB */

const char *cli_client_socket;

char *
cli_client_socket_path(void)
{
	const char *env = getenv("FAIRLEAD_SOCKET");
	struct config *cfg = NULL;
	char *path;

	if (cli_client_socket != NULL)
		return obj_strdup(cli_client_socket);
	if (env != NULL && *env != 0)
		return obj_strdup(env);
	if (config_load(NULL, NULL, &cfg, NULL) != ERR_OK)
		return obj_strdup(SYSTEM_SOCKET);	/* a server may run all the same */
	path = obj_strdup(cfg->unix_socket);
	config_free(cfg);
	if (access(path, F_OK) != 0 && access(SYSTEM_SOCKET, F_OK) == 0) {
		free(path);
		path = obj_strdup(SYSTEM_SOCKET);
	}
	return path;
}

static size_t
on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;

	if (b->len + size * n > ANSWER_MAX_BYTES)
		return 0;
	buf_append(b, p, size * n);
	return size * n;
}

static int
say_no_answer(CURL *curl, CURLcode rc, const char *path)
{
	long os_errno = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
	if (rc == CURLE_COULDNT_CONNECT && os_errno == EACCES)
		return cli_fail("no permission to use %s: run it with sudo, or join the group of "
		    "that socket", path);
	if (rc == CURLE_COULDNT_CONNECT) {
		fprintf(stderr,
		    "fairlead is not running here: no answer on %s; start it with `fairlead serve`\n",
		    path);
		return 1;
	}
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return cli_fail("the server does not answer on %s: it took longer than %ld seconds", path,
		    CALL_TIMEOUT_S);
	return cli_fail("the server's answer on %s broke off: %s", path, curl_easy_strerror(rc));
}

/* Turns status and body into *out or a sentence. */
static int
take_answer(long status, const struct buf *body, json_t **out)
{
	struct buf line = { .len = 0 };
	/* Without json_parse's bounds, which are for strangers: ten thousand nodes have more values. */
	json_t *v = body->len == 0 ? NULL :
	    json_loadb((const char *)body->p, body->len, JSON_DECODE_ANY, NULL);

	if (v == NULL)
		return cli_fail("the server answered with status %ld and no JSON", status);
	if (status >= 200 && status < 300) {
		if (out != NULL)
			*out = json_incref(v);
		json_decref(v);
		return 0;
	}
	cli_text_put(&line, json_get_str(v, "message", "the server refused without a reason"));
	if (json_array_size(json_object_get(v, "errors")) > 0)
		cli_print_faults("fairlead: ", json_object_get(v, "errors"));
	else
		cli_fail("%s", buf_cstr(&line));
	buf_fini(&line);
	json_decref(v);
	return 1;
}

/* What every request has in common; path is the socket's, or NULL for a request over TCP. */
static CURL *
client_new(const char *url, const char *path)
{
	CURL *curl = curl_easy_init();

	if (curl == NULL)
		abort();
	curl_easy_setopt(curl, CURLOPT_URL, url);
	if (path != NULL)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	return curl;
}

int
cli_call(const char *method, const char *path, json_t *body_taken, json_t **out)
{
	struct buf url = { .len = 0 }, sent = { .len = 0 }, got = { .len = 0 };
	char *socket = cli_client_socket_path();
	struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *curl;
	long status = 0;
	CURLcode rc;
	int code;

	if (fields == NULL)
		abort();
	buf_printf(&url, "%s%s", API, path);
	curl = client_new(buf_cstr(&url), socket);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &got);
	if (body_taken != NULL) {
		json_dump_to(&sent, body_taken);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buf_cstr(&sent));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)sent.len);
	} else if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	}
	if ((rc = curl_easy_perform(curl)) != CURLE_OK) {
		code = say_no_answer(curl, rc, socket);
	} else {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		code = take_answer(status, &got, out);
	}
	json_decref(body_taken);
	curl_easy_cleanup(curl);
	curl_slist_free_all(fields);
	free(socket);
	buf_fini(&url);
	buf_fini(&sent);
	buf_fini(&got);
	return code;
}

/* A download: the file, or the reason why there is none. */
struct download {
	CURL *curl;
	int fd;
	int write_errno;
	struct buf refusal;
};

static size_t
on_file_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct download *d = arg;
	size_t left = size * n;
	long status = 0;

	curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return on_bytes(p, size, n, &d->refusal);
	while (left > 0) {
		ssize_t wrote = write(d->fd, p, left);
		if (wrote < 0 && errno != EINTR) {
			d->write_errno = errno;
			return 0;
		}
		p += wrote > 0 ? wrote : 0;
		left -= wrote > 0 ? (size_t)wrote : 0;
	}
	return size * n;
}

int
cli_download(const char *path, int fd)
{
	struct buf url = { .len = 0 };
	char *socket = cli_client_socket_path();
	struct download d = { .fd = fd };
	long status = 0;
	CURLcode rc;
	int code;

	buf_printf(&url, "%s%s", API, path);
	d.curl = client_new(buf_cstr(&url), socket);
	curl_easy_setopt(d.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(d.curl, CURLOPT_LOW_SPEED_TIME, DOWNLOAD_STALL_S);
	curl_easy_setopt(d.curl, CURLOPT_WRITEFUNCTION, on_file_bytes);
	curl_easy_setopt(d.curl, CURLOPT_WRITEDATA, &d);
	rc = curl_easy_perform(d.curl);
	curl_easy_getinfo(d.curl, CURLINFO_RESPONSE_CODE, &status);
	if (d.write_errno != 0)
		code = cli_fail("cannot write: %s", strerror(d.write_errno));
	else if (rc != CURLE_OK)
		code = say_no_answer(d.curl, rc, socket);
	else
		code = status == 200 ? 0 : take_answer(status, &d.refusal, NULL);
	curl_easy_cleanup(d.curl);
	free(socket);
	buf_fini(&url);
	buf_fini(&d.refusal);
	return code;
}

long
cli_client_status(const char *url, const char *socket, struct err_text *why)
{
	struct buf got = { .len = 0 };
	CURL *curl = client_new(url, socket);
	long status = 0;
	CURLcode rc;

	curl_easy_setopt(curl, CURLOPT_TIMEOUT, STATUS_TIMEOUT_S);
	/* Our own server on this machine: its certificate is for another name, or self-signed. */
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &got);
	if ((rc = curl_easy_perform(curl)) != CURLE_OK)
		err_say(why, ERR_IO, "%s", curl_easy_strerror(rc));
	else
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	buf_fini(&got);
	return status;
}

char *
cli_path(const char *before, const char *id, const char *after)
{
	char *escaped = curl_easy_escape(NULL, id, 0), *out = NULL;

	if (escaped == NULL || asprintf(&out, "%s%s%s", before, escaped, after) < 0)
		abort();
	curl_free(escaped);
	return out;
}
