/*
 * RegisterRequest and RegisterResponse (tailcfg). Member names are matched exactly, as clients
 * write them; absent and null mean the zero value, members not named here are ignored. Version is 1
 * from some clients: nothing is decided by it.
 */
#include "coord/msg_register.h"

#include <string.h>

#include "base/json.h"

#define SECRET_BYTES_MAX	1024	/* auth keys have some 70 characters */
#define FOLLOWUP_BYTES_MAX	2048

static enum err
take_key(const json_t *obj, const char *name, struct node_key *out, struct err_text *why)
{
	const json_t *v = json_get(obj, name);

	if (v == NULL)
		return ERR_OK;
	if (!json_is_string(v) ||
	    node_key_parse(json_string_value(v), json_string_length(v), out) != ERR_OK)
		return err_say(why, ERR_INVAL, "%s: no node key", name);
	return ERR_OK;
}

/* A text of at most max bytes; *out stays NULL when it is absent or empty. */
static enum err
take_text(const json_t *obj, const char *name, size_t max, char **out, struct err_text *why)
{
	const json_t *v = json_get(obj, name);

	if (v == NULL)
		return ERR_OK;
	if (!json_is_string(v))
		return err_say(why, ERR_INVAL, "%s: not a string", name);
	if (json_string_length(v) > max)
		return err_say(why, ERR_LIMIT, "%s: longer than %zu bytes", name, max);
	if (json_string_length(v) > 0)
		*out = obj_strdup(json_string_value(v));
	return ERR_OK;
}

static enum err
take_auth(const json_t *obj, struct register_req *r, struct err_text *why)
{
	const json_t *v = json_get(obj, "Auth");

	if (v == NULL)
		return ERR_OK;
	if (!json_is_object(v))
		return err_say(why, ERR_INVAL, "Auth: not an object");
	return take_text(v, "AuthKey", SECRET_BYTES_MAX, &r->auth_key, why);
}

static enum err
take_rest(const json_t *obj, struct register_req *r, struct err_text *why)
{
	int64_t version = json_get_int(obj, "Version", 0);
	enum err rc;

	if (json_get_time(obj, "Expiry", &r->expiry_unix_s) != ERR_OK)
		return err_say(why, ERR_INVAL, "Expiry: no RFC 3339 time");
	r->has_expiry = r->expiry_unix_s != 0;
	if ((rc = json_get_flag(obj, "Ephemeral", &r->is_ephemeral, why)) != ERR_OK)
		return rc;
	r->version = version < 0 || version > UINT16_MAX ? 0 : (uint32_t)version;
	return hostinfo_from_json(json_object_get(obj, "Hostinfo"), &r->host, why);
}

static enum err
take_all(const json_t *obj, struct register_req *r, struct err_text *why)
{
	enum err rc;

	if (!json_is_object(obj))
		return err_say(why, ERR_INVAL, "the register request is no JSON object");
	if ((rc = take_key(obj, "NodeKey", &r->node_key, why)) != ERR_OK ||
	    (rc = take_key(obj, "OldNodeKey", &r->old_node_key, why)) != ERR_OK ||
	    (rc = take_auth(obj, r, why)) != ERR_OK ||
	    (rc = take_text(obj, "Followup", FOLLOWUP_BYTES_MAX, &r->followup, why)) != ERR_OK)
		return rc;
	if (node_key_is_zero(&r->node_key))
		return err_say(why, ERR_INVAL, "NodeKey: missing, or the zero key");
	return take_rest(obj, r, why);
}

static void
wipe(const char *s)
{
	if (s != NULL)
		explicit_bzero((char *)(uintptr_t)s, strlen(s));
}

enum err
msg_register_parse(const void *p, size_t n, struct register_req **out, struct err_text *why)
{
	struct register_req *r = NULL;
	json_t *obj = NULL;
	enum err rc = json_parse(p, n, &obj, why);

	if (rc != ERR_OK)
		return rc;
	r = obj_alloc(sizeof *r);
	rc = take_all(obj, r, why);
	/* The parser's copy of the secret; nobody else has this object. */
	wipe(json_string_value(json_object_get(json_object_get(obj, "Auth"), "AuthKey")));
	json_decref(obj);
	if (rc == ERR_OK)
		*out = r;
	else
		msg_register_free(r);
	return rc;
}

void
msg_register_free(struct register_req *r)
{
	if (r == NULL)
		return;
	wipe(r->auth_key);
	free(r->auth_key);
	free(r->followup);
	hostinfo_drop(r->host);
	free(r);
}

struct shbuf *
msg_register_put(const struct register_resp *r)
{
	struct buf b = { 0 };
	struct json_writer w;
	struct shbuf *s;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	if (r->login_name != NULL && r->display_name != NULL) {
		json_w_obj_open(&w, "User");
		json_w_int(&w, "ID", r->user_id);
		json_w_str(&w, "DisplayName", r->display_name);
		json_w_obj_close(&w);
		json_w_obj_open(&w, "Login");
		json_w_int(&w, "ID", r->login_id);
		json_w_str(&w, "Provider", "");
		json_w_str(&w, "LoginName", r->login_name);
		json_w_str(&w, "DisplayName", r->display_name);
		json_w_obj_close(&w);
	}
	json_w_bool(&w, "NodeKeyExpired", r->node_key_expired);
	json_w_bool(&w, "MachineAuthorized", r->machine_authorized);
	json_w_str(&w, "AuthURL", r->auth_url);
	json_w_null(&w, "NodeKeySignature");
	json_w_str(&w, "Error", r->error);
	json_w_obj_close(&w);
	s = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return s;
}
