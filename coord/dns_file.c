/* Reading happens on this thread: a local file of at most a megabyte, and only when it changed. */
#include "coord/dns_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coord/dns_spec.h"

static bool
stat_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The whole file into *out, and what it was then into *seen. */
static enum err
file_read(const char *path, struct buf *out, struct stat *seen, struct err_text *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);	/* a pipe would wait for a writer */
	enum err rc = ERR_IO;
	ssize_t n;

	if (fd < 0 || fstat(fd, seen) != 0) {
		err_say(why, rc, "%.200s cannot be read: %s", path, strerror(errno));
		goto out;
	}
	rc = ERR_INVAL;
	if (!S_ISREG(seen->st_mode)) {
		err_say(why, rc, "%.200s is not a file", path);
		goto out;
	}
	buf_reserve(out, DNS_FILE_BYTES_MAX + 1);
	while (out->len <= DNS_FILE_BYTES_MAX &&
	    (n = read(fd, out->p + out->len, DNS_FILE_BYTES_MAX + 1 - out->len)) > 0)
		out->len += (size_t)n;
	rc = ERR_OK;
	if (out->len > DNS_FILE_BYTES_MAX)
		rc = err_say(why, ERR_INVAL, "%.200s is larger than %u KiB", path, DNS_FILE_BYTES_MAX >> 10);
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

bool
dns_file_look(struct dns_file *f)
{
	struct stat now = { .st_ino = 0 };
	struct dns_params next = { .n_split = 0 };
	struct buf text = { .len = 0 };
	struct err_text why = { "" }, what;
	enum err rc;
	bool is_there = stat(f->path, &now) == 0, is_news;

	if (!is_there)
		now = (struct stat){ .st_ino = 0 };
	if ((is_there || f->problem[0] != 0) && stat_same(&now, &f->seen))
		return false;
	rc = file_read(f->path, &text, &now, &why);
	f->seen = rc == ERR_IO ? (struct stat){ .st_ino = 0 } : now;
	if (rc == ERR_OK && (rc = dns_spec_file_parse(text.p, text.len, &next, &what)) != ERR_OK)
		err_say(&why, rc, "%.150s: %.150s", f->path, what.s);
	buf_fini(&text);
	is_news = rc == ERR_OK || strcmp(f->problem, why.s) != 0;
	memcpy(f->problem, why.s, sizeof(f->problem));
	if (rc == ERR_OK) {
		dns_params_fini(&f->good);
		f->good = next;
		log_info(LOG_COORD, "DNS records read", "file", f->path, "records", LOG_NUM(next.n_records));
	} else if (is_news) {
		log_warn(LOG_COORD, "DNS records cannot be read: the last good ones stay", "err", f->problem,
		    "records", LOG_NUM(f->good.n_records));
	}
	return is_news;
}

void
dns_file_fini(struct dns_file *f)
{
	dns_params_fini(&f->good);
}
