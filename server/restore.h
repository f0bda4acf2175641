/*
 * A backup into a data directory. Its files are first written whole below <dir>/restore.part and checked, the
 * database opened too; then they are renamed into place. A server does not start while restore.part is
 * there. Main thread.
 */
#ifndef SERVER_RESTORE_H
#define SERVER_RESTORE_H

#include <stdbool.h>
#include <stdio.h>

#include "server/backup_file.h"

#define RESTORE_CONFIG	"config.restored.yaml"	/* the backup's configuration, in the data directory */

struct restore_report {
	struct backup_list list;
	char moved_to[64];	/* below the data directory: what stood there; "" = nothing */
};

/* Reads the backup from f into the data directory (made if missing); files belong to the directory's owner when
 * run as root. A directory that holds something: ERR_EXISTS, or with is_forced its files are moved into
 * before-restore-<unix time>. ERR_EXISTS also while a server runs on it; the errors of backup_file_read,
 * store_backup_check and ERR_IO. Always with *why. The directory holds what it held then, unless the disk
 * failed while files were renamed: restore.part is left there in that case. */
enum err restore_run(FILE *f, const char *dir, bool is_forced, struct restore_report *out,
	struct err_text *why) MUST_USE;

#endif
