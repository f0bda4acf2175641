/* fairlead backup */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/backup_file.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cmd.h"

/* The whole backup in fd, checked and on disk. Returns the exit code. */
static int
fetch(int fd, struct backup_list *list)
{
	struct err_text why;
	int code = cli_download("/backup", fd), copy;
	FILE *f = NULL;

	if (code != 0)
		return code;
	if (fsync(fd) != 0 || lseek(fd, 0, SEEK_SET) != 0)
		return cli_fail("cannot write the backup: %s", strerror(errno));
	if ((copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0 || (f = fdopen(copy, "r")) == NULL)
		return cli_fail("cannot read the backup again: %s", strerror(errno));
	if (backup_file_read(f, NULL, list, &why) != ERR_OK)
		code = cli_fail("%s", why.s);
	fclose(f);
	return code;
}

/* A new name is on disk when its directory is. */
static void
sync_directory(const char *path)
{
	char *copy = obj_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fsync(fd);	/* not every file system can */
		close(fd);
	}
	free(copy);
}

static int
say(const struct cli *c, const char *path, const struct backup_list *list)
{
	uint64_t n_bytes = 0;

	for (unsigned i = 0; i < list->n; i++)
		n_bytes += list->members[i].n_bytes;
	if (c->is_json) {
		json_t *v = json_pack("{s:s, s:s, s:i, s:I}", "file", path, "made", list->made, "files",
		    (int)list->n, "bytes", (json_int_t)n_bytes);
		cli_print_json(v);
		json_decref(v);
	} else {
		printf("%s: %u files, %" PRIu64 " bytes, checked. It holds every private key of the server:"
		    " keep it safe.\n", path, list->n, n_bytes);
	}
	return 0;
}

static int
backup(struct cli *c)
{
	const char *path = c->argv[0];
	struct backup_list *list;
	char *part = NULL;
	int fd, code;

	if (strcmp(path, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return cli_fail("a backup is no text for a terminal: fairlead backup - >FILE");
		return cli_download("/backup", STDOUT_FILENO);
	}
	if (asprintf(&part, "%s.XXXXXX", path) < 0)
		abort();
	if ((fd = mkostemp(part, O_CLOEXEC)) < 0) {	/* mode 0600 */
		code = cli_fail("cannot make %s: %s", path, strerror(errno));
		free(part);
		return code;
	}
	list = obj_alloc(sizeof(*list));
	if ((code = fetch(fd, list)) == 0 && rename(part, path) != 0)
		code = cli_fail("cannot make %s: %s", path, strerror(errno));
	if (code != 0) {
		unlink(part);
	} else {
		sync_directory(path);
		say(c, path, list);
	}
	close(fd);
	free(list);
	free(part);
	return code;
}

static const struct cli_verb verbs[] = {
	{ "", NULL, "FILE", 1, 1, "Writes database, keys, certificates and configuration of the running server"
	  " into FILE (- for stdout).", NULL, backup },
};

static const struct cli_noun noun = { "backup", "", verbs, COUNT_OF(verbs), false };

const struct cmd cmd_backup = {
	.name = "backup", .noun = &noun, .summary = "everything of the running server into one file",
};
