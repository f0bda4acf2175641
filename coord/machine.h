/*
 * The paths under /machine/ that clients ask for inside Noise, and what each is answered. Pure.
 */
#ifndef COORD_MACHINE_H
#define COORD_MACHINE_H

#include <stdint.h>

enum machine_act {
	MACHINE_ANSWER,		/* status and text below are the whole answer */
	MACHINE_REGISTER,	/* a RegisterRequest */
	MACHINE_MAP,		/* a MapRequest */
	MACHINE_SSH,		/* an SSH check: see coord/msg_ssh.h */
	MACHINE_WHOAMI,		/* who the server takes the client for */
	MACHINE_PONG		/* ?id=0123456789abcdef: the answer to a PingRequest */
};

struct machine_route {
	enum machine_act act;
	int status;
	const char *content_type, *text;	/* static */
};

/* Oldest capability version that is served (113: client 1.80); older ones get an answer that a
 * person sees. */
#define MACHINE_VERSION_MIN 113

/* What a request gets. noise_version: of the handshake, since a RegisterRequest may say 1. A query
 * behind the path is disregarded. Result static. */
const struct machine_route *machine_route(const char *method, const char *path,
	uint16_t noise_version);

#endif
