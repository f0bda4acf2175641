/*
 * HuJSON edited in place. Every edit parses the text, finds the container, and splices bytes in
 * or out; where things lie comes from the tree's offsets, commas are found by going over blanks
 * and comments.
 *
 * What is added goes before the closing bracket: on a line of its own if the bracket stands on
 * one, else on the same line. A comma follows it where one followed the item before, so that
 * plain JSON stays plain JSON.
 */
#include "coord/hujson_edit.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "coord/hujson.h"

#define EDIT_BYTES_MAX	(8u << 20)
#define EDIT_VALUES_MAX	(1u << 20)
#define EDIT_DEPTH_MAX	64
#define UNIT_MAX	16	/* blanks of one step of indentation */

/* The text and its tree while one edit is made. */
struct edit {
	struct buf *text;
	struct arena *arena;
	struct hujson *root;
	const char *newline;
	char unit[UNIT_MAX + 1];
};

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(uint8_t c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

/* Over blanks and comments of a text that is known to be good. */
static size_t
skip_space(const struct buf *b, size_t at)
{
	while (at < b->len) {
		if (is_space(b->p[at])) {
			at++;
		} else if (b->p[at] == '/' && at + 1 < b->len && b->p[at + 1] == '/') {
			while (at < b->len && b->p[at] != '\n')
				at++;
		} else if (b->p[at] == '/' && at + 1 < b->len && b->p[at + 1] == '*') {
			const void *end = memmem(b->p + at + 2, b->len - at - 2, "*/", 2);

			at = end == NULL ? b->len : (size_t)((const uint8_t *)end - b->p) + 2;
		} else {
			break;
		}
	}
	return at;
}

static size_t
line_start(const struct buf *b, size_t at)
{
	while (at > 0 && b->p[at - 1] != '\n')
		at--;
	return at;
}

/* Blanks that the line with at begins with. */
static size_t
indent_of(const struct buf *b, size_t at, const uint8_t **out)
{
	size_t start = line_start(b, at), n = 0;

	while (start + n < b->len && is_blank(b->p[start + n]))
		n++;
	*out = b->p + start;
	return n;
}

static bool
is_first_on_line(const struct buf *b, size_t at)
{
	size_t start = line_start(b, at);

	while (start < at && is_blank(b->p[start]))
		start++;
	return start == at && line_start(b, at) > 0;
}

/* n_out bytes at that place become those of in. */
static void
splice(struct buf *b, size_t at, size_t n_out, const void *in, size_t n_in)
{
	struct buf next = { .len = 0 };

	ASSERT(at + n_out <= b->len);
	buf_append(&next, b->p, at);
	buf_append(&next, in, n_in);
	buf_append(&next, b->p + at + n_out, b->len - at - n_out);
	buf_fini(b);
	*b = next;
}

static void
unit_find(struct edit *e)
{
	const struct hujson *first = e->root->first;
	const uint8_t *blanks;
	size_t at, n;

	strcpy(e->unit, "\t");
	if (first == NULL)
		return;
	at = skip_space(e->text, e->root->at + 1);
	if (!is_first_on_line(e->text, at))
		return;
	n = indent_of(e->text, at, &blanks);
	if (n > 0 && n <= UNIT_MAX) {
		memcpy(e->unit, blanks, n);
		e->unit[n] = '\0';
	}
}

/* edit_end in any case. */
static enum err
edit_begin(struct edit *e, struct buf *text, struct err_text *why)
{
	static const struct hujson_limits limits = { EDIT_BYTES_MAX, EDIT_VALUES_MAX, EDIT_DEPTH_MAX };
	struct hujson_error error;
	const uint8_t *nl;
	enum err rc;

	*e = (struct edit){ .text = text, .arena = arena_new(), .newline = "\n" };
	if ((rc = hujson_parse(e->arena, (const char *)text->p, text->len, &limits, &e->root,
	    &error)) != ERR_OK)
		return err_say(why, ERR_INVAL, "line %u, column %u: %s", error.line, error.column, error.why.s);
	if (e->root->type != HUJSON_OBJECT)
		return err_say(why, ERR_INVAL, "the text is %s, not an object", hujson_type_word(e->root));
	nl = memchr(text->p, '\n', text->len);
	if (nl != NULL && nl > text->p && nl[-1] == '\r')
		e->newline = "\r\n";
	unit_find(e);
	return ERR_OK;
}

static void
edit_end(struct edit *e)
{
	arena_free(e->arena);
}

/* A text without a value is as an empty object. */
static void
make_object(struct buf *text)
{
	bool is_empty = true;

	for (size_t i = 0; i < text->len; i++)
		is_empty &= is_space(text->p[i]);
	if (is_empty) {
		buf_clear(text);
		buf_str(text, "{\n}\n");
	}
}

static const struct hujson *
member_of(const struct hujson *object, const char *name, bool minds_case)
{
	const struct hujson *m = object->first;

	while (m != NULL && (minds_case ? strcmp(m->name, name) : strcasecmp(m->name, name)) != 0)
		m = m->next;
	return m;
}

static void
put_compact(struct buf *b, const struct hujson *v)
{
	buf_clear(b);
	hujson_put(b, v);
}

/* The entry of the list that says the same as value; NULL: none. */
static const struct hujson *
entry_of(const struct hujson *list, const char *value)
{
	static const struct hujson_limits limits = { EDIT_BYTES_MAX, EDIT_VALUES_MAX, EDIT_DEPTH_MAX };
	struct arena *arena = arena_new();
	struct buf wanted = { .len = 0 }, b = { .len = 0 };
	const struct hujson *found = NULL;
	struct hujson_error error;
	struct hujson *v;

	ASSERT(hujson_parse(arena, value, strlen(value), &limits, &v, &error) == ERR_OK);
	put_compact(&wanted, v);
	for (const struct hujson *i = list->first; i != NULL && found == NULL; i = i->next) {
		put_compact(&b, i);
		if (strcmp(buf_cstr(&b), buf_cstr(&wanted)) == 0)
			found = i;
	}
	buf_fini(&wanted);
	buf_fini(&b);
	arena_free(arena);
	return found;
}

/* --- adding ----------------------------------------------------------------------------------- */

static void
put_quoted(struct buf *b, const char *s)
{
	struct json_writer w;

	json_w_init(&w, b);
	json_w_str(&w, NULL, s);
}

/* The lines of value; behind each line's end comes indent, and each tab there is a unit.
 * is_flat: on one line. */
static void
put_lines(struct buf *b, const struct edit *e, const char *value, const struct buf *indent, bool is_flat)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (*p != '\n') {
			buf_byte(b, (uint8_t)*p);
			continue;
		}
		if (!is_flat) {
			buf_str(b, e->newline);
			buf_append(b, indent->p, indent->len);
		}
		for (; p[1] == '\t'; p++)
			if (!is_flat)
				buf_str(b, e->unit);
	}
}

/* Where the container's items end. */
struct tail {
	const struct hujson *last;	/* NULL: it has none */
	size_t close;			/* its bracket */
	bool has_comma;			/* behind the last item */
	bool is_own_line;		/* the bracket's */
};

static struct tail
tail_of(const struct edit *e, const struct hujson *v)
{
	struct tail t = { .close = v->end - 1 };

	for (const struct hujson *i = v->first; i != NULL; i = i->next)
		t.last = i;
	t.has_comma = t.last != NULL && e->text->p[skip_space(e->text, t.last->end)] == ',';
	t.is_own_line = is_first_on_line(e->text, t.close) && line_start(e->text, t.close) > v->at;
	return t;
}

static void
put_indent(struct buf *b, const struct edit *e, const struct hujson *v, const struct tail *t)
{
	const uint8_t *blanks;
	size_t n, first = skip_space(e->text, v->at + 1);

	if (t->is_own_line && t->last != NULL && is_first_on_line(e->text, first)) {
		n = indent_of(e->text, first, &blanks);
		buf_append(b, blanks, n);
		return;
	}
	n = indent_of(e->text, t->is_own_line ? t->close : v->at, &blanks);
	buf_append(b, blanks, n);
	buf_str(b, e->unit);
}

/* Into brackets with nothing in them, on lines of its own. */
static void
fill(struct edit *e, const struct hujson *v, const char *item, const struct buf *indent)
{
	struct buf in = { .len = 0 };
	size_t n_outer = indent->len - strlen(e->unit);

	buf_str(&in, e->newline);
	buf_append(&in, indent->p, indent->len);
	put_lines(&in, e, item, indent, false);
	buf_str(&in, e->newline);
	buf_append(&in, indent->p, n_outer);
	splice(e->text, v->at + 1, v->end - 1 - (v->at + 1), in.p, in.len);
	buf_fini(&in);
}

/* item: one value, with its name if v is an object. */
static void
append(struct edit *e, const struct hujson *v, const char *item)
{
	struct tail t = tail_of(e, v);
	struct buf indent = { .len = 0 }, in = { .len = 0 };
	bool has_lines = memchr(e->text->p, '\n', e->text->len) != NULL;
	bool is_void = true;
	size_t at;

	for (at = v->at + 1; at < t.close; at++)
		is_void &= is_space(e->text->p[at]);
	put_indent(&indent, e, v, &t);
	if (t.is_own_line) {
		at = line_start(e->text, t.close);
		buf_append(&in, indent.p, indent.len);
		put_lines(&in, e, item, &indent, false);
		buf_str(&in, t.has_comma ? "," : "");
		buf_str(&in, e->newline);
	} else if (is_void && has_lines && (v->type == HUJSON_OBJECT || strchr(item, '\n') != NULL)) {
		fill(e, v, item, &indent);
		goto out;
	} else {
		for (at = t.close; is_blank(e->text->p[at - 1]); at--)
			;
		buf_str(&in, is_void ? "" : " ");
		put_lines(&in, e, item, &indent, true);
		buf_str(&in, t.has_comma ? "," : "");
	}
	splice(e->text, at, 0, in.p, in.len);
	if (t.last != NULL && !t.has_comma)
		splice(e->text, t.last->end, 0, ",", 1);
out:
	buf_fini(&indent);
	buf_fini(&in);
}

/* In place of null. */
static void
replace(struct edit *e, const struct hujson *v, const char *value)
{
	struct buf indent = { .len = 0 }, in = { .len = 0 };
	const uint8_t *blanks;
	size_t n = indent_of(e->text, v->at, &blanks);

	buf_append(&indent, blanks, n);
	put_lines(&in, e, value, &indent, memchr(e->text->p, '\n', e->text->len) == NULL);
	splice(e->text, v->at, v->end - v->at, in.p, in.len);
	buf_fini(&indent);
	buf_fini(&in);
}

/* value becomes open value close, on lines of its own, with name before it unless NULL. */
static void
wrap(struct buf *value, const char *brackets, const char *name)
{
	struct buf out = { .len = 0 };

	buf_byte(&out, (uint8_t)brackets[0]);
	buf_str(&out, "\n\t");
	if (name != NULL) {
		put_quoted(&out, name);
		buf_str(&out, ": ");
	}
	for (size_t i = 0; i < value->len; i++) {
		buf_byte(&out, value->p[i]);
		if (value->p[i] == '\n')
			buf_byte(&out, '\t');
	}
	buf_byte(&out, '\n');
	buf_byte(&out, (uint8_t)brackets[1]);
	buf_fini(value);
	*value = out;
}

/* Goes down the path as far as it is there. *depth of its names are; what they lead to is *out. */
static enum err
descend(const struct edit *e, const struct hujson_path *path, enum hujson_type leaf, unsigned *depth,
	const struct hujson **out, struct err_text *why)
{
	const struct hujson *v = e->root, *m;

	for (*depth = 0; *depth < path->n; ++*depth) {
		enum hujson_type wanted = *depth + 1 == path->n ? leaf : HUJSON_OBJECT;

		if ((m = member_of(v, path->names[*depth], false)) == NULL)
			break;
		if (m->type == HUJSON_NULL) {
			v = m;
			++*depth;
			break;
		}
		if (m->type != wanted)
			return err_say(why, ERR_INVAL, "line %u, column %u: \"%.60s\" is %s, where %s "
			    "is wanted",
			    m->line, m->column, m->name, hujson_type_word(m),
			    wanted == HUJSON_OBJECT ? "an object" : "a list");
		v = m;
	}
	*out = v;
	return ERR_OK;
}

/* Adds value, which is a whole member if name is given, below v, of which depth names of the
 * path lead to. */
static void
add_below(struct edit *e, const struct hujson_path *path, unsigned depth, const struct hujson *v,
	struct buf *value, bool is_member)
{
	unsigned i = path->n;

	if (v->type == HUJSON_NULL || depth < path->n) {	/* the innermost is made */
		wrap(value, is_member ? "{}" : "[]", NULL);
		while (i > depth + (v->type == HUJSON_NULL ? 0 : 1))
			wrap(value, "{}", path->names[--i]);
	}
	if (v->type == HUJSON_NULL) {
		replace(e, v, buf_cstr(value));
	} else if (depth < path->n) {
		struct buf item = { .len = 0 };

		put_quoted(&item, path->names[depth]);
		buf_str(&item, ": ");
		buf_append(&item, value->p, value->len);
		append(e, v, buf_cstr(&item));
		buf_fini(&item);
	} else {
		append(e, v, buf_cstr(value));
	}
}

static enum err
add(struct buf *text, const struct hujson_path *path, const char *name, const char *value, struct err_text *why)
{
	struct edit e;
	struct buf own = { .len = 0 };
	const struct hujson *v;
	unsigned depth;
	enum err rc;

	ASSERT(path->n <= HUJSON_EDIT_PATH_MAX && (path->n > 0 || name != NULL));
	make_object(text);
	if ((rc = edit_begin(&e, text, why)) != ERR_OK ||
	    (rc = descend(&e, path, name != NULL ? HUJSON_OBJECT : HUJSON_LIST, &depth, &v, why)) != ERR_OK)
		goto out;
	if (name != NULL && v->type == HUJSON_OBJECT && depth == path->n && member_of(v, name, true) != NULL) {
		rc = err_say(why, ERR_EXISTS, "\"%.100s\" is there already", name);
		goto out;
	}
	if (name == NULL && v->type == HUJSON_LIST && entry_of(v, value) != NULL) {
		rc = err_say(why, ERR_EXISTS, "the entry is there already");
		goto out;
	}
	if (name != NULL) {
		put_quoted(&own, name);
		buf_str(&own, ": ");
	}
	buf_str(&own, value);
	add_below(&e, path, depth, v, &own, name != NULL);
out:
	buf_fini(&own);
	edit_end(&e);
	return rc;
}

enum err
hujson_edit_member(struct buf *text, const struct hujson_path *path, const char *name, const char *value,
	struct err_text *why)
{
	return add(text, path, name, value, why);
}

enum err
hujson_edit_entry(struct buf *text, const struct hujson_path *path, const char *value, struct err_text *why)
{
	return add(text, path, NULL, value, why);
}

/* --- removing --------------------------------------------------------------------------------- */

/* The line goes if there are blanks on it alone; blanks that now meet others go. */
static void
tidy(struct buf *b, size_t at)
{
	size_t start = line_start(b, at), end = at;

	while (end < b->len && is_blank(b->p[end]))
		end++;
	bool is_end = end < b->len && (b->p[end] == '\n' || (b->p[end] == '\r' && end + 1 < b->len));
	if (is_end && (start == at || is_first_on_line(b, at))) {
		end += b->p[end] == '\r' ? 2 : 1;
		splice(b, start, end - start, "", 0);
	} else if (end > at && at > 0 && !is_space(b->p[end]) && (is_blank(b->p[at - 1]) ||
	    b->p[at - 1] == '[' || b->p[at - 1] == '{')) {
		splice(b, at, end - at, "", 0);
	} else if (end < b->len && (b->p[end] == ']' || b->p[end] == '}') && !is_first_on_line(b, at)) {
		for (start = at; is_blank(b->p[start - 1]); start--)
			;
		splice(b, start, end - start, "", 0);
	}
}

static void
cut(struct edit *e, const struct hujson *container, const struct hujson *item)
{
	const struct hujson *before = NULL;
	size_t start, after, comma_before = 0;

	for (const struct hujson *i = container->first; i != item; i = i->next)
		before = i;
	if (before != NULL) {
		comma_before = skip_space(e->text, before->end);
		start = skip_space(e->text, comma_before + 1);
	} else {
		start = skip_space(e->text, container->at + 1);
	}
	after = skip_space(e->text, item->end);
	bool has_comma = e->text->p[after] == ',';
	if (has_comma)
		splice(e->text, after, 1, "", 0);
	splice(e->text, start, item->end - start, "", 0);
	tidy(e->text, start);
	if (!has_comma && before != NULL)
		splice(e->text, comma_before, 1, "", 0);
}

static enum err
take(struct buf *text, const struct hujson_path *path, const char *name, const char *value,
	struct err_text *why)
{
	struct edit e;
	const struct hujson *v, *item = NULL;
	unsigned depth;
	enum err rc;

	make_object(text);
	if ((rc = edit_begin(&e, text, why)) != ERR_OK ||
	    (rc = descend(&e, path, name != NULL ? HUJSON_OBJECT : HUJSON_LIST, &depth, &v, why)) != ERR_OK)
		goto out;
	if (depth == path->n && name != NULL && v->type == HUJSON_OBJECT)
		item = member_of(v, name, true);
	else if (depth == path->n && name == NULL && v->type == HUJSON_LIST)
		item = entry_of(v, value);
	if (item == NULL)
		rc = err_say(why, ERR_NOTFOUND, "there is no such entry");
	else
		cut(&e, v, item);
out:
	edit_end(&e);
	return rc;
}

enum err
hujson_edit_remove_member(struct buf *text, const struct hujson_path *path, const char *name,
	struct err_text *why)
{
	return take(text, path, name, NULL, why);
}

enum err
hujson_edit_remove_entry(struct buf *text, const struct hujson_path *path, const char *value,
	struct err_text *why)
{
	return take(text, path, NULL, value, why);
}

unsigned
hujson_edit_count(const struct buf *text, const struct hujson_path *path)
{
	struct buf copy = { .len = 0 };
	const struct hujson *v;
	struct edit e;
	unsigned n = 0;

	buf_append(&copy, text->p, text->len);
	make_object(&copy);
	if (edit_begin(&e, &copy, NULL) == ERR_OK) {
		v = e.root;
		for (unsigned i = 0; v != NULL && i < path->n; i++)
			v = v->type == HUJSON_OBJECT ? member_of(v, path->names[i], false) : NULL;
		n = v != NULL ? v->n : 0;
	}
	edit_end(&e);
	buf_fini(&copy);
	return n;
}
