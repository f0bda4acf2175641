/*
 * Every setting of `fairlead serve`, one row each: its key in the file, its place in struct config,
 * kind, range, default and help. File, environment and flags are all read by this table, so that
 * they cannot drift apart: derp.region_id is FAIRLEAD_DERP_REGION_ID is --derp-region-id.
 */
#ifndef SERVER_CONFIG_TABLE_H
#define SERVER_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"
#include "base/err.h"

enum config_kind { CONFIG_TEXT, CONFIG_UINT, CONFIG_BOOL, CONFIG_LIST };

struct config_setting {
	const char *section;		/* "" = top level of the file */
	const char *key;
	enum config_kind kind;
	size_t offset;			/* of the member in struct config */
	unsigned min, max;		/* CONFIG_UINT */
	const char *dflt;		/* as text, lists by comma; NULL: computed by config_load */
	const char *dflt_root;		/* the same when running as root; NULL: dflt */
	bool (*is_valid)(const char *value);	/* of the text or of one list item; NULL: any */
	const char *want;		/* completes "… is not", when is_valid or the range says no */
	const char *arg;		/* placeholder in the help */
	const char *help;		/* one line */
};

#define CONFIG_SETTINGS_MAX 96
extern const struct config_setting config_settings[];
extern const unsigned config_settings_count;	/* <= CONFIG_SETTINGS_MAX */

#define CONFIG_SOCKET_MAX_CHARS 107	/* sizeof sockaddr_un.sun_path - 1 */

#define CONFIG_NAME_MAX 64
/* "derp.region_id", "FAIRLEAD_DERP_REGION_ID", "derp-region-id". Return out. */
char *config_setting_name(const struct config_setting *s, char out[CONFIG_NAME_MAX]);
char *config_setting_env(const struct config_setting *s, char out[CONFIG_NAME_MAX]);
char *config_setting_flag(const struct config_setting *s, char out[CONFIG_NAME_MAX]);

struct config_texts {
	const char *const *v;
	unsigned n;		/* exactly 1 unless it is for a list */
};

/* Puts the texts into cfg, replacing what was there. ERR_INVAL with *why, without the setting's name in
 * front ("\"x\" is not a number from 1 to 65535"); *bad_item is the list item at fault. */
enum err config_setting_put(const struct config_setting *s, struct config *cfg,
	const struct config_texts *t, unsigned *bad_item, struct err_text *why) MUST_USE;
/* Frees what the setting owns in cfg. */
void config_setting_clear(const struct config_setting *s, struct config *cfg);

#endif
