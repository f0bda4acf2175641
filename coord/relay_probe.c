/* Probes: one detached thread each. Whoever is last to change the state frees it. */
#include "coord/relay_probe.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/curl_pin.h"

enum probe_state { PROBE_RUNS, PROBE_DONE, PROBE_UNWANTED };

struct relay_probe {
	atomic_int state;
	struct region_node node;
	struct err_text why;		/* from DONE on */
};

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;		/* of no interest */
}

/* Where the node's addresses say instead of its name; NULL: nowhere else. */
static struct curl_slist *
connect_to(const struct region_node *n)
{
	char text[400], literal[NET_TEXT_MAX];
	const char *ip = region_host_family(n->ipv4, literal) == 4 ? n->ipv4 : n->ipv6;
	uint8_t family = region_host_family(ip, literal);

	if (family == 0)
		return NULL;
	snprintf(text, sizeof(text), "::%s%s%s:%u", family == 6 ? "[" : "", literal, family == 6 ? "]" : "",
	    (unsigned)n->derp_port);
	return curl_slist_append(NULL, text);
}

static void
probe(struct relay_probe *p)
{
	const struct region_node *n = &p->node;
	char url[400], literal[NET_TEXT_MAX];
	struct curl_slist *to = connect_to(n);
	uint8_t family = region_host_family(n->host, literal);
	bool is_name = n->cert_name[0] != '\0';
	struct curl_pin pin;
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode rc;

	ASSERT(curl != NULL);
	snprintf(url, sizeof(url), "https://%s%s%s:%u/derp/probe", family == 6 ? "[" : "",
	    family != 0 ? literal : n->host, family == 6 ? "]" : "", (unsigned)n->derp_port);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)RELAY_PROBE_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_CONNECT_TO, to);
	if (is_name && curl_pin_parse(n->cert_name, &pin) == ERR_OK)
		curl_pin_set(curl, &pin);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (rc == CURLE_PEER_FAILED_VERIFICATION)
		err_say(&p->why, ERR_CRYPTO, "%s shows a certificate that clients would refuse", url);
	else if (rc != CURLE_OK)
		err_say(&p->why, ERR_IO, "%s does not answer: %s", url, curl_easy_strerror(rc));
	else if (status != 200)
		err_say(&p->why, ERR_PROTO, "%s answers with status %ld, as no relay does", url, status);
	curl_easy_cleanup(curl);
	curl_slist_free_all(to);
}

static void *
probe_main(void *arg)
{
	struct relay_probe *p = arg;

	probe(p);
	if (atomic_exchange(&p->state, PROBE_DONE) == PROBE_UNWANTED)
		free(p);
	return NULL;
}

struct relay_probe *
relay_probe_new(const struct region_node *n)
{
	struct relay_probe *p = obj_alloc(sizeof(*p));
	pthread_attr_t detached;
	sigset_t all, old;
	pthread_t thread;
	int e;

	atomic_init(&p->state, PROBE_RUNS);
	p->node = *n;
	ASSERT(pthread_attr_init(&detached) == 0);
	ASSERT(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are for the main thread */
	e = pthread_create(&thread, &detached, probe_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&detached);
	if (e == 0)
		return p;
	free(p);
	return NULL;
}

bool
relay_probe_is_done(const struct relay_probe *p, const char **why)
{
	if (atomic_load(&p->state) != PROBE_DONE)
		return false;
	*why = p->why.s;
	return true;
}

void
relay_probe_drop(struct relay_probe *p)
{
	if (p != NULL && atomic_exchange(&p->state, PROBE_UNWANTED) == PROBE_DONE)
		free(p);
}
