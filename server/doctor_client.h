/* The parts of the look from outside: what of a server's addresses a client would use, and probes of them. */
#ifndef SERVER_DOCTOR_CLIENT_H
#define SERVER_DOCTOR_CLIENT_H

#include "base/key.h"
#include "server/doctor.h"
#include "server/doctor_net.h"

#define DOCTOR_PROBES_MAX 64

/* The login server, for its probes. */
struct doctor_login {
	const struct doctor *d;		/* borrowed */
	struct doctor_target target;	/* by name */
	struct machine_key own;		/* what /key should say; zero: unknown */
};

/* doctor_control.c: the upgrade to the control protocol, as clients and as browsers ask for it. */
void doctor_control(void *login, struct doctor_report *r);
void doctor_websocket(void *login, struct doctor_report *r);

/* A relay of the DERP map at one of its addresses. */
struct doctor_relay {
	char name[DOCTOR_NAME_MAX - 24];	/* "900a/192.0.2.1" */
	char pin[80];			/* "": a certificate that clients trust */
	struct doctor_target derp;
	struct net_ip ip;
	int stun_port;			/* below 0: none */
	bool has_derp, has_port80;
	bool is_map_known;		/* else guessed from the login server: the pin is not known */
};
/* doctor_relay.c: all of them, at most max; *n of them. What cannot be resolved is a finding of r. */
void doctor_relays_find(const struct doctor *d, const struct doctor_target *login,
    struct doctor_relay *out,
	unsigned max, unsigned *n, struct doctor_report *r);
/* Probes; arg is a struct doctor_relay. */
void doctor_relay_probe(void *relay, struct doctor_report *r);
void doctor_stun_probe(void *relay, struct doctor_report *r);

/* Says what is wrong with a certificate; DOCTOR_OK: nothing is, and nothing was said. */
enum doctor_level doctor_cert_say(const struct doctor_cert *c, const char *name, const char *host,
    struct doctor_report *r);

#endif
