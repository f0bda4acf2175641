/* One request that lasts: libcurl on a thread of its own. */
#include "server/relay_link.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/curl_pin.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "base/secret.h"
#include "relay/derp_admit.h"

#define LINK_MAGIC	0x114c0de1u
#define PATH		"/api/fairlead/v1/relay"
#define KEY_PREFIX	"fl-relay-"
#define CONNECT_S	10
#define SILENCE_S	45		/* the coordinator says something every 10 s */
#define WAIT_FIRST_MS	500
#define WAIT_MAX_MS	30000
#define AWAY_MS		5000		/* fails_open: strangers wait so long */
#define BODY_MAX	2048		/* of a refusal */

struct relay_link {
	uint32_t magic;
	char *url, *key;		/* owned */
	bool has_pin, fails_open, prefers_v4;
	struct curl_pin pin;
	struct relay *relay;		/* borrowed */
	struct derp_admit *admit;	/* owned; its thread's once that runs */
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	char *hello;			/* owned; under the lock */
	unsigned hello_number;		/* likewise */
	atomic_bool is_stopping, is_up;
	struct err_text refusal;	/* written before is_stopping is true */
	/* of the thread alone */
	unsigned said_number;		/* of the hello that was said */
	long status;
	bool is_pinned;			/* the answer's key was right */
	struct err_text why;		/* why the stream was ended here */
	struct buf body;		/* of a refusal */
	char last_why[320];		/* said in the log already */
	char last_trouble[320];
	bool was_announced, is_open;
	bool was_v4;			/* the last try */
	int64_t lost_mono_ms;
};

/* --- what the coordinator says ---------------------------------------------------------------- */

static void
on_admit(void *arg, const struct node_key *key)
{
	struct relay_link *l = arg;

	relay_admit(l->relay, key);
}

static void
on_expel(void *arg, const struct node_key *key)
{
	struct relay_link *l = arg;

	relay_expel(l->relay, key);
}

static void
on_retire(void *arg, const struct node_key *key)
{
	struct relay_link *l = arg;

	relay_retire(l->relay, key);
}

static void
take_mesh(struct relay_link *l, const json_t *v)
{
	const char *hex = json_get_str(v, "meshKey", ""), *targets[64];
	const json_t *list = json_get(v, "mesh"), *item;
	uint8_t key[KEY_BYTES];
	unsigned n = 0;
	size_t i;

	if (strlen(hex) != (size_t)2 * KEY_BYTES || key_hex_parse(hex, (size_t)2 * KEY_BYTES, key) != ERR_OK)
		return;
	json_array_foreach(list, i, item)
		if (json_is_string(item) && n < COUNT_OF(targets))
			targets[n++] = json_string_value(item);
	relay_mesh_set(l->relay, key, targets, n);
	explicit_bzero(key, sizeof(key));
}

static void
on_config(void *arg, const char *json, size_t n)
{
	struct relay_link *l = arg;
	const char *trouble;
	json_t *v = NULL;

	if (json_parse(json, n, &v, NULL) != ERR_OK)
		return;
	trouble = json_get_str(v, "trouble", "");
	take_mesh(l, v);
	if (json_get_bool(v, "isAnnounced", false) && !l->was_announced)
		log_info(LOG_RELAY, "clients are told of this relay", "relay", json_get_str(v, "name", "?"),
		    "region", json_get_str(json_get(v, "region"), "code", "?"), "host",
		    json_get_str(v, "host", "?"));
	l->was_announced = json_get_bool(v, "isAnnounced", false);
	if (trouble[0] != '\0' && strcmp(trouble, l->last_trouble) != 0)
		log_warn(LOG_RELAY, "the coordinator cannot reach this relay", "why", trouble);
	snprintf(l->last_trouble, sizeof(l->last_trouble), "%s", trouble);
	json_decref(v);
}

/* --- time --------------------------------------------------------------------------------------- */

/* Each second or so: what is known may be too old, strangers may be let in. */
static void
look(struct relay_link *l)
{
	bool is_up = derp_admit_is_current(l->admit);
	int64_t now = clock_mono_ms();

	derp_admit_look(l->admit, clock_wall_s());
	if (is_up)
		l->lost_mono_ms = now;
	if (is_up != atomic_load(&l->is_up)) {
		atomic_store(&l->is_up, is_up);
		metric_set(METRIC_RELAY_LINK, is_up);
		if (is_up)
			log_info(LOG_RELAY, "the coordinator is there", "nodes",
			    LOG_NUM(derp_admit_count(l->admit)));
	}
	bool is_open = l->fails_open && !is_up && now - l->lost_mono_ms >= AWAY_MS;
	if (is_open == l->is_open)
		return;
	l->is_open = is_open;
	relay_admit_all(l->relay, is_open);
	if (is_open)
		log_warn(LOG_RELAY, "the coordinator is away: everybody may use this relay (--fail-open)");
	else
		relay_expel_strangers(l->relay);
}

/* --- the request -------------------------------------------------------------------------------- */

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	static const char name[] = ADMIT_PUBLIC_FIELD ":";
	struct relay_link *l = arg;
	uint8_t key[ADMIT_PUBLIC_BYTES];
	const char *at = p + sizeof(name) - 1;

	n *= size;
	if (n < sizeof(name) - 1 || strncasecmp(p, name, sizeof(name) - 1) != 0)
		return n;
	while (at < p + n && *at == ' ')
		at++;
	if ((size_t)(p + n - at) >= sizeof(key) * 2 && key_hex_parse(at, sizeof(key) * 2, key) == ERR_OK)
		l->is_pinned = derp_admit_pin(l->admit, key, &l->why) == ERR_OK;
	return n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct relay_link *l = arg;

	n *= size;
	if (!l->is_pinned) {
		if (l->body.len + n <= BODY_MAX)
			buf_append(&l->body, p, n);
		return n;
	}
	if (derp_admit_feed(l->admit, p, n, clock_wall_s(), &l->why) != ERR_OK)
		return 0;
	look(l);
	return n;
}

static bool
has_news(struct relay_link *l)
{
	pthread_mutex_lock(&l->lock);
	bool is_other = l->hello_number != l->said_number;
	pthread_mutex_unlock(&l->lock);
	return is_other;
}

static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct relay_link *l = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	look(l);
	return atomic_load(&l->is_stopping) || has_news(l);
}

static struct curl_slist *
fields(const struct relay_link *l)
{
	struct buf b = { .len = 0 };
	struct curl_slist *list;

	buf_printf(&b, "Authorization: Bearer %s", l->key);
	list = curl_slist_append(NULL, buf_cstr(&b));
	explicit_bzero(b.p, b.len);
	buf_fini(&b);
	list = curl_slist_append(list, "Content-Type: application/json");
	return curl_slist_append(list, "Expect:");
}

static char *
hello_take(struct relay_link *l)
{
	pthread_mutex_lock(&l->lock);
	char *hello = obj_strdup(l->hello);
	l->said_number = l->hello_number;
	pthread_mutex_unlock(&l->lock);
	return hello;
}

static CURLcode
perform(struct relay_link *l, CURL *curl)
{
	struct curl_slist *list = fields(l);
	struct buf url = { .len = 0 };
	char *hello = hello_take(l);
	CURLcode rc;

	buf_printf(&url, "%s%s", l->url, PATH);
	curl_easy_setopt(curl, CURLOPT_URL, buf_cstr(&url));
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "fairlead/" FAIRLEAD_VERSION);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, hello);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, l);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, l);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, l);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	l->was_v4 = l->prefers_v4 && !l->was_v4;	/* in turns, until one way goes */
	if (l->was_v4)
		curl_easy_setopt(curl, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
	if (l->has_pin)
		curl_pin_set(curl, &l->pin);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &l->status);
	curl_slist_free_all(list);
	buf_fini(&url);
	free(hello);
	return rc;
}

/* The message of an answer that is a refusal. */
static void
refusal_read(struct relay_link *l)
{
	json_t *v = NULL;

	if (json_parse(l->body.p, l->body.len, &v, NULL) == ERR_OK)
		err_say(&l->why, ERR_DENIED, "%s", json_get_str(v, "message", "it does not say why"));
	else
		err_say(&l->why, ERR_PROTO, "status %ld: is that a Fairlead server?", l->status);
	json_decref(v);
}

/* Into l->why, unless it is said there. */
static void
explain(struct relay_link *l, CURLcode rc)
{
	if (l->why.s[0] != '\0')
		return;
	if (l->status >= 300)
		refusal_read(l);
	else if (l->status != 0 && !l->is_pinned)
		err_say(&l->why, ERR_PROTO, "it does not answer as a Fairlead server does");
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		err_say(&l->why, ERR_CRYPTO, "%s", l->has_pin ?
		    "its certificate is not the one of --coordinator-pin" :
		    "its certificate is not valid; with a self-signed one use --coordinator-pin");
	else if (rc == CURLE_OK || rc == CURLE_PARTIAL_FILE)
		err_say(&l->why, ERR_CLOSED, "it ended the connection");
	else
		err_say(&l->why, ERR_IO, "%s", curl_easy_strerror(rc));
}

/* One coming. true: it went well for a while. */
static bool
come(struct relay_link *l)
{
	CURL *curl = curl_easy_init();
	bool was_good;

	ASSERT(curl != NULL);
	l->status = 0;
	l->is_pinned = false;
	l->why.s[0] = '\0';
	buf_clear(&l->body);
	CURLcode rc = perform(l, curl);
	curl_easy_cleanup(curl);
	was_good = derp_admit_is_current(l->admit);
	if (was_good)
		l->was_v4 = false;	/* that it goes no more may have other reasons */
	derp_admit_lost(l->admit);
	if (atomic_load(&l->is_stopping) || has_news(l))
		return true;
	explain(l, rc);
	if (was_good)
		log_warn(LOG_RELAY, "the coordinator is away: known nodes are served on", "why", l->why.s);
	else if (strcmp(l->why.s, l->last_why) != 0)
		log_warn(LOG_RELAY, "no answer from the coordinator", "url", l->url, "why", l->why.s);
	snprintf(l->last_why, sizeof(l->last_why), "%s", was_good ? "" : l->why.s);
	if (l->status == 401) {
		derp_admit_end(l->admit);
		l->refusal = l->why;
		atomic_store(&l->is_stopping, true);
		kill(getpid(), SIGTERM);
	}
	look(l);
	return was_good;
}

/* At most so long, or until there is something to do. */
static void
wait_ms(struct relay_link *l, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;

	while (!atomic_load(&l->is_stopping) && !has_news(l) && clock_mono_ms() < until) {
		struct timespec ts;

		look(l);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 250 * 1000000;
		ts.tv_sec += ts.tv_nsec / 1000000000;
		ts.tv_nsec %= 1000000000;
		pthread_mutex_lock(&l->lock);
		if (!atomic_load(&l->is_stopping) && l->hello_number == l->said_number)
			pthread_cond_timedwait(&l->cond, &l->lock, &ts);
		pthread_mutex_unlock(&l->lock);
	}
}

static void *
link_main(void *arg)
{
	struct relay_link *l = arg;
	int64_t wait = WAIT_FIRST_MS;

	l->lost_mono_ms = clock_mono_ms();
	while (!atomic_load(&l->is_stopping)) {
		if (come(l))
			wait = WAIT_FIRST_MS;
		/* Relays do not come all at once when the coordinator is back. */
		wait_ms(l, wait / 2 + (int64_t)rand_below((uint64_t)wait));
		wait = wait * 2 < WAIT_MAX_MS ? wait * 2 : WAIT_MAX_MS;
	}
	return NULL;
}

/* --- life --------------------------------------------------------------------------------------- */

static enum err
params_check(const struct relay_link_params *p, struct relay_link *l, struct err_text *why)
{
	char id[SECRET_ID_MAX];
	uint8_t hash[SECRET_HASH_BYTES];

	if (strncmp(p->url, "https://", 8) != 0 && strncmp(p->url, "http://", 7) != 0)
		return err_say(why, ERR_INVAL, "--coordinator: \"%.100s\" is no URL such as "
		    "https://fairlead.example.org", p->url);
	if (secret_parse(KEY_PREFIX, p->key, strlen(p->key), id, hash) != ERR_OK)
		return err_say(why, ERR_INVAL, "--key: that is no key of a relay (" KEY_PREFIX "…); fairlead "
		    "relays add, on the server, makes one");
	l->has_pin = p->pin[0] != '\0';
	if (l->has_pin && curl_pin_parse(p->pin, &l->pin) != ERR_OK)
		return err_say(why, ERR_INVAL, "--coordinator-pin: \"%.100s\" is not sha256-raw: and 64 hex "
		    "digits", p->pin);
	return ERR_OK;
}

enum err
relay_link_new(const struct relay_link_params *p, struct relay_link **out, struct err_text *why)
{
	struct relay_link *l = obj_alloc(sizeof(*l));
	struct derp_admit_ops ops = {
		.arg = l, .admit = on_admit, .expel = on_expel, .retire = on_retire, .config = on_config,
	};
	size_t n = strlen(p->url);
	enum err rc = params_check(p, l, why);

	if (rc != ERR_OK) {
		free(l);
		return rc;
	}
	l->magic = LINK_MAGIC;
	l->url = obj_strdup(p->url);
	while (n > 0 && l->url[n - 1] == '/')
		l->url[--n] = '\0';
	l->key = obj_strdup(p->key);
	l->relay = p->relay;
	l->fails_open = p->fails_open;
	l->prefers_v4 = p->prefers_v4;
	ASSERT(pthread_mutex_init(&l->lock, NULL) == 0 && pthread_cond_init(&l->cond, NULL) == 0);
	l->admit = derp_admit_new(p->state_file, &ops);
	if ((rc = derp_admit_load(l->admit, clock_wall_s(), why)) != ERR_OK) {
		relay_link_free(l);
		return rc;
	}
	if (derp_admit_count(l->admit) > 0)
		log_info(LOG_RELAY, "nodes that were known before may use the relay", "nodes",
		    LOG_NUM(derp_admit_count(l->admit)));
	*out = l;
	return ERR_OK;
}

void
relay_link_say(struct relay_link *l, const char *hello_json)
{
	OBJ_CHECK(l, LINK_MAGIC);
	pthread_mutex_lock(&l->lock);
	if (l->hello == NULL || strcmp(l->hello, hello_json) != 0) {
		free(l->hello);
		l->hello = obj_strdup(hello_json);
		l->hello_number++;
		pthread_cond_signal(&l->cond);
	}
	pthread_mutex_unlock(&l->lock);
}

enum err
relay_link_start(struct relay_link *l, struct err_text *why)
{
	sigset_t all, old;
	int e;

	OBJ_CHECK(l, LINK_MAGIC);
	ASSERT(l->hello != NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are for the main thread */
	e = pthread_create(&l->thread, NULL, link_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e != 0)
		return err_say(why, ERR_IO, "cannot start a thread: %s", strerror(e));
	l->is_started = true;
	return ERR_OK;
}

void
relay_link_stop(struct relay_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->is_stopping, true);
	pthread_cond_signal(&l->cond);
	pthread_mutex_unlock(&l->lock);
	if (l->is_started)
		pthread_join(l->thread, NULL);
	l->is_started = false;
}

void
relay_link_free(struct relay_link *l)
{
	if (l == NULL)
		return;
	relay_link_stop(l);
	derp_admit_free(l->admit);
	explicit_bzero(l->key, strlen(l->key));
	free(l->key);
	free(l->url);
	free(l->hello);
	buf_fini(&l->body);
	pthread_cond_destroy(&l->cond);
	pthread_mutex_destroy(&l->lock);
	l->magic = 0;
	free(l);
}

const char *
relay_link_refusal(const struct relay_link *l)
{
	return l->refusal.s;
}
