/* libyaml's document -> jansson -> regions. JSON is YAML too. */
#include "server/regions_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/buf.h"

#define FILE_MAX	(1u << 20)
#define PARTS_MAX	20000u
#define NAME_MAX_BYTES	64

/* --- YAML ------------------------------------------------------------------------------------- */

/* A scalar that is not quoted may be a number or a truth value. */
static json_t *
scalar(const yaml_node_t *node)
{
	const char *s = (const char *)node->data.scalar.value;
	char *end;

	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (strcasecmp(s, "true") == 0 || strcasecmp(s, "false") == 0)
			return json_boolean(strcasecmp(s, "true") == 0);
		if (s[0] == '\0' || strcmp(s, "~") == 0 || strcasecmp(s, "null") == 0)
			return json_null();
		errno = 0;
		long long v = strtoll(s, &end, 10);
		if (*end == '\0' && errno == 0)
			return json_integer(v);
	}
	return json_stringn(s, node->data.scalar.length);
}

/* A member's name in lower case. false: it is none. */
static bool
name_take(const yaml_node_t *key, char out[NAME_MAX_BYTES])
{
	size_t n;

	if (key == NULL || key->type != YAML_SCALAR_NODE || key->data.scalar.length >= NAME_MAX_BYTES)
		return false;
	n = key->data.scalar.length;
	for (size_t i = 0; i < n; i++) {
		char c = (char)key->data.scalar.value[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	out[n] = '\0';
	return true;
}

/* NULL: not of a form that JSON has, or of too many parts. */
static json_t *
convert(yaml_document_t *doc, int at, unsigned *budget)
{
	const yaml_node_t *node = yaml_document_get_node(doc, at);
	const yaml_node_pair_t *p;
	const yaml_node_item_t *i;
	json_t *out, *v = NULL;
	char name[NAME_MAX_BYTES];

	/* Aliases make a tree of what is small in the file, or a ring. */
	if (node == NULL || *budget == 0)
		return NULL;
	--*budget;
	if (node->type == YAML_SCALAR_NODE)
		return scalar(node);
	if (node->type == YAML_SEQUENCE_NODE) {
		out = json_array();
		for (i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
			if ((v = convert(doc, *i, budget)) == NULL || json_array_append_new(out, v) != 0)
				goto fail;
		return out;
	}
	out = json_object();
	for (p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++)
		if (!name_take(yaml_document_get_node(doc, p->key), name) ||
		    (v = convert(doc, p->value, budget)) == NULL || json_object_set_new(out, name, v) != 0)
			goto fail;
	return out;
fail:
	json_decref(out);
	return NULL;
}

static enum err
yaml_read(const char *name, const void *text, size_t n, json_t **out, struct err_text *why)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	unsigned budget = PARTS_MAX;
	enum err rc;

	ASSERT(yaml_parser_initialize(&parser) == 1);
	yaml_parser_set_input_string(&parser, text, n);
	if (yaml_parser_load(&parser, &doc) != 1) {
		rc = err_say(why, ERR_INVAL, "%s is no YAML: line %zu: %s", name, parser.problem_mark.line + 1,
		    parser.problem != NULL ? parser.problem : "?");
		yaml_parser_delete(&parser);
		return rc;
	}
	*out = yaml_document_get_root_node(&doc) == NULL ? NULL : convert(&doc, 1, &budget);
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	if (*out != NULL)
		return ERR_OK;
	return err_say(why, ERR_INVAL, "%s holds no regions", name);
}

/* --- regions ---------------------------------------------------------------------------------- */

/* A node in our form. */
static enum err
node_read(const json_t *v, struct region_node *out, struct err_text *why)
{
	static const struct { const char *theirs, *ours; } names[] = {
		{ "name", "name" }, { "hostname", "hostname" }, { "ipv4", "ipv4" }, { "ipv6", "ipv6" },
		{ "derpport", "derpPort" }, { "stunport", "stunPort" }, { "certname", "certName" },
		{ "canport80", "canPort80" },
	};
	json_t *ours = json_object();
	enum err rc;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		json_t *member = json_object_get(v, names[i].theirs);

		/* 0 stands for the usual port there. */
		if (member != NULL && !json_is_null(member) &&
		    !(json_is_integer(member) && json_integer_value(member) == 0))
			json_object_set(ours, names[i].ours, member);
	}
	if (json_is_true(json_object_get(v, "stunonly")))
		rc = err_say(why, ERR_UNSUPPORTED, "a node with stunonly is no relay: leave it out");
	else if (json_is_true(json_object_get(v, "insecurefortests")))
		rc = err_say(why, ERR_UNSUPPORTED, "insecurefortests is not taken: give certname, "
		    "sha256-raw:…");
	else
		rc = region_node_parse(ours, out, why);
	json_decref(ours);
	return rc;
}

static enum err
region_read(const char *key, const json_t *v, struct region *r, struct err_text *why)
{
	const json_t *nodes = json_object_get(v, "nodes"), *node;
	enum err rc = ERR_OK;
	size_t i;

	r->id = (unsigned)json_get_int(v, "regionid", strtol(key, NULL, 10));
	snprintf(r->code, sizeof(r->code), "%s", json_get_str(v, "regioncode", ""));
	snprintf(r->name, sizeof(r->name), "%s", json_get_str(v, "regionname", r->code));
	json_array_foreach(nodes, i, node) {
		if (r->n_nodes == REGION_NODES_MAX)
			return err_say(why, ERR_LIMIT, "a region has at most %d nodes", REGION_NODES_MAX);
		if ((rc = node_read(node, &r->nodes[r->n_nodes], why)) != ERR_OK)
			return rc;
		if (r->nodes[r->n_nodes].name[0] == '\0')
			snprintf(r->nodes[r->n_nodes].name, REGION_RELAY_NAME_MAX, "%u%c", r->id,
			    (char)('a' + i));
		r->n_nodes++;
	}
	return region_check(r, why);
}

enum err
regions_file_parse(const char *name, const void *text, size_t n_text, struct region ***out, unsigned *n,
	struct err_text *why)
{
	struct err_text inner = { "" };
	json_t *root = NULL, *v;
	const char *key;
	enum err rc = yaml_read(name, text, n_text, &root, why);

	if (rc == ERR_OK && !json_is_object(json_object_get(root, "regions")))
		rc = err_say(why, ERR_INVAL, "%s has no \"regions\"", name);
	json_object_foreach(json_object_get(root, "regions"), key, v) {
		struct region *r;

		if (rc != ERR_OK || json_is_null(v))
			continue;
		r = obj_alloc(sizeof(*r));
		if ((rc = region_read(key, v, r, &inner)) != ERR_OK) {
			err_say(why, rc, "%s: region %.20s: %.220s", name, key, inner.s);
			free(r);
			continue;
		}
		for (unsigned i = 0; rc == ERR_OK && i < *n; i++)
			if ((*out)[i]->id == r->id || strcmp((*out)[i]->code, r->code) == 0)
				rc = err_say(why, ERR_INVAL, "%s: there are two regions %u or %s", name, r->id,
				    r->code);
		*out = obj_realloc(*out, (*n + 1) * sizeof(**out));
		(*out)[(*n)++] = r;
	}
	json_decref(root);
	return rc;
}

static enum err
file_read(const char *path, struct buf *b, struct err_text *why)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return err_say(why, ERR_IO, "derp.paths: cannot read %s: %s", path, strerror(errno));
	while ((n = fread(buf_reserve(b, 65536), 1, 65536, f)) > 0 && b->len <= FILE_MAX)
		b->len += n;
	bool is_bad = ferror(f) != 0;
	fclose(f);
	if (is_bad || b->len > FILE_MAX)
		return err_say(why, ERR_IO, "derp.paths: cannot read %s, or it is longer than %u bytes", path,
		    FILE_MAX);
	return ERR_OK;
}

enum err
regions_file_load(const struct config_list *paths, struct region ***out, unsigned *n, struct err_text *why)
{
	enum err rc = ERR_OK;

	*out = NULL;
	*n = 0;
	for (unsigned i = 0; rc == ERR_OK && i < paths->n; i++) {
		struct buf b = { .len = 0 };

		if ((rc = file_read(paths->items[i], &b, why)) == ERR_OK)
			rc = regions_file_parse(paths->items[i], b.p, b.len, out, n, why);
		buf_fini(&b);
	}
	if (rc == ERR_OK)
		return ERR_OK;
	for (unsigned i = 0; i < *n; i++)
		free((*out)[i]);
	free(*out);
	*out = NULL;
	*n = 0;
	return rc;
}
