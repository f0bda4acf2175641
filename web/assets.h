/*
 * The console, embedded: files of web/console/dist by path. Pages of the console have no file of their own:
 * each is index.html, which looks at the path itself. A server built without the console says so at "/".
 */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

/* Made by tests/tools/embed_files.sh. */
struct asset {
	const char *path;		/* "/assets/index-1234.js" */
	const char *type;
	const char *tag;		/* hash of the content */
	const uint8_t *bytes, *end;
	const uint8_t *gz, *gz_end;	/* gzipped; NULL: not smaller */
	bool is_forever;		/* its name changes with its content */
};
extern const struct asset assets_table[];
extern const size_t assets_count;

/* Answers paths that no route has. */
void assets_attach(struct http *h);

#endif
