/* By the table of settings: a section is a mapping, texts are double-quoted (YAML 1.2, 7.3.1). */
#include "server/config_dump.h"

#include <string.h>

#include "server/config_table.h"

static void
text_put(struct buf *out, const char *text)
{
	buf_byte(out, '"');
	for (const char *p = text; *p != 0; p++) {
		uint8_t c = (uint8_t)*p;
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_byte(out, c);
	}
	buf_byte(out, '"');
}

static void
value_put(struct buf *out, const struct config_setting *s, const struct config *cfg)
{
	const void *at = (const char *)cfg + s->offset;
	const struct config_list *list = at;

	switch (s->kind) {
	case CONFIG_TEXT:
		text_put(out, *(char *const *)at);
		break;
	case CONFIG_UINT:
		buf_printf(out, "%u", *(const unsigned *)at);
		break;
	case CONFIG_BOOL:
		buf_str(out, *(const bool *)at ? "true" : "false");
		break;
	case CONFIG_LIST:
		buf_byte(out, '[');
		for (unsigned i = 0; i < list->n; i++) {
			buf_str(out, i > 0 ? ", " : "");
			text_put(out, list->items[i]);
		}
		buf_byte(out, ']');
		break;
	}
}

void
config_dump(const struct config *cfg, struct buf *out)
{
	const char *section = "";

	for (unsigned i = 0; i < config_settings_count; i++) {
		const struct config_setting *s = &config_settings[i];
		if (strcmp(s->section, section) != 0) {
			section = s->section;
			buf_printf(out, "\n%s:\n", section);
		}
		buf_printf(out, "%s%s: ", *section != 0 ? "  " : "", s->key);
		value_put(out, s, cfg);
		buf_byte(out, '\n');
	}
}
