/* From root to the user of the configuration. */
#include "server/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an ACME client has written when this server ran as root. */
static enum err
chown_acme(const struct config *cfg, const struct passwd *pw, struct err_text *why)
{
	char path[4200];
	char *const roots[] = { path, NULL };
	const FTSENT *e;

	snprintf(path, sizeof(path), "%s/acme", cfg->data_dir);
	if (access(path, F_OK) != 0)
		return ERR_OK;
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	bool ok = tree != NULL;
	while (ok && (e = fts_read(tree)) != NULL)
		if (e->fts_info != FTS_DP)
			ok = lchown(e->fts_accpath, pw->pw_uid, pw->pw_gid) == 0;
	int why_not = errno;
	if (tree != NULL)
		fts_close(tree);
	if (ok)
		return ERR_OK;
	return err_say(why, ERR_IO, "cannot give %s to user %s: %s", path, cfg->user,
	    strerror(why_not));
}

static enum err
chown_data(const struct config *cfg, const struct passwd *pw, struct err_text *why)
{
	static const char *const files[] = { "", "/lock", "/noise_private.key", "/derp_private.key",
		"/selfsigned.crt", "/selfsigned.key", "/fairlead.db", "/fairlead.db-wal",
		"/fairlead.db-shm" };

	for (size_t i = 0; i < COUNT_OF(files); i++) {
		char path[4200];

		snprintf(path, sizeof(path), "%s%s", cfg->data_dir, files[i]);
		if (chown(path, pw->pw_uid, pw->pw_gid) != 0 && errno != ENOENT)
			return err_say(why, ERR_IO, "cannot give %s to user %s: %s", path,
			    cfg->user, strerror(errno));
	}
	return chown_acme(cfg, pw, why);
}

/* Is there nothing in dir but name? */
static bool
holds_only(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	bool is_so = d != NULL;

	while (is_so && (e = readdir(d)) != NULL)
		is_so = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    strcmp(e->d_name, name) == 0;
	if (d != NULL)
		closedir(d);
	return is_so;
}

/*
 * The socket of the fairlead command is bound later, by the user: its directory is made here, or
 * given away when it holds nothing but that socket. A directory that others use stays theirs.
 */
static enum err
give_socket_dir(const struct config *cfg, const struct passwd *pw, struct err_text *why)
{
	char dir[4200];
	const char *slash = strrchr(cfg->unix_socket, '/');

	if (slash == NULL || slash == cfg->unix_socket)
		return ERR_OK;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - cfg->unix_socket), cfg->unix_socket);
	if (mkdir(dir, 0755) != 0) {
		if (errno != EEXIST)
			return err_say(why, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
		if (!holds_only(dir, slash + 1))
			return ERR_OK;
	}
	if (lchown(dir, pw->pw_uid, pw->pw_gid) != 0)
		return err_say(why, ERR_IO, "cannot give %s to user %s: %s", dir, cfg->user,
		    strerror(errno));
	return ERR_OK;
}

enum err
privileges_drop(const struct config *cfg, struct err_text *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_say(why, ERR_IO, "cannot give up new privileges: %s", strerror(errno));
	if (cfg->user[0] == '\0' || geteuid() != 0)
		return ERR_OK;
	struct passwd *pw = getpwnam(cfg->user);
	if (pw == NULL)
		return err_say(why, ERR_INVAL, "user \"%s\" of the configuration does not exist",
		    cfg->user);
	enum err rc = chown_data(cfg, pw, why);
	if (rc == ERR_OK)
		rc = give_socket_dir(cfg, pw, why);
	if (rc != ERR_OK)
		return rc;
	if (initgroups(cfg->user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
	    setuid(pw->pw_uid) != 0)
		return err_say(why, ERR_IO, "cannot become user %s: %s", cfg->user, strerror(errno));
	return ERR_OK;
}
