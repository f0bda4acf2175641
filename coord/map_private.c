/* The private members of maps, and which of them a client lacks. */
#include "coord/map_private.h"

#include <string.h>

#include "coord/map_delta.h"
#include "coord/policy_ssh.h"

#define BITS_SELF ((uint32_t)(CHANGE_SELF | CHANGE_KEY))

void
map_private_sent_fini(struct map_sent *s)
{
	policy_bundle_drop(s->bundle);
	shbuf_drop(s->dns);
	shbuf_drop(s->health);
	*s = (struct map_sent){ .bundle = NULL };
}

static uint64_t
addresses_digest(const struct node *n)
{
	struct net_ip both[2] = { n->ip4, n->ip6 };

	return map_hash(both, sizeof(both));
}

/* The text that the node gets; one reference, or NULL: none is set. */
static struct shbuf *
dns_of(const struct map_world *w, const struct node *n)
{
	const struct shbuf *caps = n->map->class->bundle->caps;
	struct dns_node dn = dns_node_of(n, caps == NULL ? "" : (const char *)caps->bytes,
	    caps == NULL ? 0 : caps->len);
	struct buf b = { 0 };

	if (w->dns == NULL)
		return NULL;
	enum dns_variant variant = dns_variant_of(w->dns, &dn);
	if (variant != DNS_OWN)
		return shbuf_hold(w->dns_texts[variant]);
	dns_put(&b, w->dns, &dn);
	struct shbuf *own = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return own;
}

/* Takes what is new, and tells whether that is another text. */
static bool
text_take(struct shbuf **sent, struct shbuf *take)
{
	struct shbuf *old = *sent;
	bool is_other = !shbuf_eq(old, take);

	*sent = take;
	shbuf_drop(old);
	return is_other;
}

static void
put_dns(struct json_writer *jw, const struct map_sent *sent)
{
	if (sent->dns != NULL)
		json_w_raw(jw, "DNSConfig", sent->dns->bytes, sent->dns->len);
}

/* had: what the client has, but for the addresses; NULL: nothing. */
static void
put_filter(struct map_world *w, struct json_writer *jw, const struct node *n, struct policy_bundle *had,
	bool is_moved, struct map_segs *out)
{
	struct policy_bundle *now = n->map->class->bundle;
	struct policy_node pn = policy_node_of(n);

	json_w_raw(jw, "PacketFilters", "", 0);
	if (now->parts == NULL && (had == NULL || had->parts == NULL)) {
		buf_str(jw->b, "{\"base\":");
		map_filter_put(w, now->filter, &pn, out);
		buf_byte(jw->b, '}');
		return;
	}
	bool is_whole = had == NULL || is_moved || now->parts == NULL || had->parts == NULL;
	map_filter_put(w, map_filter_named(w, now, is_whole ? NULL : had, is_whole && had != NULL), &pn, out);
	buf_byte(jw->b, '}');
}

/* The frame of a text that many get; borrowed. */
static struct shbuf *
ssh_frame(struct map_world *w, struct shbuf *text)
{
	unsigned at = w->next_ssh_frame;

	for (unsigned i = 0; i < COUNT_OF(w->ssh_frames); i++)
		if (w->ssh_frames[i].text == text)
			return w->ssh_frames[i].frame;
	w->next_ssh_frame = (at + 1) % COUNT_OF(w->ssh_frames);
	shbuf_drop(w->ssh_frames[at].text);
	shbuf_drop(w->ssh_frames[at].frame);
	w->ssh_frames[at].text = shbuf_hold(text);
	return w->ssh_frames[at].frame = map_zstd_frame(w->zstd, text->bytes, text->len);
}

struct ssh_out {
	struct map_world *w;
	struct map_segs *out;
};

static void
push_ssh(void *arg, struct shbuf *text)
{
	struct ssh_out *o = arg;

	map_full_segs_add(o->out, map_world_frame(o->w));
	map_full_segs_add(o->out, shbuf_hold(ssh_frame(o->w, text)));
}

static void
put_ssh(struct map_world *w, struct json_writer *jw, const struct node *n, struct map_segs *out)
{
	struct ssh_out o = { w, out };

	json_w_raw(jw, "SSHPolicy", "", 0);
	policy_ssh_maker_put(policy_world_ssh(w->policy), jw->b, n->map->class, push_ssh, &o);
}

static void
put_health(struct json_writer *jw, const struct map_sent *sent)
{
	if (sent->health != NULL)
		json_w_raw(jw, "Health", sent->health->bytes, sent->health->len);
	else
		json_w_raw(jw, "Health", "[]", 2);
}

static void
bundle_note(struct map_sent *sent, const struct node *n)
{
	struct policy_bundle *old = sent->bundle;

	sent->bundle = policy_bundle_hold(n->map->class->bundle);
	policy_bundle_drop(old);
}

static struct shbuf *
health_of(const struct node *n)
{
	return n->map->health == NULL ? NULL : shbuf_hold(n->map->health);
}

void
map_private_full_put(struct map_world *w, struct json_writer *jw, const struct node *viewer,
	struct map_sent *sent, struct map_segs *out)
{
	map_world_ready(w);
	put_filter(w, jw, viewer, sent->bundle, true, out);
	bundle_note(sent, viewer);
	text_take(&sent->dns, dns_of(w, viewer));
	text_take(&sent->health, health_of(viewer));
	sent->addresses = addresses_digest(viewer);
	map_peer_self_put(jw, "Node", viewer->map, &w->own, viewer->key_expiry_unix_s);
	put_dns(jw, sent);
	put_ssh(w, jw, viewer, out);
	put_health(jw, sent);
}

/* Where the Node that the client has says otherwise. */
static bool
self_eq(const struct policy_bundle *a, const struct policy_bundle *b)
{
	return shbuf_eq(a->caps, b->caps) && a->is_ipv4_off == b->is_ipv4_off;
}

void
map_private_delta_put(struct map_world *w, struct json_writer *jw, const struct node *viewer,
	uint64_t from, uint32_t own, struct map_sent *sent, struct map_segs *out)
{
	const struct map_node *mn = viewer->map;

	map_world_ready(w);
	struct policy_bundle *now = mn->class->bundle, *had = sent->bundle;
	uint64_t addresses = own == 0 ? sent->addresses : addresses_digest(viewer);

	if ((own & BITS_SELF) || (now != had && !self_eq(now, had)))
		map_peer_self_put(jw, "Node", mn, &w->own, viewer->key_expiry_unix_s);
	if (addresses != sent->addresses || (now != had && !shbuf_eq(now->filter, had->filter)))
		put_filter(w, jw, viewer, had, addresses != sent->addresses, out);
	if (now != had && now->ssh != had->ssh)
		put_ssh(w, jw, viewer, out);
	if ((own != 0 || now != had || w->dns_seq > from) && text_take(&sent->dns, dns_of(w, viewer)))
		put_dns(jw, sent);
	if (mn->health != sent->health && text_take(&sent->health, health_of(viewer)))
		put_health(jw, sent);
	if (now != had)
		bundle_note(sent, viewer);
	sent->addresses = addresses;
}
