/* Regions and relays -> rows; their nodes as JSON. */
#include "coord/store_region.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"

/* X(name, SQL). ?1 is the tailnet. */
#define STATEMENT_TABLE(X) \
	X(REGION_ADD, "INSERT INTO regions (tailnet_id, id, code, name, mesh_key, nodes, created_unix_s)" \
	    " VALUES (?,?,?,?,?,?,?)") \
	X(REGION_SET, "UPDATE regions SET code = ?3, name = ?4, mesh_key = ?5, nodes = ?6," \
	    " created_unix_s = ?7 WHERE tailnet_id = ?1 AND id = ?2") \
	X(REGION_DEL, "DELETE FROM regions WHERE tailnet_id = ?1 AND id = ?2") \
	X(RELAY_ADD, "INSERT INTO relays (tailnet_id, name, id, secret_hash, region_id, node," \
	    " is_announced, version, created_unix_s, last_seen_unix_s) VALUES (?,?,?,?,?,?,?,?,?,?)") \
	X(RELAY_SET, "UPDATE relays SET id = ?3, secret_hash = ?4, region_id = ?5, node = ?6," \
	    " is_announced = ?7, version = ?8, created_unix_s = ?9, last_seen_unix_s = ?10" \
	    " WHERE tailnet_id = ?1 AND name = ?2") \
	X(RELAY_DEL, "DELETE FROM relays WHERE tailnet_id = ?1 AND name = ?2")

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

enum err
store_region_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

static enum err
put_region(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	bool is_add = m->kind == MUTATION_REGION_ADD;
	const struct region *r = m->u.region;
	struct buf nodes = { .len = 0 };
	struct json_writer w;
	enum err rc;

	json_w_init(&w, &nodes);
	region_nodes_put(r, NULL, &w);
	store_stmt_use_tailnet(s, is_add ? Q_REGION_ADD : Q_REGION_SET);
	store_stmt_int(s, r->id);
	store_stmt_text(s, r->code);
	store_stmt_text(s, r->name);
	store_stmt_bytes(s, r->mesh_key, KEY_BYTES);
	store_stmt_text(s, buf_cstr(&nodes));
	store_stmt_int(s, r->created_unix_s);
	rc = is_add ? store_stmt_run(s, why) : store_stmt_run_one(s, "region", why);
	buf_fini(&nodes);
	return rc;
}

static enum err
put_relay(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	bool is_add = m->kind == MUTATION_RELAY_ADD;
	const struct region_relay *r = m->u.relay;
	struct buf node = { .len = 0 };
	struct json_writer w;
	enum err rc;

	json_w_init(&w, &node);
	if (r->node.host[0] != '\0')
		region_node_put(&r->node, NULL, &w);
	else
		buf_str(&node, "{}");
	store_stmt_use_tailnet(s, is_add ? Q_RELAY_ADD : Q_RELAY_SET);
	store_stmt_text(s, r->name);
	store_stmt_text(s, r->id);
	store_stmt_bytes(s, r->secret_hash, SECRET_HASH_BYTES);
	store_stmt_int(s, r->region_id);
	store_stmt_text(s, buf_cstr(&node));
	store_stmt_int(s, r->is_announced);
	store_stmt_text(s, r->version);
	store_stmt_int(s, r->created_unix_s);
	store_stmt_int(s, r->last_seen_unix_s);
	rc = is_add ? store_stmt_run(s, why) : store_stmt_run_one(s, "relay", why);
	buf_fini(&node);
	return rc;
}

enum err
store_region_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	switch (m->kind) {
	case MUTATION_REGION_ADD:
	case MUTATION_REGION_SET:
		return put_region(s, m, why);
	case MUTATION_RELAY_ADD:
	case MUTATION_RELAY_SET:
		return put_relay(s, m, why);
	case MUTATION_REGION_DEL:
		store_stmt_use_tailnet(s, Q_REGION_DEL);
		store_stmt_int(s, m->u.region->id);
		return store_stmt_run_one(s, "region", why);
	default:
		store_stmt_use_tailnet(s, Q_RELAY_DEL);
		store_stmt_text(s, m->u.relay->name);
		return store_stmt_run_one(s, "relay", why);
	}
}

void
store_region_nodes_parse(const char *text, struct region *r)
{
	struct err_text why = { "" };
	json_t *v = NULL;

	if (json_parse(text, strlen(text), &v, &why) != ERR_OK || region_nodes_parse(v, r, &why) != ERR_OK)
		log_warn(LOG_STORE, "stored nodes of a region cannot be read: left out", "region", r->code,
		    "err", why.s);
	json_decref(v);
}

void
store_region_node_parse(const char *text, struct region_relay *r)
{
	struct err_text why = { "" };
	json_t *v = NULL;

	if (strcmp(text, "{}") != 0 && (json_parse(text, strlen(text), &v, &why) != ERR_OK ||
	    region_node_parse(v, &r->node, &why) != ERR_OK))
		log_warn(LOG_STORE, "stored node of a relay cannot be read: until it comes again", "relay",
		    r->name, "err", why.s);
	json_decref(v);
}
