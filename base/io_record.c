/*
 * Streams with TLS 1.3 records of our own (base/tls_record) after OpenSSL's handshake, and the feed
 * that both read from until then.
 */
#include <string.h>

#include "base/io_priv.h"
#include "base/obj.h"

/* Less is not worth a system call, however little the caller has room for. */
#define FEED_LEAST_BYTES	2048u

/* --- the feed --------------------------------------------------------------------------------- */

void
io_feed_leave(struct io *io)
{
	struct io_feed *f = &io->w->stage->feed;

	if (f->owner != io)
		return;
	io_run_prepend(&io->raw, f->p + f->at, f->end - f->at);
	f->owner = NULL;
}

/* The feed is io's from here on, with what was put aside when it was another's. */
static struct io_feed *
feed_of(struct io *io)
{
	struct io_feed *f = &io->w->stage->feed;

	if (f->owner == io)
		return f;
	if (f->owner != NULL)
		io_feed_leave(f->owner);
	f->owner = io;
	f->at = 0;
	f->end = io_run_take(&io->raw, f->p, sizeof f->p);
	return f;
}

size_t
io_feed_peek(struct io *io, uint8_t **p)
{
	struct io_feed *f = feed_of(io);

	*p = f->p + f->at;
	return f->end - f->at;
}

void
io_feed_drop(struct io *io, size_t n)
{
	struct io_feed *f = &io->w->stage->feed;

	ASSERT(f->owner == io && n <= f->end - f->at);
	f->at += n;
}

enum err
io_feed_more(struct io *io, size_t wish)
{
	struct io_feed *f = feed_of(io);
	size_t room, n;
	enum err rc = ERR_OK;

	if (f->at > 0)
		memmove(f->p, f->p + f->at, f->end - f->at);
	f->end -= f->at;
	f->at = 0;
	room = sizeof f->p - f->end;
	ASSERT(room > 0);
	n = io_run_take(&io->raw, f->p + f->end, room);
	if (n == 0)
		rc = io_recv(io, f->p + f->end, wish < room ? wish : room, &n);
	if (rc == ERR_OK)
		f->end += n;
	return rc;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The stream ends here for us. The peer is told why if it is to know, behind what was said before. */
static enum err
record_fail(struct io *io, int alert)
{
	uint8_t record[TLS_RECORD_ALERT_BYTES];

	if (alert >= 0) {
		tls_record_alert_seal(io->rec, (enum tls_record_alert)alert, record);
		if (io_tls_say(io, record, sizeof record))
			(void)!io_flush(io);
	}
	io_break(io);
	return ERR_IO;
}

/* The socket gave nothing. */
static enum err
record_dry(struct io *io, enum err rc)
{
	if (rc == ERR_AGAIN)
		return rc;
	if (!io->is_broken) {
		(void)io_send_out(io);
		io_break(io);
	}
	return rc;
}

/* Opens a whole record: data->n is 0 if there is nothing for the caller. */
static enum err
record_open(struct io *io, size_t n_record, const struct tls_record_bytes *room,
	struct tls_record_bytes *data)
{
	struct tls_record_bytes record = { .n = n_record };
	enum err rc;

	(void)io_feed_peek(io, &record.p);
	rc = tls_record_open(io->rec, &record, room, data);
	io_feed_drop(io, n_record);
	if (rc == ERR_OK)
		return ERR_OK;
	if (rc != ERR_CLOSED)
		return record_fail(io, tls_record_fault(io->rec));
	io->is_eof = true;
	return ERR_CLOSED;
}

/* Up to cap bytes for the caller, the rest for the next call. */
static size_t
record_give(struct io *io, const struct tls_record_bytes *data, void *p, size_t cap)
{
	size_t n = data->n < cap ? data->n : cap;

	if (data->p != p)
		memcpy(p, data->p, n);
	if (n == data->n)
		return n;
	if (io->ws != NULL)
		io_ws_unread(io, data->p + n, data->n - n);
	else
		io_run_append(&io->front, data->p + n, data->n - n);
	return n;
}

enum err
io_record_read(struct io *io, void *p, size_t cap, size_t *got)
{
	const struct tls_record_bytes room = { p, cap };
	struct tls_record_bytes data = { .n = 0 };

	if (io->is_eof)
		return ERR_CLOSED;
	while (data.n == 0) {
		uint8_t *head;
		size_t n = io_feed_peek(io, &head), n_record, wish;
		enum err rc = tls_record_parse(head, n, &n_record);

		if (rc == ERR_LIMIT)
			return record_fail(io, TLS_RECORD_OVERFLOW);
		if (rc == ERR_AGAIN) {
			wish = cap > n_record - n ? cap : n_record - n;
			rc = io_feed_more(io, wish > FEED_LEAST_BYTES ? wish : FEED_LEAST_BYTES);
			if (rc != ERR_OK)
				return record_dry(io, rc);
			continue;
		}
		if ((rc = record_open(io, n_record, &room, &data)) != ERR_OK)
			return rc;
	}
	*got = record_give(io, &data, p, cap);
	return ERR_OK;
}

bool
io_record_has_more(const struct io *io)
{
	const struct io_feed *f = &io->w->stage->feed;
	size_t n_record;

	if (f->owner == io)
		return io_run_len(&io->raw) > 0 ||
		    tls_record_parse(f->p + f->at, f->end - f->at, &n_record) != ERR_AGAIN;
	return io_run_len(&io->raw) > 0 &&
	    tls_record_parse(io->raw.p + io->raw.at, io_run_len(&io->raw), &n_record) != ERR_AGAIN;
}

/* --- sealing ---------------------------------------------------------------------------------- */

enum err
io_record_seal(struct io *io, const void *p, size_t n)
{
	struct io_stage *s = io->w->stage;
	uint8_t small[IO_SMALL_BYTES + TLS_RECORD_SEAL_EXTRA_BYTES];
	const uint8_t *from = p;

	if (s->owner != io) {
		ASSERT(n <= IO_SMALL_BYTES);
		if (io_tls_say(io, small, tls_record_seal(io->rec, from, n, small)))
			return ERR_OK;
		io_break(io);
		return ERR_IO;
	}
	while (n > 0) {
		size_t k = n < TLS_RECORD_PLAIN_MAX ? n : TLS_RECORD_PLAIN_MAX;

		ASSERT(k + TLS_RECORD_SEAL_EXTRA_BYTES <= sizeof s->p - s->len);
		s->len += tls_record_seal(io->rec, from, k, s->p + s->len);
		from += k;
		n -= k;
	}
	return ERR_OK;
}

void
io_record_goodbye(struct io *io)
{
	uint8_t record[TLS_RECORD_ALERT_BYTES];

	if (io->is_broken)
		return;
	tls_record_alert_seal(io->rec, TLS_RECORD_CLOSE_NOTIFY, record);
	(void)!io_tls_say(io, record, sizeof record);
}
