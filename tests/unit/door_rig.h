/*
 * What the tests of the door share: a door with three workers on loopback, blocking clients with and
 * without TLS, and a stand-in for libmicrohttpd with one blocking thread per passage.
 */
#ifndef TESTS_UNIT_DOOR_RIG_H
#define TESTS_UNIT_DOOR_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "server/door.h"
#include "server/tls.h"

#define DOOR_RIG_GIVE_UP_S 20	/* a test that waits so long has failed */

struct door_rig {
	struct config cfg;
	char dir[64];
	char *https[2], *http[2], *trusted[1];
	struct worker_group *g;
	struct tls *tls;
	struct door *d;
	uint16_t https_port, http_port;
	SSL_CTX *client_ctx;
	pthread_t passages[32];			/* threads of the stand-in for libmicrohttpd */
	_Atomic unsigned n_passages;
};

struct client {
	int fd;
	SSL *ssl;		/* NULL: plain */
};

/* cmocka fixtures: a rig that is configured (change its cfg, then door_rig_start), or started. */
int door_rig_setup(void **state);
int door_rig_setup_started(void **state);
int door_rig_teardown(void **state);
/* Routes: GET /who, POST /who-post, GET /both (method, peer, tls or plain), GET /204, GET /below/…, GET /close;
 * upgrades /derp (DERP), /back and /both (LINE) that answer one line; the rest is passed on: /echo, /late
 * (answers after the end), /drop, /back (asks for the upgrade), else a short answer. */
void door_rig_start(struct door_rig *f);
/* Waits until the workers together have n connections. */
void door_rig_expect_conns(const struct door_rig *f, unsigned n);

int client_connect(const char *host, uint16_t port);
void client_tls(struct client *c, SSL_CTX *ctx);
struct client client_open(const struct door_rig *f, uint16_t port, bool is_tls);
void client_close(struct client *c);
void client_send(struct client *c, const void *p, size_t n);
void client_say(struct client *c, const char *text);
/* 0: the end, with or without reset. */
size_t client_recv(struct client *c, void *p, size_t cap);
/* Reads until the text ends with `end`, or to the end of the stream if that is NULL. */
const char *client_until(struct client *c, const char *end, char out[8192]);
void expect_start(const char *text, const char *want);

#endif
