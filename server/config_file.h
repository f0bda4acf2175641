/*
 * The YAML file of `fairlead serve`: libcyaml by a schema made from config_table, every value as
 * text. What is wrong becomes one sentence with file and line.
 */
#ifndef SERVER_CONFIG_FILE_H
#define SERVER_CONFIG_FILE_H

#include "base/err.h"
#include "server/config_table.h"

struct config_file;

/* Reads the file. ERR_IO (cannot be read) or ERR_INVAL (no YAML, unknown key, wrong type) with
 * *why. Main thread. */
enum err config_file_load(const char *path, struct config_file **out, struct err_text *why) MUST_USE;
void config_file_free(struct config_file *f);		/* NULL is fine */

/* The texts that the file gives for config_settings[setting]; borrowed from f. false: it gives none. */
bool config_file_get(const struct config_file *f, unsigned setting, struct config_texts *out);
/* The line (from 1) where that value, or item of a list, stands. */
unsigned config_file_line(const struct config_file *f, unsigned setting, unsigned item);

#endif
