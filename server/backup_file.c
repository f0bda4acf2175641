/*
 * A ustar header, 512 bytes; numbers are octal text that ends with NUL:
 *
 *	  0  name 100		 108 uid 8	 124 size 12	 148 checksum 8	(its own bytes as blanks)
 *	100  mode 8		 116 gid 8	 136 mtime 12	 156 type '0'	257 "ustar\0" "00"
 *	345  prefix 155: what stands before name and a slash
 *
 * A file's bytes follow, filled up with zeros to 512; two blocks of zeros end the archive.
 */
#include "server/backup_file.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/key.h"

#define BLOCK		512u
#define NAME_AT		0u
#define NAME_BYTES	100u
#define SIZE_AT		124u
#define SUM_AT		148u
#define TYPE_AT		156u
#define MAGIC_AT	257u
#define PREFIX_AT	345u
#define PREFIX_BYTES	155u
#define TOP		"fairlead-backup/"
#define MANIFEST	"MANIFEST"
#define MANIFEST_MAX	(128u << 10)
#define FIRST_LINE	"fairlead backup 1\n"
#define CHUNK		(64u << 10)

bool
backup_name_is_good(const char *name)
{
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@+:=,~";
	const char *p = name;

	if (strlen(name) >= BACKUP_NAME_BYTES)
		return false;
	if (strcmp(name, BACKUP_CONFIG) == 0)
		return true;
	if (strncmp(name, BACKUP_DATA, strlen(BACKUP_DATA)) != 0)
		return false;
	for (;; p++) {
		size_t n = strspn(p, ok);
		if (n == 0 || (n <= 2 && strspn(p, ".") == n))
			return false;
		p += n;
		if (*p == '\0')
			return true;
		if (*p != '/')
			return false;
	}
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Splits TOP + name where the header wants it. false: it does not fit. */
static bool
header_name_put(uint8_t h[BLOCK], const char *name)
{
	char path[sizeof(TOP) + BACKUP_NAME_BYTES];
	size_t n = (size_t)snprintf(path, sizeof(path), TOP "%s", name), cut;

	if (n <= NAME_BYTES) {
		memcpy(h + NAME_AT, path, n);
		return true;
	}
	for (cut = n - NAME_BYTES - 1; cut < n && path[cut] != '/'; cut++)
		;
	if (cut == n || cut > PREFIX_BYTES)
		return false;
	memcpy(h + PREFIX_AT, path, cut);
	memcpy(h + NAME_AT, path + cut + 1, n - cut - 1);
	return true;
}

static void
octal_put(uint8_t *to, size_t n, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*" PRIo64, (int)n - 1, v);
	memcpy(to, text, n);
}

static unsigned
header_sum(const uint8_t h[BLOCK])
{
	unsigned sum = 0;

	for (unsigned i = 0; i < BLOCK; i++)
		sum += i >= SUM_AT && i < SUM_AT + 8 ? ' ' : h[i];
	return sum;
}

static bool
header_make(uint8_t h[BLOCK], const char *name, uint64_t n_bytes, int64_t mtime)
{
	memset(h, 0, BLOCK);
	if (n_bytes > BACKUP_FILE_MAX_BYTES || !header_name_put(h, name))
		return false;
	octal_put(h + 100, 8, 0600);
	octal_put(h + 108, 8, 0);
	octal_put(h + 116, 8, 0);
	octal_put(h + SIZE_AT, 12, n_bytes);
	octal_put(h + 136, 12, (uint64_t)(mtime > 0 ? mtime : 0) & 077777777777);
	h[TYPE_AT] = '0';
	memcpy(h + MAGIC_AT, "ustar\0" "00", 8);
	octal_put(h + SUM_AT, 7, header_sum(h));
	h[SUM_AT + 7] = ' ';
	return true;
}

/* Every byte of a source, in pieces. f may be NULL (only the sum), sum too (only the bytes). */
static enum err
source_pass(const struct backup_write *w, const struct backup_source *s, FILE *f,
    crypto_hash_sha256_state *sum, struct err_text *why)
{
	static _Thread_local uint8_t piece[CHUNK];
	uint64_t at = 0;

	while (at < s->n_bytes) {
		size_t n = s->n_bytes - at < CHUNK ? (size_t)(s->n_bytes - at) : CHUNK;
		const uint8_t *p = piece;
		if (w->stop != NULL && atomic_load(w->stop))
			return err_say(why, ERR_CLOSED, "the server is stopping");
		if (s->fd < 0) {
			p = (const uint8_t *)s->p + at;
		} else {
			ssize_t got = pread(s->fd, piece, n, (off_t)at);
			if (got <= 0)
				return err_say(why, ERR_IO, "%s cannot be read: %s", s->name,
				    got < 0 ? strerror(errno) : "it became shorter");
			n = (size_t)got;
		}
		if (sum != NULL)
			crypto_hash_sha256_update(sum, p, n);
		if (f != NULL && fwrite(p, 1, n, f) != n)
			return err_say(why, ERR_IO, "the backup cannot be written: %s", strerror(errno));
		at += n;
	}
	return ERR_OK;
}

static enum err
member_write(FILE *f, const struct backup_write *w, const struct backup_source *s, struct err_text *why)
{
	static const uint8_t zeros[BLOCK];
	uint8_t h[BLOCK];
	size_t pad = (BLOCK - s->n_bytes % BLOCK) % BLOCK;
	enum err rc;

	if (!header_make(h, s->name, s->n_bytes, w->made_unix_s))
		return err_say(why, ERR_LIMIT, "%s does not fit into a backup: it is too large, or its name"
		    " too long", s->name);
	if (fwrite(h, 1, BLOCK, f) != BLOCK)
		return err_say(why, ERR_IO, "the backup cannot be written: %s", strerror(errno));
	if ((rc = source_pass(w, s, f, NULL, why)) != ERR_OK)
		return rc;
	if (fwrite(zeros, 1, pad, f) != pad)
		return err_say(why, ERR_IO, "the backup cannot be written: %s", strerror(errno));
	return ERR_OK;
}

static void
sum_put(struct buf *out, const char *word, const uint8_t sum[BACKUP_SUM_BYTES])
{
	char hex[2 * BACKUP_SUM_BYTES + 1];

	buf_printf(out, "%s %s", word, key_hex_put(sum, BACKUP_SUM_BYTES, hex));
}

static enum err
manifest_make(const struct backup_write *w, struct buf *out, struct err_text *why)
{
	char made[CLOCK_RFC3339_BYTES];
	uint8_t sum[BACKUP_SUM_BYTES];
	enum err rc;

	buf_printf(out, FIRST_LINE "version %.60s\nmade %s\n", w->version,
	    clock_rfc3339(w->made_unix_s, made));
	for (unsigned i = 0; i < w->n_sources; i++) {
		const struct backup_source *s = &w->sources[i];
		crypto_hash_sha256_state state;
		crypto_hash_sha256_init(&state);
		if ((rc = source_pass(w, s, NULL, &state, why)) != ERR_OK)
			return rc;
		crypto_hash_sha256_final(&state, sum);
		sum_put(out, "file", sum);
		buf_printf(out, " %" PRIu64 " %s\n", s->n_bytes, s->name);
	}
	crypto_hash_sha256(sum, out->p, out->len);
	sum_put(out, "end", sum);
	buf_byte(out, '\n');
	return ERR_OK;
}

enum err
backup_file_write(FILE *f, const struct backup_write *w, struct err_text *why)
{
	static const uint8_t zeros[2 * BLOCK];
	struct buf text = { .len = 0 };
	enum err rc;

	if (w->n_sources > BACKUP_FILES_MAX)
		return err_say(why, ERR_LIMIT, "there are more than %d files to back up", BACKUP_FILES_MAX);
	rc = manifest_make(w, &text, why);
	struct backup_source manifest = { .name = MANIFEST, .fd = -1, .p = text.p, .n_bytes = text.len };
	if (rc == ERR_OK)
		rc = member_write(f, w, &manifest, why);
	for (unsigned i = 0; i < w->n_sources && rc == ERR_OK; i++)
		rc = member_write(f, w, &w->sources[i], why);
	if (rc == ERR_OK && (fwrite(zeros, 1, sizeof(zeros), f) != sizeof(zeros) || fflush(f) != 0))
		rc = err_say(why, ERR_IO, "the backup cannot be written: %s", strerror(errno));
	buf_fini(&text);
	return rc;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Exactly n bytes. what: for the sentence. */
static enum err
take(FILE *f, void *to, size_t n, const char *what, struct err_text *why)
{
	if (fread(to, 1, n, f) == n)
		return ERR_OK;
	if (ferror(f))
		return err_say(why, ERR_IO, "the backup cannot be read: %s", strerror(errno));
	return err_say(why, ERR_PROTO, "the backup is cut off: it ends inside %s", what);
}

static enum err
say_damaged(struct err_text *why, const char *what)
{
	return err_say(why, ERR_PROTO, "the backup is damaged: %s is not as it was written", what);
}

/* Is h what the writer makes for this member? mode, owner and time may differ: nothing hangs on them. */
static bool
header_is(const uint8_t h[BLOCK], const char *name, uint64_t n_bytes)
{
	uint8_t want[BLOCK];

	if (!header_make(want, name, n_bytes, 0))
		return false;
	memcpy(want + 100, h + 100, 24);
	memcpy(want + 136, h + 136, 12);
	octal_put(want + SUM_AT, 7, header_sum(want));
	want[SUM_AT + 7] = ' ';
	return memcmp(h, want, BLOCK) == 0;
}

static enum err
padding_take(FILE *f, uint64_t n_bytes, const char *what, struct err_text *why)
{
	uint8_t pad[BLOCK];
	size_t n = (BLOCK - n_bytes % BLOCK) % BLOCK;
	enum err rc = take(f, pad, n, what, why);

	if (rc == ERR_OK && !sodium_is_zero(pad, n))
		rc = say_damaged(why, what);
	return rc;
}

/* The first member, whose size is not known beforehand. */
static enum err
manifest_take(FILE *f, struct buf *out, struct err_text *why)
{
	uint8_t h[BLOCK];
	uint64_t n = 0;

	if (fread(h, 1, BLOCK, f) != BLOCK || memcmp(h, TOP MANIFEST, sizeof(TOP MANIFEST)) != 0)
		return err_say(why, ERR_INVAL, "this is not a backup that `fairlead backup` made");
	for (unsigned i = 0; i < 11 && h[SIZE_AT + i] >= '0' && h[SIZE_AT + i] <= '7'; i++)
		n = n * 8 + (h[SIZE_AT + i] - (unsigned)'0');
	if (n == 0 || n > MANIFEST_MAX || !header_is(h, MANIFEST, n))
		return say_damaged(why, "its table of contents");
	enum err rc = take(f, buf_reserve(out, (size_t)n), (size_t)n, "its table of contents", why);
	if (rc != ERR_OK)
		return rc;
	out->len += (size_t)n;
	return padding_take(f, n, "its table of contents", why);
}

/* The line at *p (its newline becomes NUL) when it starts with word and a blank: what follows. NULL
 * otherwise. */
static char *
line_take(char **p, const char *word)
{
	size_t n = strlen(word);
	char *end = strchr(*p, '\n'), *rest;

	if (end == NULL || strncmp(*p, word, n) != 0 || (*p)[n] != ' ')
		return NULL;
	*end = '\0';
	rest = *p + n + 1;
	*p = end + 1;
	return rest;
}

/* "SHA256 BYTES NAME" */
static bool
member_parse(const char *line, struct backup_list *list)
{
	struct backup_member *m = &list->members[list->n];
	char bytes[24];
	int at = 0;

	if (list->n == BACKUP_FILES_MAX || strlen(line) < 2 * BACKUP_SUM_BYTES + 1 ||
	    key_hex_parse(line, 2 * BACKUP_SUM_BYTES, m->sum) != ERR_OK ||
	    sscanf(line + 2 * BACKUP_SUM_BYTES, " %" SCNu64 " %n", &m->n_bytes, &at) != 1 || at == 0 ||
	    m->n_bytes > BACKUP_FILE_MAX_BYTES)
		return false;
	const char *name = line + 2 * BACKUP_SUM_BYTES + at;
	/* Nothing but what the writer would have put: no sign, no second blank. */
	if ((size_t)snprintf(bytes, sizeof(bytes), " %" PRIu64 " ", m->n_bytes) != (size_t)at ||
	    strncmp(line + 2 * BACKUP_SUM_BYTES, bytes, (size_t)at) != 0 || !backup_name_is_good(name))
		return false;
	for (unsigned i = 0; i < list->n; i++)
		if (strcmp(list->members[i].name, name) == 0)
			return false;
	snprintf(m->name, sizeof(m->name), "%s", name);
	list->n++;
	return true;
}

/* Of the text (with NUL); it is cut into lines. */
static enum err
manifest_parse(char *text, size_t n, struct backup_list *list, struct err_text *why)
{
	char *p = text, *line, *last = n > 0 ? memrchr(text, '\n', n - 1) : NULL;
	uint8_t sum[BACKUP_SUM_BYTES], want[BACKUP_SUM_BYTES];

	memset(list, 0, sizeof(*list));
	if (last == NULL || strlen(text) != n)
		return say_damaged(why, "its table of contents");
	crypto_hash_sha256(sum, (const uint8_t *)text, (size_t)(last + 1 - text));
	char *end = last + 1;
	if ((line = line_take(&end, "end")) == NULL || *end != '\0' ||
	    strlen(line) != 2 * BACKUP_SUM_BYTES ||
	    key_hex_parse(line, 2 * BACKUP_SUM_BYTES, want) != ERR_OK ||
	    sodium_memcmp(sum, want, sizeof(sum)) != 0)
		return say_damaged(why, "its table of contents");
	last[1] = '\0';
	if (strncmp(p, FIRST_LINE, strlen(FIRST_LINE)) != 0)
		return err_say(why, ERR_UNSUPPORTED, "the backup was made by a newer fairlead: restore it with"
		    " that version");
	p += strlen(FIRST_LINE);
	if ((line = line_take(&p, "version")) == NULL || strlen(line) >= sizeof(list->version))
		return say_damaged(why, "its table of contents");
	snprintf(list->version, sizeof(list->version), "%s", line);
	if ((line = line_take(&p, "made")) == NULL || strlen(line) >= sizeof(list->made))
		return say_damaged(why, "its table of contents");
	snprintf(list->made, sizeof(list->made), "%s", line);
	while ((line = line_take(&p, "file")) != NULL)
		if (!member_parse(line, list))
			return say_damaged(why, "its table of contents");
	return *p == '\0' ? ERR_OK : say_damaged(why, "its table of contents");
}

static enum err
member_take(FILE *f, const struct backup_member *m, const struct backup_sink *sink, struct err_text *why)
{
	static _Thread_local uint8_t piece[CHUNK];
	uint8_t sum[BACKUP_SUM_BYTES];
	crypto_hash_sha256_state state;
	enum err rc;

	if ((rc = take(f, piece, BLOCK, m->name, why)) != ERR_OK)
		return rc;
	if (!header_is(piece, m->name, m->n_bytes))
		return say_damaged(why, m->name);
	if (sink != NULL && (rc = sink->begin(sink->arg, m, why)) != ERR_OK)
		return rc;
	crypto_hash_sha256_init(&state);
	for (uint64_t left = m->n_bytes; left > 0; ) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		if ((rc = take(f, piece, n, m->name, why)) != ERR_OK ||
		    (sink != NULL && (rc = sink->data(sink->arg, piece, n, why)) != ERR_OK))
			return rc;
		crypto_hash_sha256_update(&state, piece, n);
		left -= n;
	}
	crypto_hash_sha256_final(&state, sum);
	if ((rc = padding_take(f, m->n_bytes, m->name, why)) != ERR_OK)
		return rc;
	if (sodium_memcmp(sum, m->sum, sizeof(sum)) != 0)
		return say_damaged(why, m->name);
	return sink != NULL ? sink->end(sink->arg, why) : ERR_OK;
}

/* Two blocks of zeros, and nothing behind them. */
static enum err
end_take(FILE *f, struct err_text *why)
{
	uint8_t end[2 * BLOCK];
	enum err rc = take(f, end, sizeof(end), "its last block", why);

	if (rc == ERR_OK && (!sodium_is_zero(end, sizeof(end)) || getc(f) != EOF))
		rc = say_damaged(why, "its end");
	return rc;
}

enum err
backup_file_read(FILE *f, const struct backup_sink *sink, struct backup_list *out, struct err_text *why)
{
	struct backup_list *list = obj_alloc(sizeof(*list));
	struct buf text = { .len = 0 };
	enum err rc = manifest_take(f, &text, why);

	if (rc == ERR_OK) {
		buf_byte(&text, 0);
		rc = manifest_parse((char *)text.p, text.len - 1, list, why);
	}
	for (unsigned i = 0; rc == ERR_OK && i < list->n; i++)
		rc = member_take(f, &list->members[i], sink, why);
	if (rc == ERR_OK)
		rc = end_take(f, why);
	if (rc == ERR_OK)
		*out = *list;
	buf_fini(&text);
	free(list);
	return rc;
}
