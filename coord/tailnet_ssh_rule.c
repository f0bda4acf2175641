/* What the policy in force says of an SSH check. */
#include "coord/change.h"
#include "coord/policy_ssh.h"
#include "coord/tailnet_ssh.h"

enum err
tailnet_ssh_rule(struct tailnet *t, const struct ssh_who *who, const struct policy_ssh **out)
{
	const struct policy_world *w = change_policy_world(t);
	const struct policy_ssh *rule;

	if (policy_world_node(w, who->src_id) == NULL || policy_world_node(w, who->dst_id) == NULL)
		return ERR_AGAIN;
	if ((rule = policy_ssh_check_rule(w, who->src_id, who->dst_id, who->user)) == NULL)
		return ERR_DENIED;
	*out = rule;
	return ERR_OK;
}
