/*
 * Prometheus metrics on a port of their own: GET /metrics, and /debug/varz, which is derper's name for it. One
 * request per connection; on the coordinator's loop. Meant for loopback: a request that came through a proxy
 * (X-Forwarded-For) is refused, so that a careless forwarding rule shows nothing to the internet.
 */
#ifndef SERVER_METRICS_PORT_H
#define SERVER_METRICS_PORT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct metrics_port;
struct event_base;

/* Listens on "address:port" (port 0: a free one). ERR_INVAL or ERR_IO with *why. Loop's thread, as everything
 * here. */
enum err metrics_port_open(struct event_base *base, const char *addr, struct metrics_port **out,
	struct err_text *why) MUST_USE;
void metrics_port_close(struct metrics_port *p);	/* NULL is fine */
uint16_t metrics_port_number(const struct metrics_port *p);
int metrics_port_socket(const struct metrics_port *p);	/* borrowed */

/* Everything: base/metrics, the process, the build. Any thread. */
void metrics_port_put(struct buf *out);

#endif
