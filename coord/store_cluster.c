/* Clusters -> rows. Ranges are texts, "" for none; lan is several with commas between. */
#include "coord/store_cluster.h"

#include <string.h>

#include "base/log.h"

/* X(name, SQL). ?1 is the tailnet. */
#define STATEMENT_TABLE(X) \
	X(ADD, "INSERT INTO clusters (tailnet_id, name, tag, pod4, pod6, service4, service6, lan, key_id," \
	    " created_unix_s) VALUES (?,?,?,?,?,?,?,?,?,?)") \
	X(SET, "UPDATE clusters SET tag = ?3, pod4 = ?4, pod6 = ?5, service4 = ?6, service6 = ?7, lan = ?8," \
	    " key_id = ?9, created_unix_s = ?10 WHERE tailnet_id = ?1 AND name = ?2") \
	X(DEL, "DELETE FROM clusters WHERE tailnet_id = ?1 AND name = ?2")

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

enum err
store_cluster_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

static enum err
put_whole(struct store_stmt *s, enum statement which, const struct cluster *c, struct err_text *why)
{
	char ranges[CLUSTER_RANGES][NET_TEXT_MAX];
	const struct net_prefix *lan[CLUSTER_LAN_MAX];
	struct buf text = { .len = 0 };
	enum err rc;

	for (unsigned i = 0; i < c->n_lan; i++)
		lan[i] = &c->lan[i];
	cluster_prefixes_put(&text, lan, c->n_lan);
	store_stmt_use_tailnet(s, which);
	store_stmt_text(s, c->name);
	store_stmt_text(s, c->tag);
	for (int r = 0; r < CLUSTER_RANGES; r++)
		store_stmt_text(s, c->range[r].ip.family == 0 ? "" : net_prefix_put(&c->range[r], ranges[r]));
	store_stmt_text(s, buf_cstr(&text));
	store_stmt_text(s, c->key_id);
	store_stmt_int(s, c->created_unix_s);
	rc = which == Q_ADD ? store_stmt_run(s, why) : store_stmt_run_one(s, "cluster", why);
	buf_fini(&text);
	return rc;
}

enum err
store_cluster_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	if (m->kind != MUTATION_CLUSTER_DEL)
		return put_whole(s, m->kind == MUTATION_CLUSTER_ADD ? Q_ADD : Q_SET, &m->u.cluster, why);
	store_stmt_use_tailnet(s, Q_DEL);
	store_stmt_text(s, m->u.cluster.name);
	return store_stmt_run_one(s, "cluster", why);
}

void
store_cluster_lan_parse(const char *text, struct cluster *c)
{
	for (size_t n; *text != '\0' && c->n_lan < CLUSTER_LAN_MAX; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		if (net_prefix_parse(text, n, &c->lan[c->n_lan]) == ERR_OK)
			c->n_lan++;
		else
			log_warn(LOG_STORE, "stored prefix is none", "prefix", text);
	}
}
