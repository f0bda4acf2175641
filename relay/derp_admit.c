/* Signed records -> admitted keys, and the file. */
#include "relay/derp_admit.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"

#define ADMIT_MAGIC	0xad317000u
#define BACK_MAX_S	86400	/* the coordinator's clock may be put right by so much */
#define FILE_MAGIC	"FLRELAY1"
#define FILE_HEAD_BYTES	(sizeof(FILE_MAGIC) - 1 + ADMIT_PUBLIC_BYTES)

struct admitted {
	struct node_key key;
	bool is_new;			/* while a SNAPSHOT is applied: it is in there */
};

struct derp_admit {
	uint32_t magic;
	struct derp_admit_ops ops;
	char *path;			/* owned */
	bool is_pinned;
	uint8_t public[ADMIT_PUBLIC_BYTES];
	struct map keys;		/* struct admitted, owned */
	bool has_state, is_current;	/* of any stream or the file; of this stream */
	bool is_stale;			/* not valid any more: keys are retired */
	uint64_t epoch, seq;
	int64_t issued_unix_s, valid_until_unix_s;
	struct buf in;			/* of the stream: an incomplete record */
	struct buf config;		/* the last CONFIG as a record, for the file */
	int fd;				/* of the file, at its end; -1: none */
	size_t log_bytes;		/* behind the SNAPSHOT */
	int64_t tick_written_unix_s;
};

struct derp_admit *
derp_admit_new(const char *path, const struct derp_admit_ops *ops)
{
	struct derp_admit *a = obj_alloc(sizeof *a);

	a->magic = ADMIT_MAGIC;
	a->ops = *ops;
	a->path = obj_strdup(path);
	a->fd = -1;
	MAP_INIT(&a->keys, struct admitted, key);
	return a;
}

static void
file_close(struct derp_admit *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

void
derp_admit_free(struct derp_admit *a)
{
	struct admitted *k;

	if (a == NULL)
		return;
	OBJ_CHECK(a, ADMIT_MAGIC);
	file_close(a);
	for (size_t at = 0; (k = map_next(&a->keys, &at)) != NULL;)
		free(k);
	map_fini(&a->keys);
	buf_fini(&a->in);
	sodium_memzero(a->config.p, a->config.len);
	buf_fini(&a->config);
	free(a->path);
	a->magic = 0;
	free(a);
}

/* --- the state -------------------------------------------------------------------------------- */

static struct admitted *
key_add(struct derp_admit *a, const struct node_key *key)
{
	struct admitted *k = map_find(&a->keys, key);

	if (k == NULL) {
		k = obj_alloc(sizeof *k);
		k->key = *key;
		map_put(&a->keys, k);
	}
	a->ops.admit(a->ops.arg, key);
	return k;
}

static void
key_remove(struct derp_admit *a, const struct node_key *key)
{
	struct admitted *k = map_remove(&a->keys, key);

	if (k == NULL)
		return;
	a->ops.expel(a->ops.arg, key);
	free(k);
}

static void
apply_snapshot(struct derp_admit *a, const struct admit_record *r)
{
	struct admitted *k;
	struct node_key key;

	for (size_t i = 0; i < r->n; i += KEY_BYTES) {
		memcpy(key.b, r->payload + i, KEY_BYTES);
		key_add(a, &key)->is_new = true;
	}
	for (size_t at = 0; (k = map_next(&a->keys, &at)) != NULL;) {
		if (k->is_new) {
			k->is_new = false;
			continue;
		}
		key = k->key;
		key_remove(a, &key);
	}
}

static void
apply_delta(struct derp_admit *a, const struct admit_record *r)
{
	struct node_key key;

	for (size_t i = 0; i < r->n; i += ADMIT_CHANGE_BYTES) {
		memcpy(key.b, r->payload + i + 1, KEY_BYTES);
		if (r->payload[i] == 1)
			(void)key_add(a, &key);
		else
			key_remove(a, &key);
	}
}

void
derp_admit_look(struct derp_admit *a, int64_t now_unix_s)
{
	struct admitted *k;

	OBJ_CHECK(a, ADMIT_MAGIC);
	bool is_stale = a->has_state && !a->is_current && now_unix_s > a->valid_until_unix_s;
	if (is_stale == a->is_stale)
		return;
	a->is_stale = is_stale;
	for (size_t at = 0; (k = map_next(&a->keys, &at)) != NULL;)
		(is_stale ? a->ops.retire : a->ops.admit)(a->ops.arg, &k->key);
	if (is_stale)
		log_warn(LOG_RELAY, "the coordinator has been away for too long: nobody new is let in");
	else
		log_info(LOG_RELAY, "clients are let in again");
}

static void
apply_config(struct derp_admit *a, const struct admit_record *r)
{
	char *text = obj_alloc(r->n + 1);

	memcpy(text, r->payload, r->n);
	a->ops.config(a->ops.arg, text, r->n);
	sodium_memzero(text, r->n);
	free(text);
}

/* What the record says, if it follows from what is known. */
static enum err
apply(struct derp_admit *a, const struct admit_record *r, int64_t now_unix_s, struct err_text *why)
{
	bool is_next = a->has_state && r->epoch == a->epoch &&
	    r->seq == a->seq + (r->kind == ADMIT_DELTA ? 1 : 0);

	if (r->kind == ADMIT_CONFIG) {
		apply_config(a, r);
		return ERR_OK;
	}
	if (r->issued_unix_s < a->issued_unix_s - BACK_MAX_S)
		return err_say(why, ERR_PROTO, "the coordinator says what it said before: its clock is "
		    "wrong, or somebody is between");
	if (r->kind != ADMIT_SNAPSHOT && !is_next)
		return err_say(why, ERR_PROTO, "a part of what the coordinator said is missing");
	if (r->kind == ADMIT_SNAPSHOT)
		apply_snapshot(a, r);
	else if (r->kind == ADMIT_DELTA)
		apply_delta(a, r);
	a->has_state = true;
	a->epoch = r->epoch;
	a->seq = r->seq;
	a->issued_unix_s = r->issued_unix_s;
	a->valid_until_unix_s = r->issued_unix_s + r->valid_s;
	/* Every key of a SNAPSHOT was admitted just now. */
	if (r->kind == ADMIT_SNAPSHOT)
		a->is_stale = false;
	derp_admit_look(a, now_unix_s);
	return ERR_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

static bool
write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t got = write(fd, at, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

static void
file_failed(struct derp_admit *a, int e)
{
	log_warn(LOG_RELAY, "cannot keep who may use the relay: after a restart without the coordinator nobody "
	    "would be let in", "file", a->path, "err", strerror(e));
	file_close(a);
}

/* Head, CONFIG and SNAPSHOT, in place of the old file. */
static void
file_begin(struct derp_admit *a, const uint8_t *record, size_t n)
{
	struct buf path = { .len = 0 };
	int fd;

	file_close(a);
	buf_printf(&path, "%s.new", a->path);
	fd = open(buf_cstr(&path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || !write_all(fd, FILE_MAGIC, sizeof(FILE_MAGIC) - 1) ||
	    !write_all(fd, a->public, sizeof a->public) || !write_all(fd, a->config.p, a->config.len) ||
	    !write_all(fd, record, n) || fsync(fd) != 0 || rename(buf_cstr(&path), a->path) != 0) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		file_failed(a, e);
	} else {
		a->fd = fd;
		a->log_bytes = 0;
		a->tick_written_unix_s = a->issued_unix_s;
	}
	buf_fini(&path);
}

static void
file_add(struct derp_admit *a, const uint8_t *record, size_t n)
{
	if (a->fd < 0)
		return;
	if (write_all(a->fd, record, n))
		a->log_bytes += n;
	else
		file_failed(a, errno);
}

/* Keeps the record that was applied. */
static void
keep(struct derp_admit *a, const struct admit_record *r, const uint8_t *record, size_t n)
{
	switch (r->kind) {
	case ADMIT_CONFIG:
		sodium_memzero(a->config.p, a->config.len);
		buf_clear(&a->config);
		buf_append(&a->config, record, n);
		file_add(a, record, n);
		break;
	case ADMIT_SNAPSHOT:
		file_begin(a, record, n);
		break;
	case ADMIT_DELTA:
		file_add(a, record, n);
		break;
	case ADMIT_TICK:
		if (r->issued_unix_s - a->tick_written_unix_s >= DERP_ADMIT_TICK_S) {
			file_add(a, record, n);
			a->tick_written_unix_s = r->issued_unix_s;
		}
		break;
	}
}

static enum err
file_read(const char *path, struct buf *out, struct err_text *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	while (fd >= 0 && out->len <= 2 * (size_t)ADMIT_RECORD_MAX &&
	    (n = read(fd, buf_reserve(out, 65536), 65536)) > 0)
		out->len += (size_t)n;
	if (fd < 0 || n < 0) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		return err_say(why, ERR_IO, "cannot read %s: %s", path, strerror(e));
	}
	close(fd);
	return ERR_OK;
}

enum err
derp_admit_load(struct derp_admit *a, int64_t now_unix_s, struct err_text *why)
{
	struct buf file = { .len = 0 };
	size_t at = FILE_HEAD_BYTES, used;
	struct err_text unsaid;
	enum err rc;

	OBJ_CHECK(a, ADMIT_MAGIC);
	if ((rc = file_read(a->path, &file, why)) != ERR_OK || file.len == 0)
		goto out;
	if (file.len < FILE_HEAD_BYTES || memcmp(file.p, FILE_MAGIC, sizeof(FILE_MAGIC) - 1) != 0) {
		log_warn(LOG_RELAY, "not a file of who may use the relay: left alone", "file", a->path);
		goto out;
	}
	memcpy(a->public, file.p + sizeof(FILE_MAGIC) - 1, sizeof a->public);
	a->is_pinned = true;
	while (at < file.len) {
		struct admit_record r;

		if (admit_record_parse(file.p + at, file.len - at, a->public, &r, &used) != ERR_OK ||
		    apply(a, &r, r.issued_unix_s, &unsaid) != ERR_OK)
			break;
		if (r.kind == ADMIT_CONFIG) {
			buf_clear(&a->config);
			buf_append(&a->config, file.p + at, used);
		}
		at += used;
	}
	if (at < file.len)
		log_warn(LOG_RELAY, "the end of the file of who may use the relay cannot be used", "file",
		    a->path);
	derp_admit_look(a, now_unix_s);
out:
	sodium_memzero(file.p, file.len);
	buf_fini(&file);
	return rc;
}

/* --- the stream ------------------------------------------------------------------------------- */

enum err
derp_admit_pin(struct derp_admit *a, const uint8_t public[ADMIT_PUBLIC_BYTES], struct err_text *why)
{
	OBJ_CHECK(a, ADMIT_MAGIC);
	if (a->is_pinned && memcmp(a->public, public, sizeof a->public) != 0)
		return err_say(why, ERR_DENIED, "the coordinator is another one than before: if that is right, "
		    "remove %s", a->path);
	memcpy(a->public, public, sizeof a->public);
	a->is_pinned = true;
	return ERR_OK;
}

void
derp_admit_lost(struct derp_admit *a)
{
	OBJ_CHECK(a, ADMIT_MAGIC);
	buf_fini(&a->in);
	a->is_current = false;
}

/* One record of the stream, which is at the start of a->in. */
static enum err
take(struct derp_admit *a, const struct admit_record *r, size_t n, int64_t now_unix_s, struct err_text *why)
{
	enum err rc;

	if (!a->is_current && (r->kind == ADMIT_DELTA || r->kind == ADMIT_TICK))
		return err_say(why, ERR_PROTO, "the coordinator does not begin with the whole state");
	if ((rc = apply(a, r, now_unix_s, why)) != ERR_OK)
		return rc;
	keep(a, r, a->in.p, n);
	if (r->kind == ADMIT_SNAPSHOT)
		a->is_current = true;
	if (a->log_bytes > DERP_ADMIT_LOG_MAX)
		return err_say(why, ERR_LIMIT, "the whole state is asked for again");
	return ERR_OK;
}

enum err
derp_admit_feed(struct derp_admit *a, const void *p, size_t n, int64_t now_unix_s, struct err_text *why)
{
	enum err rc = ERR_OK;
	struct admit_record r;
	size_t used;

	OBJ_CHECK(a, ADMIT_MAGIC);
	ASSERT(a->is_pinned);
	buf_append(&a->in, p, n);
	while (rc == ERR_OK && (rc = admit_record_parse(a->in.p, a->in.len, a->public, &r, &used)) == ERR_OK) {
		rc = take(a, &r, used, now_unix_s, why);
		buf_consume(&a->in, used);
		if (rc != ERR_OK)
			return rc;
	}
	if (rc == ERR_AGAIN)
		return ERR_OK;
	return err_say(why, rc, "what came is not from the coordinator: %s", err_str(rc));
}

bool
derp_admit_is_current(const struct derp_admit *a)
{
	return a->is_current;
}

int64_t
derp_admit_valid_until(const struct derp_admit *a)
{
	return a->has_state ? a->valid_until_unix_s : 0;
}

size_t
derp_admit_count(const struct derp_admit *a)
{
	return a->keys.count;
}

bool
derp_admit_has(const struct derp_admit *a, const struct node_key *key)
{
	return map_find(&a->keys, key) != NULL;
}

void
derp_admit_end(struct derp_admit *a)
{
	struct admitted *k;

	OBJ_CHECK(a, ADMIT_MAGIC);
	for (size_t at = 0; (k = map_next(&a->keys, &at)) != NULL;) {
		struct node_key key = k->key;

		key_remove(a, &key);
	}
	file_close(a);
	if (unlink(a->path) != 0 && errno != ENOENT)
		log_warn(LOG_RELAY, "cannot remove a file", "file", a->path, "err", strerror(errno));
	a->has_state = a->is_current = false;
}
