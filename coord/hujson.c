/*
 * HuJSON after github.com/tailscale/hujson: RFC 8259, and between any two tokens also line comments, which
 * end with the line or the text, and block comments, which do not nest; one comma more may stand
 * before a closing bracket.
 *
 * The parser goes down by calling itself; its depth is bounded. Names of an object with few members
 * are compared one with the other, from TABLE_FROM on through a hash table.
 */
#include "coord/hujson.h"

#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/utf8.h"

#define TABLE_FROM 16

struct parser {
	struct arena *arena;
	const uint8_t *p, *end;
	const uint8_t *start, *line_start;
	unsigned line, n_tails;		/* bytes on this line that begin no character */
	size_t values_left;
	unsigned depth_left;
	struct buf scratch;		/* of strings with escapes */
	struct hujson_error *error;
};

static unsigned
column_of(const struct parser *s)
{
	return (unsigned)(s->p - s->line_start) - s->n_tails + 1;
}

static enum err
fail(struct parser *s, const char *why)
{
	s->error->line = s->line;
	s->error->column = column_of(s);
	return err_say(&s->error->why, ERR_INVAL, "%s", why);
}

/* At one character, whatever it is: names it. */
static enum err
fail_at(struct parser *s, const char *wanted)
{
	size_t n;

	if (s->p == s->end) {
		(void)fail(s, "");
		return err_say(&s->error->why, ERR_INVAL, "the text ends where %s is wanted", wanted);
	}
	(void)fail(s, "");
	n = utf8_char_len(s->p, (size_t)(s->end - s->p));
	if (n == 0)
		return err_say(&s->error->why, ERR_INVAL, "not UTF-8");
	if (*s->p < 0x20 || *s->p == 0x7f)
		return err_say(&s->error->why, ERR_INVAL, "character 0x%02x where %s is wanted", *s->p,
		    wanted);
	return err_say(&s->error->why, ERR_INVAL, "'%.*s' where %s is wanted", (int)n, s->p, wanted);
}

static void
new_line(struct parser *s)
{
	s->line++;
	s->n_tails = 0;
	s->line_start = s->p;
}

/* Over one character, which may be a line's end. */
static enum err
skip_char(struct parser *s)
{
	size_t n = utf8_char_len(s->p, (size_t)(s->end - s->p));

	if (n == 0)
		return fail(s, "not UTF-8");
	bool is_line_end = *s->p == '\n';
	s->p += n;
	s->n_tails += (unsigned)n - 1;
	if (is_line_end)
		new_line(s);
	return ERR_OK;
}

static bool
is_at(const struct parser *s, const char *two)
{
	return s->end - s->p >= 2 && s->p[0] == two[0] && s->p[1] == two[1];
}

static enum err
skip_comment(struct parser *s)
{
	struct parser start = *s;
	bool is_block = s->p[1] == '*';
	enum err rc;

	s->p += 2;
	while (s->p < s->end) {
		if (is_block && is_at(s, "*/")) {
			s->p += 2;
			return ERR_OK;
		}
		bool is_line_end = *s->p == '\n';
		if ((rc = skip_char(s)) != ERR_OK)
			return rc;
		if (!is_block && is_line_end)
			return ERR_OK;
	}
	return is_block ? fail(&start, "a comment without end") : ERR_OK;
}

/* Blanks and comments. */
static enum err
skip_space(struct parser *s)
{
	enum err rc;

	while (s->p < s->end) {
		switch (*s->p) {
		case '\n':
			s->p++;
			new_line(s);
			break;
		case ' ': case '\t': case '\r':
			s->p++;
			break;
		case '/':
			if (!is_at(s, "//") && !is_at(s, "/*"))
				return ERR_OK;
			if ((rc = skip_comment(s)) != ERR_OK)
				return rc;
			break;
		default:
			return ERR_OK;
		}
	}
	return ERR_OK;
}

static bool
hex4(const uint8_t *p, unsigned *out)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *at = memchr(digits, p[i] | (p[i] >= 'A' ? 0x20 : 0), 16);

		if (at == NULL)
			return false;
		v = v << 4 | (unsigned)(at - digits);
	}
	*out = v;
	return true;
}

static void
put_utf8(struct buf *b, unsigned c)
{
	if (c < 0x80) {
		buf_byte(b, (uint8_t)c);
		return;
	}
	if (c < 0x800) {
		buf_byte(b, (uint8_t)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_byte(b, (uint8_t)(0xe0 | c >> 12));
		} else {
			buf_byte(b, (uint8_t)(0xf0 | c >> 18));
			buf_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
}

/* At 'u' of an escape. */
static enum err
parse_unicode(struct parser *s)
{
	unsigned c, low;

	if (s->end - s->p < 5 || !hex4(s->p + 1, &c))
		return fail(s, "\\u wants four hexadecimal digits");
	if (c == 0)
		return fail(s, "the character NUL in a string");
	if (c >= 0xdc00 && c < 0xe000)
		return fail(s, "half of a surrogate pair");
	if (c >= 0xd800 && c < 0xdc00) {
		if (s->end - s->p < 11 || s->p[5] != '\\' || s->p[6] != 'u' || !hex4(s->p + 7, &low) ||
		    low < 0xdc00 || low >= 0xe000)
			return fail(s, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		s->p += 6;
	}
	put_utf8(&s->scratch, c);
	s->p += 5;
	return ERR_OK;
}

/* Behind the backslash. */
static enum err
parse_escape(struct parser *s)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (s->p == s->end)
		return fail(s, "a string without end");
	if (*s->p == 'u')
		return parse_unicode(s);
	if (*s->p == '\0' || (at = strchr(letters, *s->p)) == NULL)
		return fail(s, "no such escape in a string");
	buf_byte(&s->scratch, (uint8_t)meant[at - letters]);
	s->p++;
	return ERR_OK;
}

/* At the opening quote. */
static enum err
parse_string(struct parser *s, const char **out)
{
	struct parser open = *s;
	const uint8_t *run = ++s->p;
	bool has_escapes = false;
	enum err rc;

	buf_clear(&s->scratch);
	for (;;) {
		if (s->p == s->end || *s->p == '\n' || *s->p == '\r')
			return fail(&open, "a string without end");
		if (*s->p == '"')
			break;
		if (*s->p < 0x20)
			return fail(s, "a control character in a string");
		if (*s->p != '\\') {
			if ((rc = skip_char(s)) != ERR_OK)
				return rc;
			continue;
		}
		has_escapes = true;
		buf_append(&s->scratch, run, (size_t)(s->p - run));
		s->p++;
		if ((rc = parse_escape(s)) != ERR_OK)
			return rc;
		run = s->p;
	}
	if (has_escapes) {
		buf_append(&s->scratch, run, (size_t)(s->p - run));
		*out = arena_strndup(s->arena, (const char *)s->scratch.p, s->scratch.len);
	} else {
		*out = arena_strndup(s->arena, (const char *)run, (size_t)(s->p - run));
	}
	s->p++;
	return ERR_OK;
}

static bool
skip_digits(struct parser *s)
{
	const uint8_t *start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start;
}

static enum err
parse_number(struct parser *s, const char **out)
{
	const uint8_t *start = s->p;

	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!skip_digits(s))
		return fail_at(s, "a digit");
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!skip_digits(s))
			return fail_at(s, "a digit");
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!skip_digits(s))
			return fail_at(s, "a digit");
	}
	*out = arena_strndup(s->arena, (const char *)start, (size_t)(s->p - start));
	return ERR_OK;
}

static enum err
parse_word(struct parser *s, struct hujson *v)
{
	static const struct { const char *word; enum hujson_type type; } words[] = {
		{ "null", HUJSON_NULL }, { "false", HUJSON_FALSE }, { "true", HUJSON_TRUE },
	};
	size_t n = 0, left = (size_t)(s->end - s->p);

	while (n < left && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
		n++;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (n == strlen(words[i].word) && memcmp(s->p, words[i].word, n) == 0) {
			v->type = words[i].type;
			s->p += n;
			return ERR_OK;
		}
	}
	return fail_at(s, "a value");
}

static enum err
say_twice(struct parser *s, const struct hujson *m)
{
	s->error->line = m->name_line;
	s->error->column = m->name_column;
	return err_say(&s->error->why, ERR_INVAL, "the name \"%.200s\" is given twice", m->name);
}

static enum err
check_names_by_table(struct parser *s, const struct hujson *object)
{
	const struct hujson **slots;
	size_t cap = 64;
	enum err rc = ERR_OK;

	while (cap < 2 * (size_t)object->n)
		cap *= 2;
	slots = obj_alloc(cap * sizeof(const struct hujson *));
	for (const struct hujson *m = object->first; m != NULL && rc == ERR_OK; m = m->next) {
		size_t i = map_hash(m->name, strlen(m->name)) & (cap - 1);

		while (slots[i] != NULL && strcmp(slots[i]->name, m->name) != 0)
			i = (i + 1) & (cap - 1);
		if (slots[i] != NULL)
			rc = say_twice(s, m);
		slots[i] = m;
	}
	free(slots);
	return rc;
}

static enum err
check_names(struct parser *s, const struct hujson *object)
{
	if (object->n >= TABLE_FROM)
		return check_names_by_table(s, object);
	for (const struct hujson *m = object->first; m != NULL; m = m->next) {
		for (const struct hujson *before = object->first; before != m; before = before->next) {
			if (strcmp(before->name, m->name) == 0)
				return say_twice(s, m);
		}
	}
	return ERR_OK;
}

static enum err parse_value(struct parser *s, struct hujson *v);

static enum err
parse_name(struct parser *s, struct hujson *v)
{
	enum err rc;

	if (s->p == s->end || *s->p != '"')
		return fail_at(s, "a name in double quotes");
	v->name_line = s->line;
	v->name_column = column_of(s);
	if ((rc = parse_string(s, &v->name)) != ERR_OK || (rc = skip_space(s)) != ERR_OK)
		return rc;
	if (s->p == s->end || *s->p != ':')
		return fail_at(s, "':'");
	s->p++;
	return skip_space(s);
}

/* At the opening bracket. */
static enum err
parse_items(struct parser *s, struct hujson *parent)
{
	bool is_object = *s->p == '{';
	uint8_t close = is_object ? '}' : ']';
	struct hujson **tail = &parent->first;
	enum err rc;

	parent->type = is_object ? HUJSON_OBJECT : HUJSON_LIST;
	if (s->depth_left == 0) {
		(void)fail(s, "nested too deeply");
		return ERR_LIMIT;
	}
	s->depth_left--;
	s->p++;
	for (;;) {
		if ((rc = skip_space(s)) != ERR_OK)
			return rc;
		if (s->p < s->end && *s->p == close)
			break;
		struct hujson *v = arena_alloc(s->arena, sizeof(*v));
		if (is_object && (rc = parse_name(s, v)) != ERR_OK)
			return rc;
		if ((rc = parse_value(s, v)) != ERR_OK || (rc = skip_space(s)) != ERR_OK)
			return rc;
		*tail = v;
		tail = &v->next;
		parent->n++;
		if (s->p < s->end && *s->p == ',') {
			s->p++;
			continue;
		}
		if (s->p == s->end || *s->p != close)
			return fail_at(s, is_object ? "',' or '}'" : "',' or ']'");
	}
	s->p++;
	s->depth_left++;
	return is_object ? check_names(s, parent) : ERR_OK;
}

static enum err
parse_kind(struct parser *s, struct hujson *v)
{
	v->line = s->line;
	v->column = column_of(s);
	if (s->values_left-- == 0) {
		s->values_left = 0;
		(void)fail(s, "too many values");
		return ERR_LIMIT;
	}
	if (s->p == s->end)
		return fail_at(s, "a value");
	switch (*s->p) {
	case '{': case '[':
		return parse_items(s, v);
	case '"':
		v->type = HUJSON_STRING;
		return parse_string(s, &v->text);
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7':
	case '8': case '9':
		v->type = HUJSON_NUMBER;
		return parse_number(s, &v->text);
	default:
		return parse_word(s, v);
	}
}

static enum err
parse_value(struct parser *s, struct hujson *v)
{
	enum err rc;

	v->at = (uint32_t)(s->p - s->start);
	rc = parse_kind(s, v);
	v->end = (uint32_t)(s->p - s->start);
	return rc;
}

enum err
hujson_parse(struct arena *a, const char *text, size_t n, const struct hujson_limits *limits,
    struct hujson **out, struct hujson_error *error)
{
	const uint8_t *bytes = (const uint8_t *)text;
	struct parser s = { .arena = a, .p = bytes, .end = bytes + n, .start = bytes, .line_start =
	    bytes, .line = 1,
	    .values_left = limits->n_values, .depth_left = limits->depth, .error = error };
	enum err rc;

	ASSERT(limits->depth <= HUJSON_DEPTH_MAX);
	*error = (struct hujson_error){ 0 };
	if (n > limits->n_bytes || n > UINT32_MAX)
		return err_say(&error->why, ERR_LIMIT, "%zu bytes are too many: at most %zu", n,
		    limits->n_bytes);
	struct hujson *root = arena_alloc(a, sizeof(*root));
	if ((rc = skip_space(&s)) != ERR_OK || (rc = parse_value(&s, root)) != ERR_OK ||
	    (rc = skip_space(&s)) != ERR_OK)
		goto out;
	if (s.p < s.end) {
		rc = fail_at(&s, "the end of the text");
		goto out;
	}
	*out = root;
out:
	buf_fini(&s.scratch);
	return rc;
}

const char *
hujson_type_word(const struct hujson *v)
{
	static const char *const words[] = {
		[HUJSON_NULL] = "null", [HUJSON_FALSE] = "false", [HUJSON_TRUE] = "true",
		[HUJSON_NUMBER] = "a number", [HUJSON_STRING] = "a string", [HUJSON_LIST] = "a list",
		[HUJSON_OBJECT] = "an object",
	};

	return words[v->type];
}

static void
put_value(struct json_writer *w, const struct hujson *v, bool is_member)
{
	const char *name = is_member ? v->name : NULL;

	switch (v->type) {
	case HUJSON_NULL:
		json_w_null(w, name);
		break;
	case HUJSON_FALSE: case HUJSON_TRUE:
		json_w_bool(w, name, v->type == HUJSON_TRUE);
		break;
	case HUJSON_NUMBER:
		json_w_raw(w, name, v->text, strlen(v->text));
		break;
	case HUJSON_STRING:
		json_w_str(w, name, v->text);
		break;
	case HUJSON_LIST:
		json_w_arr_open(w, name);
		for (const struct hujson *i = v->first; i != NULL; i = i->next)
			put_value(w, i, false);
		json_w_arr_close(w);
		break;
	case HUJSON_OBJECT:
		json_w_obj_open(w, name);
		for (const struct hujson *i = v->first; i != NULL; i = i->next)
			put_value(w, i, true);
		json_w_obj_close(w);
		break;
	}
}

void
hujson_put(struct buf *b, const struct hujson *v)
{
	struct json_writer w;

	json_w_init(&w, b);
	put_value(&w, v, false);
}
