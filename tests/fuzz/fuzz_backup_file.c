/* links: server/backup_file */
/* Any bytes as a backup: no overread, nothing accepted with a name that leaves the data directory. */
#include <stdio.h>
#include <string.h>

#include "server/backup_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct backup_list list;
	struct err_text why = { "" };
	FILE *f;

	if (size == 0 || (f = fmemopen((void *)(uintptr_t)data, size, "r")) == NULL)
		return 0;
	if (backup_file_read(f, NULL, &list, &why) == ERR_OK) {
		ASSERT(list.n <= BACKUP_FILES_MAX);
		for (unsigned i = 0; i < list.n; i++)
			ASSERT(backup_name_is_good(list.members[i].name) &&
			    strstr(list.members[i].name, "..") != list.members[i].name);
	} else {
		ASSERT(why.s[0] != '\0');
	}
	fclose(f);
	return 0;
}
