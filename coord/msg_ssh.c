/*
 * SSH checks: requests and answers. An answer (tailcfg/tailcfg.go, SSHAction) is one of
 *
 *   {"message":"…","accept":true,"allowAgentForwarding":true,"allowLocalPortForwarding":true,
 *    "allowRemotePortForwarding":true}                      as rules that accept say it
 *   {"message":"…","reject":true}
 *   {"message":"…","holdAndDelegate":"https://…/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER&check=…"}
 *
 * The client fills in the variables of the last one again. A message's lines end with CR LF (RFC 4252, 5.4).
 */
#include "coord/msg_ssh.h"

#include <string.h>

#include "base/json.h"
#include "base/percent.h"

#define PATH	"/machine/ssh/action/"
#define ID_DIGITS_MAX 16	/* ids are below 2^53 */

/* Decimal digits at *p, which is behind them then; 0: none, or too many. */
static int64_t
id_take(const char **p)
{
	int64_t id = 0;
	size_t n = strspn(*p, "0123456789");

	if (n == 0 || n > ID_DIGITS_MAX)
		return 0;
	for (; n > 0; n--)
		id = 10 * id + *(*p)++ - '0';
	return id;
}

/* n bytes of a query's value, decoded, into out of max bytes, zero-padded. Only printable ASCII. */
static enum err
value_take(const char *p, size_t n, char *out, size_t max)
{
	const char *end = p + n;
	size_t len = 0;

	memset(out, 0, max);
	while (p < end) {
		uint8_t c = ' ';

		if (*p == '+')
			p++;
		else if (percent_take(&p, end, &c) != ERR_OK)
			return ERR_INVAL;
		if (c < 0x20 || c > 0x7e || len + 1 >= max)
			return ERR_INVAL;
		out[len++] = (char)c;
	}
	return ERR_OK;
}

static enum err
query_take(const char *p, struct ssh_req *r)
{
	enum err rc = ERR_OK;

	while (*p != '\0' && rc == ERR_OK) {
		size_t n = strcspn(p, "&");
		const char *equals = memchr(p, '=', n);
		size_t n_name = equals == NULL ? n : (size_t)(equals - p);
		const char *value = equals == NULL ? p + n : equals + 1;
		size_t n_value = (size_t)(p + n - value);

		if (n_name == 10 && memcmp(p, "local_user", 10) == 0)
			rc = value_take(value, n_value, r->who.user, sizeof(r->who.user));
		else if (n_name == 5 && memcmp(p, "check", 5) == 0 &&
		    value_take(value, n_value, r->check, sizeof(r->check)) != ERR_OK)
			memset(r->check, 0, sizeof(r->check));	/* one that nobody knows */
		p += n + (p[n] == '&');
	}
	return rc;
}

enum err
msg_ssh_parse(const char *target, struct ssh_req *out, struct err_text *why)
{
	struct ssh_req r = { .check = "" };
	const char *p = target;

	if (strncmp(p, PATH, sizeof(PATH) - 1) != 0)
		goto bad;
	p += sizeof(PATH) - 1;
	if ((r.who.src_id = id_take(&p)) == 0 || strncmp(p, "/to/", 4) != 0)
		goto bad;
	p += 4;
	if ((r.who.dst_id = id_take(&p)) == 0 || (*p != '?' && *p != '\0'))
		goto bad;
	if (*p == '?' && query_take(p + 1, &r) != ERR_OK)
		return err_say(why, ERR_INVAL, "the local user's name is not one that this server knows how "
		    "to show: at most %d characters of printable ASCII", SSH_USER_MAX - 1);
	if (r.who.user[0] == '\0')
		return err_say(why, ERR_INVAL, "the local user is missing");
	*out = r;
	return ERR_OK;
bad:
	return err_say(why, ERR_INVAL, "this is not a path of SSH checks");
}

static void
put_url(struct json_writer *w, const struct ssh_action *a)
{
	struct buf url = { 0 };

	buf_str(&url, a->server_url);
	buf_str(&url, PATH "$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER");
	if (a->check != NULL)
		buf_printf(&url, "&check=%s", a->check);
	json_w_str(w, "holdAndDelegate", buf_cstr(&url));
	buf_fini(&url);
}

struct shbuf *
msg_ssh_put(const struct ssh_action *a)
{
	struct buf b = { 0 };
	struct json_writer w;
	struct shbuf *text;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	if (a->message != NULL)
		json_w_str(&w, "message", a->message);
	if (a->is_reject) {
		json_w_bool(&w, "reject", true);
	} else if (a->is_accept) {
		json_w_bool(&w, "accept", true);
		json_w_bool(&w, "allowAgentForwarding", true);
		json_w_bool(&w, "allowLocalPortForwarding", true);
		json_w_bool(&w, "allowRemotePortForwarding", true);
	} else {
		put_url(&w, a);
	}
	json_w_obj_close(&w);
	text = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return text;
}
