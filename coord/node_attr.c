/*
 * Every node may share files, be administered and run ssh: what it really may is the policy's
 * affair. A tagged node is a server: it keeps its last map on disk, so that after a reboot it
 * knows its peers even while the control plane cannot be reached (clients from capability version
 * 135 on; disable-cache-network-maps of a policy goes before it).
 */
#include "coord/node_attr.h"

unsigned
node_attr_defaults(const struct node *n, const struct node_attr_params *p, const char *out[NODE_ATTR_MAX])
{
	unsigned count = 0;

	out[count++] = "https://tailscale.com/cap/file-sharing";
	out[count++] = "https://tailscale.com/cap/is-admin";
	out[count++] = "https://tailscale.com/cap/ssh";
	if (n->n_tags > 0)
		out[count++] = "cache-network-maps";
	if (p->disables_cgnat_drop_rule)
		out[count++] = "disable-linux-cgnat-drop-rule";
	return count;
}
