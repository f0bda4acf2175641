/*
 * Regions of the DERP map beside the server's own, and the relays on other machines that belong to
 * them. What changes is in the map of every connected node within one round of distribution.
 *
 * A region is of the configuration (derp.paths), or stored. Its nodes are those that the record
 * names, and relays that signed in and were reachable (tailnet_relay). Relays may also be in the
 * server's own region. Coordinator thread.
 */
#ifndef COORD_TAILNET_REGION_H
#define COORD_TAILNET_REGION_H

#include "coord/region.h"
#include "coord/tailnet.h"

#define TAILNET_REGIONS_MAGIC	0x4e610001u
#define TAILNET_RELAY_MAGIC	0x4e610002u

struct mutation;
struct relay_feed;
struct relay_probe;
struct tailnet_relays;

/* A relay, and how it is doing. */
struct tailnet_relay {
	struct region_relay r;		/* first: key of the map is its name */
	uint32_t magic;
	/* of tailnet_relay.c */
	struct tailnet *t;		/* once it came */
	struct relay_feed *feed;	/* borrowed; NULL: it is away */
	struct relay_probe *probe;	/* under way, or NULL */
	struct region_node reported;	/* by the relay, since it came */
	uint8_t derp_key[KEY_BYTES];	/* likewise */
	char version[64];
	struct net_ip from;
	int64_t since_unix_s;		/* came, or left */
	int64_t probe_due_mono_ms;	/* 0: none is due */
	bool is_reachable;		/* by the last probe */
	bool is_saving;			/* a change is at the store */
	struct err_text trouble;	/* why it is not; "": nothing is known */
};

struct tailnet_regions {
	uint32_t magic;
	struct map by_id;		/* struct region, owned: stored ones */
	struct map relays;		/* struct tailnet_relay, owned */
	struct region **configured;	/* owned, n of them */
	unsigned n_configured;
	struct region **in_map;		/* owned: nodes and relays together, in order of id */
	unsigned n_in_map;
	struct tailnet_relays *live;	/* of tailnet_relay.c; NULL before its start */
	/* A relay has changed, or goes (is_gone: it is freed right after). */
	void (*_on_change)(struct tailnet *t, struct tailnet_relay *r, bool is_gone);
};

/* Called by tailnet_new, tailnet_start, tailnet_free; for MUTATION_REGION_* and MUTATION_RELAY_*. */
void tailnet_region_init(struct tailnet *t);
void tailnet_region_start(struct tailnet *t);
void tailnet_region_fini(struct tailnet *t);
void tailnet_region_apply(struct tailnet *t, struct mutation *m);
void tailnet_region_mutation_fini(struct mutation *m);
/* Regions of the configuration: takes the array (from obj_alloc) and its n records. Before the
 * start. */
void tailnet_region_configure_take(struct tailnet *t, struct region **list, unsigned n);

/* The stored or configured one, or NULL. Borrowed until the next change. */
const struct region *tailnet_region_find(const struct tailnet *t, unsigned id);
bool tailnet_region_is_configured(const struct tailnet *t, unsigned id);
/* Is it the one of this server's relay? */
bool tailnet_region_is_own(const struct tailnet *t, unsigned id);
/* The relay of that name, or NULL. */
struct tailnet_relay *tailnet_region_relay(const struct tailnet *t, const char *name);
/* How many relays are in it. */
unsigned tailnet_region_relays(const struct tailnet *t, unsigned id);

/* Hard changes; the result's id is the region's. */
/* id 0: the first free one from 1 on. Without a mesh key (all zero) it gets a new one. ERR_INVAL,
 * ERR_EXISTS (id or code), ERR_FULL. */
void tailnet_region_create(struct tailnet *t, const struct actor *by, const struct region *r,
	tailnet_done_fn *done, void *arg);
/* The whole record. ERR_NOTFOUND, ERR_DENIED (the configuration's), ERR_INVAL, ERR_EXISTS (code). */
void tailnet_region_set(struct tailnet *t, const struct actor *by, const struct region *r,
	tailnet_done_fn *done, void *arg);
/* ERR_NOTFOUND, ERR_DENIED, ERR_EXISTS: relays are in it. */
void tailnet_region_remove(struct tailnet *t, const struct actor *by, unsigned id, tailnet_done_fn *done,
	void *arg);

#endif
