/* JSON: bounded parsing by jansson, and the streaming writer. */
#include "base/json.h"

#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

#define ESCAPE_MAX_BYTES	6	/* \u001f */
#define PIECE_BYTES		512	/* of a string, escaped at a time: bounds the reserve */

/* Nesting beyond JSON_DEPTH_MAX is refused here, because jansson recurses, and more values than
 * JSON_VALUES_MAX, because a MiB of "[]," takes 60 ms. Strings are skipped; whether brackets match is
 * left to jansson. */
static enum err
bounds_check(const char *p, size_t n, struct err_text *why)
{
	unsigned depth = 0, line = 1, column = 0, n_values = 0;
	bool is_in_string = false;

	for (size_t i = 0; i < n; i++) {
		column++;
		if (p[i] == '\0')
			return err_say(why, ERR_INVAL, "line %u, column %u: a NUL byte", line, column);
		if (p[i] == '\n') {
			line++;
			column = 0;
		} else if (is_in_string && p[i] == '\\') {
			i++;
			column++;
		} else if (p[i] == '"') {
			is_in_string = !is_in_string;
		} else if (!is_in_string && (p[i] == '{' || p[i] == '[')) {
			if (++depth > JSON_DEPTH_MAX)
				return err_say(why, ERR_INVAL,
				    "line %u, column %u: nested deeper than %d", line, column,
				    JSON_DEPTH_MAX);
			n_values++;
		} else if (!is_in_string && (p[i] == '}' || p[i] == ']') && depth > 0) {
			depth--;
		} else if (!is_in_string && p[i] == ',') {
			n_values++;
		}
	}
	if (n_values > JSON_VALUES_MAX)
		return err_say(why, ERR_INVAL, "line 1, column 1: more than %u values",
		    JSON_VALUES_MAX);
	return ERR_OK;
}

enum err
json_parse(const void *p, size_t n, json_t **out, struct err_text *why)
{
	json_error_t e;
	enum err rc = bounds_check(p, n, why);

	if (rc != ERR_OK)
		return rc;
	json_t *v = json_loadb(n > 0 ? p : "", n, JSON_DECODE_ANY, &e);
	if (v == NULL) {
		/* jansson quotes the place ("… near 'x'"): it may be a secret. */
		char *near = strstr(e.text, " near ");

		if (near != NULL)
			*near = '\0';
		return err_say(why, ERR_INVAL, "line %d, column %d: %s", e.line, e.column,
		    json_error_code(&e) == json_error_null_character ||
		    json_error_code(&e) == json_error_null_byte_in_key ?
		    "a text has a NUL character (\\u0000)" : e.text);
	}
	*out = v;
	return ERR_OK;
}

const json_t *
json_get(const json_t *obj, const char *name)
{
	const json_t *v = json_object_get(obj, name);

	return json_is_null(v) ? NULL : v;
}

const char *
json_get_str(const json_t *obj, const char *name, const char *dflt)
{
	const char *s = json_string_value(json_object_get(obj, name));

	return s != NULL ? s : dflt;
}

int64_t
json_get_int(const json_t *obj, const char *name, int64_t dflt)
{
	const json_t *v = json_object_get(obj, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : dflt;
}

bool
json_get_bool(const json_t *obj, const char *name, bool dflt)
{
	const json_t *v = json_object_get(obj, name);

	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

enum err
json_get_flag(const json_t *obj, const char *name, bool *out, struct err_text *why)
{
	const json_t *v = json_get(obj, name);

	if (v != NULL && !json_is_boolean(v))
		return err_say(why, ERR_INVAL, "%s: neither true nor false", name);
	*out = json_is_true(v);
	return ERR_OK;
}

enum err
json_get_time(const json_t *obj, const char *name, int64_t *out)
{
	const json_t *v = json_get(obj, name);
	int64_t t = 0;

	if (v != NULL && (!json_is_string(v) ||
	    clock_rfc3339_parse(json_string_value(v), json_string_length(v), &t) != 0))
		return ERR_INVAL;
	*out = t;
	return ERR_OK;
}

static int
dump_piece(const char *p, size_t n, void *arg)
{
	buf_append(arg, p, n);
	return 0;
}

void
json_dump_to(struct buf *b, const json_t *v)
{
	ASSERT(json_dump_callback(v, dump_piece, b, JSON_COMPACT | JSON_ENCODE_ANY) == 0);
}

/* --- writer --------------------------------------------------------------------------------------
 * What each byte needs: 0 nothing, 'u' \u00XX, '0' it is NUL, '8' it must be UTF-8; anything else
 * is the letter behind the backslash. */
static const char escape[256] = {
	[0] = '0',
	[1] = 'u', [2] = 'u', [3] = 'u', [4] = 'u', [5] = 'u', [6] = 'u', [7] = 'u',
	['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [0x0b] = 'u', ['\f'] = 'f', ['\r'] = 'r',
	[0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u',
	[0x14] = 'u', [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u',
	[0x1a] = 'u', [0x1b] = 'u', [0x1c] = 'u', [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u',
	['"'] = '"', ['\\'] = '\\',
#define ROW8(n) [n] = '8', [n + 1] = '8', [n + 2] = '8', [n + 3] = '8', \
	[n + 4] = '8', [n + 5] = '8', [n + 6] = '8', [n + 7] = '8'
	ROW8(0x80), ROW8(0x88), ROW8(0x90), ROW8(0x98), ROW8(0xa0), ROW8(0xa8), ROW8(0xb0),
	ROW8(0xb8), ROW8(0xc0), ROW8(0xc8), ROW8(0xd0), ROW8(0xd8), ROW8(0xe0), ROW8(0xe8),
	ROW8(0xf0), ROW8(0xf8),
#undef ROW8
};

static uint8_t *
put_bytes(uint8_t *d, const void *p, size_t n)
{
	memcpy(d, p, n);
	return d + n;
}

/* Escapes the character at *ps (which needs it) to d; *ps moves on. Returns the end of d. */
static uint8_t *
put_escaped(uint8_t *d, const uint8_t **ps, const uint8_t *end)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t c = **ps;
	size_t n = 1;

	switch (escape[c]) {
	case 'u':
		d = put_bytes(d, "\\u00", 4);
		*d++ = (uint8_t)hex[c >> 4];
		*d++ = (uint8_t)hex[c & 15];
		break;
	case '8':
		n = utf8_char_len(*ps, (size_t)(end - *ps));
		if (n > 0) {
			d = put_bytes(d, *ps, n);
			break;
		}
		n = 1;
		/* fall through */
	case '0':
		d = put_bytes(d, "\xef\xbf\xbd", 3);	/* U+FFFD */
		break;
	default:
		*d++ = '\\';
		*d++ = (uint8_t)escape[c];
		break;
	}
	*ps += n;
	return d;
}

/* Copies eight bytes at a time to d as long as none of them needs an escape; *ps moves on. Returns
 * the end of d. */
static uint8_t *
put_plain_words(uint8_t *d, const uint8_t **ps, const uint8_t *stop)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	const uint8_t *s = *ps;
	uint64_t v;

	for (; (size_t)(stop - s) >= sizeof(v); s += sizeof(v), d += sizeof(v)) {
		memcpy(&v, s, sizeof(v));
		uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
		/* The top bit of a byte: below 0x20, zero, zero, not ASCII (a borrow from the byte
		 * before may set it for nothing, which only costs a look at the table). */
		if ((((v - ones * 0x20) | (quote - ones) | (slash - ones) | v) & tops) != 0)
			break;
		memcpy(d, &v, sizeof(v));
	}
	*ps = s;
	return d;
}

/* '"', the text, '"', after. */
static void
put_quoted(struct buf *b, const char *text, size_t n, const char *after)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + n;
	uint8_t *d = buf_reserve(b, 1);

	*d = '"';
	b->len++;
	do {
		const uint8_t *stop = (size_t)(end - s) > PIECE_BYTES ? s + PIECE_BYTES : end;

		/* The last character may reach 3 bytes beyond stop: less than one escape. */
		d = buf_reserve(b, (size_t)(stop - s + 1) * ESCAPE_MAX_BYTES + 2);
		while (s < stop) {
			d = put_plain_words(d, &s, stop);
			for (; s < stop && escape[*s] == 0; s++)
				*d++ = *s;
			if (s < stop)
				d = put_escaped(d, &s, end);
		}
		b->len = (size_t)(d - b->p);
	} while (s < end);
	*d++ = '"';
	if (*after != '\0')
		*d++ = (uint8_t)*after;
	b->len = (size_t)(d - b->p);
}

/* Comma and name in front of a value. */
static void
put_head(struct json_writer *w, const char *name)
{
	if (w->_needs_comma)
		buf_byte(w->b, ',');
	w->_needs_comma = true;
	if (name != NULL)
		put_quoted(w->b, name, strlen(name), ":");
}

void
json_w_init(struct json_writer *w, struct buf *b)
{
	*w = (struct json_writer){ .b = b };
}

static void
put_open(struct json_writer *w, const char *name, uint8_t bracket)
{
	put_head(w, name);
	buf_byte(w->b, bracket);
	w->_needs_comma = false;
}

static void
put_close(struct json_writer *w, uint8_t bracket)
{
	buf_byte(w->b, bracket);
	w->_needs_comma = true;
}

void
json_w_obj_open(struct json_writer *w, const char *name)
{
	put_open(w, name, '{');
}

void
json_w_obj_close(struct json_writer *w)
{
	put_close(w, '}');
}

void
json_w_arr_open(struct json_writer *w, const char *name)
{
	put_open(w, name, '[');
}

void
json_w_arr_close(struct json_writer *w)
{
	put_close(w, ']');
}

void
json_w_strn(struct json_writer *w, const char *name, const char *value, size_t n)
{
	put_head(w, name);
	put_quoted(w->b, n > 0 ? value : "", n, "");
}

void
json_w_str(struct json_writer *w, const char *name, const char *value)
{
	json_w_strn(w, name, value, value != NULL ? strlen(value) : 0);
}

void
json_w_int(struct json_writer *w, const char *name, int64_t value)
{
	char digits[20];	/* -9223372036854775808 */
	char *p = digits + sizeof(digits);
	uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	put_head(w, name);
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	if (value < 0)
		*--p = '-';
	buf_append(w->b, p, (size_t)(digits + sizeof(digits) - p));
}

void
json_w_bool(struct json_writer *w, const char *name, bool value)
{
	json_w_raw(w, name, value ? "true" : "false", value ? 4 : 5);
}

void
json_w_null(struct json_writer *w, const char *name)
{
	json_w_raw(w, name, "null", 4);
}

void
json_w_raw(struct json_writer *w, const char *name, const void *text, size_t n)
{
	put_head(w, name);
	buf_append(w->b, text, n);
}

void
json_w_time(struct json_writer *w, const char *name, int64_t unix_s)
{
	char text[CLOCK_RFC3339_BYTES];

	json_w_str(w, name, clock_rfc3339(unix_s, text));
}

void
json_w_prefixes(struct json_writer *w, const char *name, const struct net_prefix *v, unsigned n)
{
	char text[NET_TEXT_MAX];

	json_w_arr_open(w, name);
	for (unsigned i = 0; i < n; i++)
		if (v[i].ip.family != 0)
			json_w_str(w, NULL, net_prefix_put(&v[i], text));
	json_w_arr_close(w);
}
