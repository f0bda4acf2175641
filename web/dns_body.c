/* Forms of DNS settings. */
#include "web/dns_body.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "web/flapi.h"

#define COMMENT_MAX	256

json_t *
dns_body_resolvers(const struct dns_resolvers *r, bool are_objects)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < r->n; i++)
		json_array_append_new(out, !are_objects ? json_string(r->v[i].addr) :
		    json_pack("{s:s, s:b}", "address", r->v[i].addr, "useWithExitNode",
		    r->v[i].use_with_exit_node));
	return out;
}

json_t *
dns_body_split(const struct dns_params *p, bool are_objects)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < p->n_split; i++)
		json_object_set_new(out, p->split[i].domain,
		    dns_body_resolvers(&p->split[i].to, are_objects));
	return out;
}

json_t *
dns_body_texts(char *const *list, unsigned n)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(out, json_string(list[i]));
	return out;
}

json_t *
dns_body_resolvers_read(const json_t *list)
{
	json_t *out, *v;
	size_t i;

	if (list == NULL || json_is_null(list))
		return json_array();
	if (!json_is_array(list))
		return json_deep_copy(list);
	out = json_array();
	json_array_foreach(list, i, v) {
		if (json_is_string(v))
			json_array_append_new(out, json_pack("{s:O, s:b}", "address", v, "useWithExitNode", 0));
		else
			json_array_append_new(out, json_deep_copy(v));
	}
	return out;
}

json_t *
dns_body_split_read(const json_t *split)
{
	json_t *out, *list;
	const char *domain;

	if (split == NULL || json_is_null(split))
		return json_object();
	if (!json_is_object(split))
		return json_deep_copy(split);
	out = json_object();
	json_object_foreach((json_t *)(uintptr_t)split, domain, list) {
		char *name;
		size_t n;

		if (json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
			continue;
		name = obj_strdup(domain);
		n = strlen(name);
		for (size_t i = 0; i < n; i++)
			name[i] = (char)tolower((unsigned char)name[i]);
		if (n > 1 && name[n - 1] == '.')
			name[n - 1] = 0;
		json_object_set_new(out, name, dns_body_resolvers_read(list));
		free(name);
	}
	return out;
}

json_t *
dns_body_texts_read(const json_t *list)
{
	return list == NULL || json_is_null(list) ? json_array() : json_deep_copy(list);
}

json_t *
dns_body_spec(const struct tailnet *t)
{
	return json_deep_copy(tailnet_dns_spec(t));
}

void
dns_body_reply_take(struct http_req *q, json_t *v)
{
	struct buf b = { .len = 0 };

	json_dump_to(&b, v);
	json_decref(v);
	http_reply_json_take(q, 200, &b);
}

json_t *
dns_body_records(const struct tailnet *t)
{
	static const char *const words[] = {
		[DNS_OF_CONFIG] = "config", [DNS_OF_FILE] = "file", [DNS_OF_API] = "api",
	};
	const json_t *own = json_object_get(tailnet_dns_spec(t), "records");
	const struct dns_wanted *list;
	json_t *out = json_array();
	size_t at = 0;
	unsigned n;

	list = tailnet_dns_records(t, &n);
	for (unsigned i = 0; i < n; i++) {
		const struct dns_wanted *d = &list[i];
		json_t *v = json_pack("{s:s, s:s, s:s, s:s}", "name", d->r.name, "type", d->r.type, "value",
		    d->r.value, "source", words[d->origin]);

		if (v == NULL)
			continue;	/* bytes that are no UTF-8 */
		if (d->origin == DNS_OF_API) {
			const json_t *kept = json_array_get(own, at++);

			json_object_set_new(v, "id", json_string(json_get_str(kept, "id", "")));
			json_object_set_new(v, "comment", json_string(json_get_str(kept, "comment", "")));
		}
		if (d->problem[0] != 0)
			json_object_set_new(v, "problem", json_string(d->problem));
		json_array_append_new(out, v);
	}
	return out;
}

void
dns_body_records_list(struct http_req *q)
{
	dns_body_reply_take(q, json_pack("{s:o}", "records", dns_body_records(flapi_tailnet(q))));
}

/* Is it a node's own name? */
static bool
is_of_node(const struct tailnet *t, const char *name)
{
	const char *base = t->dns->base_domain;
	size_t n = strlen(name), nb = strlen(base);
	char label[64] = "";

	if (nb == 0 || n <= nb + 1 || n - nb - 1 >= sizeof(label) || name[n - nb - 1] != '.' ||
	    strcmp(name + n - nb, base) != 0)
		return false;
	snprintf(label, sizeof(label), "%.*s", (int)(n - nb - 1), name);
	return map_find(&t->nodes_by_name, label) != NULL;
}

/* The body as a record that is kept under the id, or NULL: answered. */
static json_t *
record_read(struct http_req *q, const char *id)
{
	const json_t *body = q->json, *own;
	const char *comment = json_get_str(body, "comment", "");
	struct dns_record r;
	struct err_text why = { "" };
	json_t *out, *v;
	size_t i;

	if (dns_record_make(json_get_str(body, "name", ""), json_get_str(body, "type", ""),
	    json_get_str(body, "value", ""), &r, &why) != ERR_OK) {
		http_reply_err(q, ERR_INVAL, &why);
		return NULL;
	}
	out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "name", r.name, "type", r.type, "value",
	    r.value, "comment", comment);
	dns_record_fini(&r);
	if (out == NULL || strlen(comment) > COMMENT_MAX) {
		json_decref(out);
		http_reply_error(q, 400, "comment is a text of at most %d characters", COMMENT_MAX);
		return NULL;
	}
	own = json_object_get(tailnet_dns_spec(flapi_tailnet(q)), "records");
	json_array_foreach(own, i, v) {
		bool is_same = strcmp(json_get_str(v, "id", ""), id) != 0 &&
		    json_equal(json_object_get(v, "name"), json_object_get(out, "name")) &&
		    json_equal(json_object_get(v, "type"), json_object_get(out, "type")) &&
		    json_equal(json_object_get(v, "value"), json_object_get(out, "value"));

		if (!is_same)
			continue;
		http_reply_error(q, 409, "this record is there already (id %s)", json_get_str(v, "id", ""));
		json_decref(out);
		return NULL;
	}
	if (is_of_node(flapi_tailnet(q), json_get_str(out, "name", ""))) {
		http_reply_error(q, 409, "%.200s is the name of a node", json_get_str(out, "name", ""));
		json_decref(out);
		return NULL;
	}
	return out;
}

/* Index among the own ones; their number: none, answered 404. */
static size_t
record_find(struct http_req *q, const json_t *own, const char *id)
{
	size_t i = 0, n = json_array_size(own);

	while (i < n && strcmp(json_get_str(json_array_get(own, i), "id", ""), id) != 0)
		i++;
	if (i == n)
		http_reply_error(q, 404, "there is no record %.40s that the API made", id);
	return i;
}

/* The change under way: what is answered when it is made. */
struct record_change {
	struct http_req *q;
	json_t *answer;			/* owned */
};

static void
on_record(void *arg, const struct tailnet_result *res)
{
	struct record_change c = *(struct record_change *)arg;

	free(arg);
	if (res->rc == ERR_OK) {
		dns_body_reply_take(c.q, c.answer);
		return;
	}
	json_decref(c.answer);
	http_reply_err(c.q, res->rc, &res->why);
}

/* Both are taken. */
static void
record_set(struct http_req *q, json_t *spec_taken, json_t *answer_taken)
{
	struct record_change *c = obj_alloc(sizeof(*c));

	*c = (struct record_change){ .q = q, .answer = answer_taken };
	tailnet_dns_set(flapi_tailnet(q), &q->who.actor, spec_taken, on_record, c);
}

void
dns_body_records_make(struct http_req *q)
{
	json_t *spec = dns_body_spec(flapi_tailnet(q)), *record, *own;
	int64_t id = json_get_int(spec, "lastRecord", 0) + 1;
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)id);
	if ((record = record_read(q, text)) == NULL) {
		json_decref(spec);
		return;
	}
	json_object_set_new(spec, "lastRecord", json_integer(id));	/* no id comes again */
	if ((own = json_object_get(spec, "records")) == NULL)
		json_object_set_new(spec, "records", own = json_array());
	json_array_append(own, record);
	record_set(q, spec, record);
}

void
dns_body_records_replace(struct http_req *q, const char *id)
{
	json_t *spec = dns_body_spec(flapi_tailnet(q)), *record = NULL;
	json_t *own = json_object_get(spec, "records");
	size_t at = record_find(q, own, id);

	if (at < json_array_size(own) && (record = record_read(q, id)) != NULL) {
		json_array_set(own, at, record);
		record_set(q, spec, record);
		return;
	}
	json_decref(spec);
}

void
dns_body_records_remove(struct http_req *q, const char *id)
{
	json_t *spec = dns_body_spec(flapi_tailnet(q));
	json_t *own = json_object_get(spec, "records");
	size_t at = record_find(q, own, id);

	if (at == json_array_size(own)) {
		json_decref(spec);
		return;
	}
	json_array_remove(own, at);
	record_set(q, spec, json_object());
}
