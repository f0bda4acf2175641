/* Counters and gauges: one atomic each, names from one table; read as Prometheus text. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

/* For each reason two rows: disco, and all others behind it. */
#define METRICS_DROPS(X, id, name, help) \
	METRICS_DROPS_OF(X, id##_UNKNOWN, name, "unknown_dest", help) \
	METRICS_DROPS_OF(X, id##_FWD, name, "unknown_dest_on_fwd", help) \
	METRICS_DROPS_OF(X, id##_GONE, name, "gone_disconnected", help) \
	METRICS_DROPS_OF(X, id##_HEAD, name, "queue_head", help) \
	METRICS_DROPS_OF(X, id##_TAIL, name, "queue_tail", help) \
	METRICS_DROPS_OF(X, id##_DUP, name, "dup_client", help) \
	METRICS_DROPS_OF(X, id##_HOP, name, "worker_busy", help) \
	METRICS_DROPS_OF(X, id##_MEMORY, name, "memory", help)
#define METRICS_DROPS_OF(X, id, name, reason, help) \
	X(id##_DISCO, name "{reason=\"" reason "\",kind=\"disco\"}", "counter", help) \
	X(id##_OTHER, name "{reason=\"" reason "\",kind=\"other\"}", "counter", help)

/* X(id, prometheus name with labels, "counter" | "gauge" | "histogram", help). derp_* names are
 * derper's. Rows of a histogram stand together: buckets, each counting what is in no smaller one; its
 * sum, in thousandths; its count, which nobody sets. */
#define METRICS_TABLE(X) \
	X(DOOR_ACCEPTS, "fairlead_door_accepts_total", "counter", "connections accepted") \
	X(DOOR_REFUSED, "fairlead_door_refused_total", "counter", "connections refused by a limit") \
	X(DOOR_LATE, "fairlead_door_late_total", "counter", "TLS handshakes not begun: too late") \
	X(DOOR_OPEN, "fairlead_door_connections", "gauge", "connections open") \
	X(DOOR_BAD_REQUESTS, "fairlead_door_bad_requests_total", "counter", "bad first requests") \
	X(TLS_FAILED, "fairlead_tls_handshake_failures_total", "counter", "TLS handshakes failed") \
	X(CERT_EXPIRY, "fairlead_certificate_expiry_timestamp_seconds", "gauge", \
	    "end of the certificate in use") \
	X(ACME_ISSUED, "fairlead_acme_issued_total", "counter", "certificates had by ACME") \
	X(ACME_FAILED, "fairlead_acme_failures_total", "counter", "attempts by ACME that failed") \
	X(ACME_FAILING, "fairlead_acme_failures_in_a_row", "gauge", "failed attempts since the last success") \
	X(CTL_HANDSHAKES, "fairlead_control_handshakes_total", "counter", "Noise handshakes done") \
	X(CTL_FAILED, "fairlead_control_handshake_failures_total", "counter", "Noise handshakes failed") \
	X(CTL_CONNS, "fairlead_control_connections", "gauge", "control connections open") \
	X(REGISTER_OK, "fairlead_registrations_total", "counter", "registrations answered with success") \
	X(REGISTER_REFUSED, "fairlead_registrations_refused_total", "counter", "registrations refused") \
	X(REGISTER_LATER, "fairlead_registrations_put_off_total", "counter", "registrations answered 429") \
	X(MAP_STREAMS, "fairlead_map_streams", "gauge", "map streams open") \
	X(MAP_FULL, "fairlead_map_full_total", "counter", "full maps sent") \
	X(MAP_DELTA, "fairlead_map_delta_total", "counter", "map deltas sent") \
	X(MAP_BYTES, "fairlead_map_bytes_total", "counter", "map bytes handed to workers") \
	X(CHUNKS_MADE, "fairlead_map_chunks_compressed_total", "counter", "map chunks compressed") \
	X(POLICY_INVALID, "fairlead_policy_invalid", "gauge", \
	    "1: the newest stored policy is not understood, an older one is in force") \
	X(CLUSTER_CONFLICTS, "fairlead_cluster_conflicts", "gauge", \
	    "pairs of K3s clusters that claim the same addresses") \
	X(STORE_COMMITS, "fairlead_store_commits_total", "counter", "transactions committed") \
	X(STORE_FAILED, "fairlead_store_failures_total", "counter", "transactions failed") \
	X(NODES, "fairlead_nodes", "gauge", "nodes registered") \
	X(NODES_EXPIRING, "fairlead_nodes_expiring_soon", "gauge", \
	    "nodes whose key expires within 7 days") \
	X(NODES_UNAPPROVED, "fairlead_nodes_unapproved", "gauge", "nodes that wait for approval") \
	X(LOGINS, "fairlead_logins_pending", "gauge", "devices that asked to join without a key") \
	X(SSH_PENDING, "fairlead_ssh_checks_pending", "gauge", "SSH logins that wait for approval") \
	X(SSH_APPROVED, "fairlead_ssh_checks_total{result=\"approved\"}", "counter", "SSH checks ended") \
	X(SSH_REJECTED, "fairlead_ssh_checks_total{result=\"rejected\"}", "counter", "SSH checks ended") \
	X(SSH_USED, "fairlead_ssh_checks_total{result=\"approved_before\"}", "counter", "SSH checks ended") \
	X(SSH_REFUSED, "fairlead_ssh_checks_total{result=\"refused\"}", "counter", "SSH checks ended") \
	X(NODES_ONLINE, "fairlead_nodes_online", "gauge", "nodes online") \
	X(ROUTES_ADVERTISED, "fairlead_routes_advertised", "gauge", "routes that nodes advertise") \
	X(ROUTES_APPROVED, "fairlead_routes_approved", "gauge", \
	    "routes that nodes advertise and are approved for") \
	X(ROUTES_CARRIED, "fairlead_route_prefixes", "gauge", \
	    "different prefixes among those, without those of exit nodes") \
	X(ROUTE_FAILOVERS, "fairlead_route_failovers_total", "counter", \
	    "prefixes that moved to another router because theirs was gone or did not answer") \
	X(ROUTE_PROBES, "fairlead_route_probes_total", "counter", "routers asked whether they are there") \
	X(ROUTE_PROBES_LOST, "fairlead_route_probes_lost_total", "counter", "probes that were not answered") \
	X(DERP_ACCEPTS, "derp_accepts", "counter", "DERP connections accepted") \
	X(DERP_CONNS, "derp_current_connections", "gauge", "DERP connections open") \
	X(DERP_HOME, "derp_current_home_connections", "gauge", "DERP home connections") \
	X(DERP_PKT_IN, "derp_packets_received", "counter", "packets received") \
	X(DERP_PKT_OUT, "derp_packets_sent", "counter", "packets sent") \
	X(DERP_BYTES_IN, "derp_bytes_received", "counter", "packet bytes received") \
	X(DERP_BYTES_OUT, "derp_bytes_sent", "counter", "packet bytes sent") \
	METRICS_DROPS(X, DERP_DROP, "derp_packets_dropped", "packets dropped") \
	METRICS_DROPS(X, DERP_DROP_BYTES, "derp_bytes_dropped", "bytes of packets dropped") \
	X(DERP_MEMORY, "fairlead_derp_memory_bytes", "gauge", \
	    "held for relay clients: queues, unfinished frames") \
	X(DERP_MEMORY_CAP, "fairlead_derp_memory_limit_bytes", "gauge", "most of it") \
	X(DERP_FULL, "fairlead_derp_memory_refused_total", "counter", \
	    "relay clients turned away because its memory was full") \
	X(DERP_PING, "derp_got_ping", "counter", "pings received") \
	X(DERP_PONG, "derp_sent_pong", "counter", "pongs sent") \
	X(DERP_GONE_DISC, "derp_peer_gone_disconnected_frames", "counter", "peer-gone frames sent") \
	X(DERP_GONE_HERE, "derp_peer_gone_not_here_frames", "counter", "peer-gone frames sent") \
	X(DERP_UNKNOWN, "derp_unknown_frames", "counter", "frames of unknown type") \
	X(DERP_QUOTA_PAUSES, "fairlead_derp_quota_pauses_total", "counter", \
	    "times that a client was not read from because it was ahead of its quota") \
	X(DERP_REFUSED, "fairlead_derp_refused_total", "counter", "DERP clients not admitted") \
	X(DERP_DUP_CONNS, "derp_current_dup_client_conns", "gauge", "connections sharing a key") \
	X(DERP_DUP_KEYS, "derp_current_dup_client_keys", "gauge", "keys with several connections") \
	X(DERP_DUP_TOTAL, "derp_total_dup_client_conns", "counter", "connections that came beside another") \
	X(DERP_CLIENTS_LOCAL, "derp_clients_local", "gauge", "keys connected here") \
	X(DERP_CLIENTS_REMOTE, "derp_clients_remote", "gauge", "keys connected to other relays only") \
	X(DERP_CLIENTS_TOTAL, "derp_clients_total", "gauge", "keys connected in the region") \
	X(DERP_NOT_IDEAL, "derp_current_notideal_connections", "gauge", \
	    "connections whose first choice is another relay") \
	X(DERP_MOVES_IN, "derp_home_moves_in", "counter", "clients that made this relay their home") \
	X(DERP_MOVES_OUT, "derp_home_moves_out", "counter", "clients that took another home") \
	X(DERP_PKT_DISCO, "derp_packets_received_kind{kind=\"disco\"}", "counter", "packets received") \
	X(DERP_PKT_OTHER, "derp_packets_received_kind{kind=\"other\"}", "counter", "packets received") \
	X(DERP_FWD_IN, "derp_packets_forwarded_in", "counter", "packets from other relays") \
	X(DERP_FWD_OUT, "derp_packets_forwarded_out", "counter", "packets to other relays") \
	X(DERP_WATCHERS, "derp_watchers", "gauge", "mesh peers that watch who is connected") \
	X(RELAYS, "fairlead_relays", "gauge", "relays on other machines that have a credential") \
	X(RELAY_LINK, "fairlead_relay_coordinator_connected", "gauge", \
	    "of fairlead relay: 1 while the coordinator is there") \
	X(RELAYS_HERE, "fairlead_relays_connected", "gauge", "of these, connected to this server") \
	X(DERP_LINKS, "fairlead_derp_mesh_links", "gauge", "links to other relays that are up") \
	X(DERP_MULTI_CREATED, "derp_multiforwarder_created", "counter", "keys found at a second relay") \
	X(DERP_MULTI_DELETED, "derp_multiforwarder_deleted", "counter", "keys left at one relay only") \
	X(DERP_WRITE_TIMEOUTS, "derp_sclient_write_timeouts", "counter", \
	    "clients closed because they read nothing") \
	X(DERP_DELAY_1MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.001\"}", "histogram", \
	    "time that packets waited to be sent to their receiver") \
	X(DERP_DELAY_2MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.002\"}", "histogram", "") \
	X(DERP_DELAY_4MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.004\"}", "histogram", "") \
	X(DERP_DELAY_8MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.008\"}", "histogram", "") \
	X(DERP_DELAY_16MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.016\"}", "histogram", "") \
	X(DERP_DELAY_32MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.032\"}", "histogram", "") \
	X(DERP_DELAY_64MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.064\"}", "histogram", "") \
	X(DERP_DELAY_128MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.128\"}", "histogram", "") \
	X(DERP_DELAY_256MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.256\"}", "histogram", "") \
	X(DERP_DELAY_512MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"0.512\"}", "histogram", "") \
	X(DERP_DELAY_1024MS, "fairlead_derp_queue_delay_seconds_bucket{le=\"1.024\"}", "histogram", "") \
	X(DERP_DELAY_INF, "fairlead_derp_queue_delay_seconds_bucket{le=\"+Inf\"}", "histogram", "") \
	X(DERP_DELAY_SUM, "fairlead_derp_queue_delay_seconds_sum", "histogram", "") \
	X(DERP_DELAY_COUNT, "fairlead_derp_queue_delay_seconds_count", "histogram", "") \
	X(DERP_WEBSOCKETS, "derp_websocket_accepts", "counter", "DERP connections in WebSocket frames") \
	X(STUN_OK, "stun_requests{disposition=\"success\"}", "counter", "STUN requests") \
	X(STUN_BAD, "stun_requests{disposition=\"not_stun\"}", "counter", "STUN requests") \
	X(STUN_LIMITED, "stun_requests{disposition=\"limited\"}", "counter", "STUN requests")

enum metric {
#define X(id, name, type, help) METRIC_##id,
	METRICS_TABLE(X)
#undef X
	METRIC_COUNT
};

/* Any thread; relaxed. Hot paths add up in a local first. */
void metric_add(enum metric m, int64_t n);
void metric_set(enum metric m, int64_t v);
int64_t metric_get(enum metric m);

/* Prometheus text exposition 0.0.4 of all, appended to out. */
void metrics_put(struct buf *out);

#endif
