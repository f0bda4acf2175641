/* The file, looked at by what stat says of it. */
#include "coord/tailnet_policy_file.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"

#define LOOK_S 2

struct policy_file {
	struct tailnet *t;		/* borrowed */
	const char *path;		/* borrowed */
	struct event *timer;
	bool is_saving;
	struct stat seen;		/* when it was last read; zero: never, or it was not there */
};

static void
note_problem(struct tailnet *t, const char *text)
{
	struct tailnet_policy *s = t->policies;

	if (text != NULL && (s->file_problem == NULL || strcmp(s->file_problem, text) != 0))
		log_error(LOG_POLICY, "the policy's file cannot be used: the last good policy stays in force",
		    "err", text);
	free(s->file_problem);
	s->file_problem = text != NULL ? obj_strdup(text) : NULL;
	metric_set(METRIC_POLICY_INVALID, text != NULL || s->unreadable != 0);
}

/* policy_save_fn */
static void
on_saved(void *arg, const struct policy_outcome *o)
{
	struct policy_file *f = arg;
	struct buf text = { .len = 0 };

	f->is_saving = false;
	if (o->rc == ERR_OK) {
		note_problem(f->t, NULL);
		return;
	}
	if (o->rc == ERR_CLOSED)
		return;
	buf_printf(&text, "%s: ", f->path);
	if (o->verdict != NULL && o->verdict->rc != ERR_OK) {
		policy_errors_put(&text, &o->verdict->errors);
	} else {
		buf_str(&text, o->why.s);
		f->seen = (struct stat){ .st_ino = 0 };	/* the file is not at fault: again */
	}
	note_problem(f->t, buf_cstr(&text));
	buf_fini(&text);
}

/* The whole file into *out. */
static enum err
file_read(const char *path, struct buf *out, struct err_text *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);	/* a pipe would wait for a writer */
	enum err rc = ERR_OK;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) != 0)
		rc = err_say(why, ERR_IO, "%.200s cannot be read: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		rc = err_say(why, ERR_INVAL, "%.200s is not a file", path);
	while (rc == ERR_OK && n > 0 && out->len <= POLICY_TEXT_MAX) {
		n = read(fd, buf_reserve(out, 1u << 16), 1u << 16);
		if (n > 0)
			out->len += (size_t)n;
	}
	if (n < 0)
		rc = err_say(why, ERR_IO, "%.200s cannot be read: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static bool
stat_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void
tailnet_policy_file_look(struct tailnet *t)
{
	static const struct actor by = { .name = "policy file" };
	struct policy_file *f = t->policies->_file;
	struct stat now = { .st_ino = 0 };
	struct buf text = { .len = 0 };
	struct err_text why = { "" };

	if (f == NULL || f->is_saving)
		return;
	if (stat(f->path, &now) == 0 && stat_same(&now, &f->seen))
		return;
	if (file_read(f->path, &text, &why) != ERR_OK) {
		f->seen = (struct stat){ .st_ino = 0 };
		note_problem(t, why.s);
	} else {
		struct policy_wish wish = { .text = (const char *)text.p, .n_bytes = text.len,
			.comment = f->path, .what = POLICY_FILE_WHAT, .if_version = -1 };
		f->seen = now;
		f->is_saving = true;
		tailnet_policy_save(t, &by, &wish, on_saved, f);
	}
	buf_fini(&text);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tailnet_policy_file_look(arg);
}

void
tailnet_policy_file_start(struct tailnet *t)
{
	const char *path = t->deps.cfg->policy.path;
	struct timeval tv = { .tv_sec = LOOK_S };
	struct policy_file *f;

	if (path == NULL || path[0] == '\0')
		return;
	f = obj_alloc(sizeof(*f));
	f->t = t;
	f->path = path;
	t->policies->_file = f;
	f->timer = event_new(t->deps.base, -1, EV_PERSIST, on_timer, t);
	ASSERT(f->timer != NULL && event_add(f->timer, &tv) == 0);
	tailnet_policy_file_look(t);
}

void
tailnet_policy_file_stop(struct tailnet *t)
{
	struct policy_file *f = t->policies->_file;

	if (f == NULL)
		return;
	event_free(f->timer);
	free(f);
	t->policies->_file = NULL;
}
