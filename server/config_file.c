/*
 * YAML by libcyaml. It has no line numbers for values, and those of its errors point at the
 * enclosing mapping. Both are found by loading ever longer beginnings of the file: the first one
 * that shows the value, or the same error, ends with the line in question.
 */
#include "server/config_file.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "server/suggest.h"

#define FILE_MAX_BYTES	(64u << 10)	/* bounds the search for a line, which is quadratic */
#define SECTIONS_MAX	12

struct value {
	char *text;
	const char **items;
	unsigned n;
};

/* What libcyaml fills: the top level, or one section, of which only its own settings are used. */
struct tree {
	struct value v[CONFIG_SETTINGS_MAX];
	struct tree *sections[SECTIONS_MAX];
};

struct config_file {
	char *path;
	struct buf bytes;
	struct tree *tree;		/* NULL: an empty file */
	bool is_empty_list[CONFIG_SETTINGS_MAX];	/* "key: []": libcyaml shows it as absent */
};

struct load {
	cyaml_err_t err;
	char message[160];		/* first error line of libcyaml */
	char field[64];			/* innermost mapping field around it */
	struct tree *tree;		/* on success; NULL: nothing in it */
};

static const cyaml_schema_value_t item_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

/* Made once from the table: fields of the top level [0], and of each section. */
static cyaml_schema_field_t fields[SECTIONS_MAX + 1][CONFIG_SETTINGS_MAX + SECTIONS_MAX + 1];
static cyaml_schema_field_t *field_of[CONFIG_SETTINGS_MAX];	/* of each setting */
static unsigned n_fields[SECTIONS_MAX + 1];
static const char *section_names[SECTIONS_MAX];
static unsigned n_sections;
static const cyaml_schema_value_t top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct tree, fields[0]),
};

/* Number of the section, made when it is new. */
static unsigned
section_of(const char *name)
{
	unsigned i = 0;

	while (i < n_sections && strcmp(section_names[i], name) != 0)
		i++;
	if (i < n_sections)
		return i;
	ASSERT(n_sections < SECTIONS_MAX);
	section_names[n_sections++] = name;
	fields[0][n_fields[0]++] = (cyaml_schema_field_t){
		.key = name,
		.data_offset = (uint32_t)(offsetof(struct tree, sections) + i * sizeof(struct tree *)),
		.value = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL,
		    struct tree, fields[i + 1]) },
	};
	return i;
}

static void
schema_make(void)
{
	if (n_fields[0] > 0)
		return;
	for (unsigned i = 0; i < config_settings_count; i++) {
		const struct config_setting *s = &config_settings[i];
		unsigned level = *s->section == 0 ? 0 : section_of(s->section) + 1;
		size_t at = offsetof(struct tree, v) + i * sizeof(struct value);
		cyaml_schema_field_t *f = &fields[level][n_fields[level]++];

		field_of[i] = f;
		if (s->kind == CONFIG_LIST)
			*f = (cyaml_schema_field_t){
				.key = s->key,
				.data_offset = (uint32_t)(at + offsetof(struct value, items)),
				.count_offset = (uint32_t)(at + offsetof(struct value, n)),
				.count_size = sizeof(unsigned),
				.value = { CYAML_VALUE_SEQUENCE(
				    CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL, char *,
				    &item_schema, 0, CONFIG_LIST_MAX) },
			};
		else
			*f = (cyaml_schema_field_t){
				.key = s->key,
				.data_offset = (uint32_t)(at + offsetof(struct value, text)),
				.value = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				    char, 0, CYAML_UNLIMITED) },
			};
	}
}

/* libcyaml's log: the first line says what, those behind "Backtrace:" say where, innermost first. */
static void __attribute__((format(printf, 3, 0)))
on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct load *l = ctx;
	char line[160];

	(void)level;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	const char *field = strstr(line, "in mapping field '");
	if (field != NULL && l->field[0] == 0)
		snprintf(l->field, sizeof(l->field), "%.*s", (int)strcspn(field + 18, "'"), field + 18);
	if (field == NULL && l->message[0] == 0)
		snprintf(l->message, sizeof(l->message), "%s",
		    strncmp(line, "Load: ", 6) == 0 ? line + 6 : line);
}

static const cyaml_config_t *
cyaml_settings(cyaml_config_t *c, struct load *l)
{
	*c = (cyaml_config_t){
		.log_fn = on_log,
		.log_ctx = l,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_DEFAULT | CYAML_CFG_NO_ALIAS,
	};
	return c;
}

static void
load_first(const struct buf *bytes, size_t n, struct load *l)
{
	cyaml_config_t c;

	*l = (struct load){ .tree = NULL };
	l->err = cyaml_load_data(bytes->p, n, cyaml_settings(&c, l), &top_schema,
	    (cyaml_data_t **)&l->tree, NULL);
	if (l->err != CYAML_OK)
		l->tree = NULL;
}

static void
tree_free(struct tree *t)
{
	cyaml_config_t c;
	struct load ignored = { .tree = NULL };

	if (t != NULL)
		cyaml_free(cyaml_settings(&c, &ignored), &top_schema, t, 0);
}

static const struct value *
tree_value(const struct tree *t, unsigned setting)
{
	const struct config_setting *s = &config_settings[setting];

	if (t != NULL && *s->section != 0)
		t = t->sections[section_of(s->section)];
	return t == NULL ? NULL : &t->v[setting];
}

/* Asks for lists with at least one entry: who is refused then is an empty list. */
static void
find_empty_lists(struct config_file *f)
{
	for (unsigned i = 0; i < config_settings_count; i++) {
		struct load l;
		if (config_settings[i].kind != CONFIG_LIST)
			continue;
		field_of[i]->value.sequence.min = 1;
		load_first(&f->bytes, f->bytes.len, &l);
		field_of[i]->value.sequence.min = 0;
		tree_free(l.tree);
		f->is_empty_list[i] = l.err == CYAML_ERR_SEQUENCE_ENTRIES_MIN;
	}
}

/* The end of the line that begins at from. */
static size_t
line_end(const struct buf *b, size_t from)
{
	const uint8_t *nl = from < b->len ? memchr(b->p + from, '\n', b->len - from) : NULL;

	return nl == NULL ? b->len : (size_t)(nl - b->p) + 1;
}

/* The line where the error first shows. Those of the YAML syntax (an open quote) may come and go:
 * the first line from which on they stay. */
static unsigned
line_of_error(const struct buf *b, const struct load *whole)
{
	unsigned line = 0, found = 1;
	bool was_same = false;

	for (size_t end = 0; end < b->len; ) {
		struct load l;
		end = line_end(b, end);
		line++;
		load_first(b, end, &l);
		tree_free(l.tree);
		bool is_same = l.err == whole->err && (l.err == CYAML_ERR_LIBYAML_PARSER ||
		    (strcmp(l.message, whole->message) == 0 && strcmp(l.field, whole->field) == 0));
		if (is_same && !was_same)
			found = line;
		if (is_same && l.err != CYAML_ERR_LIBYAML_PARSER)
			break;
		was_same = is_same;
	}
	return found;
}

static const char *
key_near(const char *section, const char *typed, char out[CONFIG_NAME_MAX])
{
	struct suggest in_section = { .word = typed }, anywhere = { .word = typed };
	char names[CONFIG_SETTINGS_MAX][CONFIG_NAME_MAX];

	for (unsigned i = 0; i < config_settings_count; i++) {
		if (strcmp(config_settings[i].section, section) == 0)
			suggest_try(&in_section, config_settings[i].key);
		suggest_try(&anywhere, config_setting_name(&config_settings[i], names[i]));
	}
	const char *best = in_section.best != NULL ? in_section.best : anywhere.best;
	if (best == NULL)
		return NULL;
	snprintf(out, CONFIG_NAME_MAX, "%s", best);
	return out;
}

static enum err
say_unknown_key(const struct config_file *f, const struct load *l, unsigned line, struct err_text *why)
{
	const char *key = strrchr(l->message, ' ') + 1;
	char near[CONFIG_NAME_MAX];
	const char *best = key_near(l->field, key, near);

	return err_say(why, ERR_INVAL, "%s line %u: unknown key \"%.60s\"%s%s%s%s%s", f->path, line, key,
	    l->field[0] != 0 ? " in " : "", l->field, best != NULL ? "; did you mean \"" : "",
	    best != NULL ? best : "", best != NULL ? "\"?" : "");
}

/* "Expecting SEQUENCE, got event: SCALAR" in people's words. */
static enum err
say_wrong_type(const struct config_file *f, const struct load *l, unsigned line, struct err_text *why)
{
	static const struct { const char *word, *text; } words[] = {
		{ "SEQUENCE", "a list of \"- …\" lines" }, { "MAPPING", "a section of keys" },
		{ "STRING", "one value" }, { "SCALAR", "one value" },
	};
	const char *want = "something else", *got = "this";
	const char *got_word = strstr(l->message, "got event: ");

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strncmp(l->message + strlen("Expecting "), words[i].word, strlen(words[i].word)) == 0)
			want = words[i].text;
		if (got_word != NULL && strncmp(got_word + 11, words[i].word, strlen(words[i].word)) == 0)
			got = words[i].text;
	}
	return err_say(why, ERR_INVAL, "%s line %u: %s must be %s, not %s", f->path, line,
	    l->field[0] != 0 ? l->field : "the file", want, got);
}

static enum err
say_error(const struct config_file *f, const struct load *l, struct err_text *why)
{
	unsigned line = line_of_error(&f->bytes, l);
	const char *m = l->message;

	if (strncmp(m, "Unexpected key: ", 16) == 0)
		return say_unknown_key(f, l, line, why);
	if (strncmp(m, "Expecting ", 10) == 0)
		return say_wrong_type(f, l, line, why);
	if (strncmp(m, "Mapping field already seen: ", 28) == 0)
		return err_say(why, ERR_INVAL, "%s line %u: %s is given a second time", f->path, line, m + 28);
	if (strncmp(m, "Excessive entries", 17) == 0)
		return err_say(why, ERR_INVAL, "%s line %u: %s has more than %d entries", f->path, line,
		    l->field, CONFIG_LIST_MAX);
	if (strncmp(m, "libyaml: ", 9) == 0)
		return err_say(why, ERR_INVAL, "%s line %u: this is not YAML: %s", f->path, line, m + 9);
	return err_say(why, ERR_INVAL, "%s line %u: %s", f->path, line,
	    m[0] != 0 ? m : cyaml_strerror(l->err));
}

static enum err
bytes_read(const char *path, struct buf *out, struct err_text *why)
{
	enum err rc = ERR_IO;
	FILE *fp = fopen(path, "re");

	if (fp == NULL) {
		err_say(why, rc, "cannot open %s: %s", path, strerror(errno));
		goto out;
	}
	buf_reserve(out, FILE_MAX_BYTES + 1);
	out->len = fread(out->p, 1, FILE_MAX_BYTES + 1, fp);
	if (ferror(fp)) {
		err_say(why, rc, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	rc = ERR_OK;
	if (out->len > FILE_MAX_BYTES)
		rc = err_say(why, ERR_INVAL, "%s is larger than %u KiB", path, FILE_MAX_BYTES >> 10);
out:
	if (fp != NULL)
		fclose(fp);
	return rc;
}

enum err
config_file_load(const char *path, struct config_file **out, struct err_text *why)
{
	struct config_file *f = obj_alloc(sizeof(*f));
	struct load l;
	enum err rc;

	schema_make();
	f->path = obj_strdup(path);
	if ((rc = bytes_read(path, &f->bytes, why)) != ERR_OK)
		goto out;
	load_first(&f->bytes, f->bytes.len, &l);
	f->tree = l.tree;
	if (l.err != CYAML_OK)
		rc = say_error(f, &l, why);
	else
		find_empty_lists(f);
out:
	if (rc == ERR_OK)
		*out = f;
	else
		config_file_free(f);
	return rc;
}

void
config_file_free(struct config_file *f)
{
	if (f == NULL)
		return;
	tree_free(f->tree);
	buf_fini(&f->bytes);
	free(f->path);
	free(f);
}

bool
config_file_get(const struct config_file *f, unsigned setting, struct config_texts *out)
{
	const struct value *v = tree_value(f->tree, setting);

	if (v == NULL || (v->text == NULL && v->items == NULL && !f->is_empty_list[setting]))
		return false;
	if (config_settings[setting].kind == CONFIG_LIST)
		*out = (struct config_texts){ .v = v->items, .n = v->n };
	else
		*out = (struct config_texts){ .v = (const char *const *)&v->text, .n = 1 };
	return true;
}

unsigned
config_file_line(const struct config_file *f, unsigned setting, unsigned item)
{
	const struct value *whole = tree_value(f->tree, setting);
	bool is_empty = f->is_empty_list[setting], is_there = false;
	unsigned line = 0;

	if (is_empty)
		field_of[setting]->value.sequence.min = 1;
	for (size_t end = 0; end < f->bytes.len && !is_there; ) {
		struct load l;
		end = line_end(&f->bytes, end);
		line++;
		load_first(&f->bytes, end, &l);
		const struct value *v = tree_value(l.tree, setting);
		is_there = is_empty ? l.err == CYAML_ERR_SEQUENCE_ENTRIES_MIN : v != NULL &&
		    (v->n > item || (v->text != NULL && whole != NULL &&
		    whole->text != NULL && strcmp(v->text, whole->text) == 0));
		tree_free(l.tree);
	}
	if (is_empty)
		field_of[setting]->value.sequence.min = 0;
	return line;
}
