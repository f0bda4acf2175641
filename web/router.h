/*
 * From method and path to a route of a const table. Pure. A pattern's element is a literal or {name}; what
 * stands at {name} is percent-decoded and given to the handler by position.
 */
#ifndef WEB_ROUTER_H
#define WEB_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define ROUTER_PARAMS_MAX	2
#define ROUTER_PARAM_BYTES	256	/* longest decoded element, with NUL */

struct http_req;

/* What a request needs: see web/auth. A route's access is a level and, from HTTP_READ on, a scope:
 * HTTP_NEED(HTTP_WRITE, SCOPE_USERS). A level alone stands for the scope "all". */
enum http_access {
	HTTP_PUBLIC,	/* nothing */
	HTTP_SECRET,	/* carries secrets, so not over plain http from outside */
	HTTP_SIGN_IN,	/* that, and from a page of ours */
	HTTP_KNOWN,	/* any credential; the handler looks closer */
	HTTP_READ, HTTP_WRITE
};
#define HTTP_NEED(level, scope)	((unsigned)(level) | (unsigned)(scope) << 8)
#define HTTP_LEVEL(access)	((enum http_access)((access) & 0xff))
#define HTTP_SCOPE(access)	((access) >> 8 & 0xff)
#define HTTP_LARGE		(1u << 16)	/* or-ed to it: bodies of HTTP_BODY_LARGE_BYTES */

struct http_route {
	const char *method;		/* "GET" serves HEAD too */
	const char *path;		/* "/api/fairlead/v1/users/{id}" */
	unsigned access;		/* HTTP_NEED */
	bool takes_json;		/* the body must be a JSON object */
	void (*fn)(struct http_req *q);	/* answers now, or later from a done function */
};

struct router_match {
	const struct http_route *route;	/* NULL: none */
	bool has_path;			/* some route has this path, with another method */
	char allow[64];			/* its methods, "GET, POST" */
	char params[ROUTER_PARAMS_MAX][ROUTER_PARAM_BYTES];
};

/* Adds what the table knows of the request to *m, which starts as zero; path: without a query.
 * ERR_INVAL: an element is badly encoded or too long. */
enum err router_find(const struct http_route *table, size_t n_table, const char *method,
	const char *path, struct router_match *m) MUST_USE;

/* The path of a request target: scheme and authority (absolute form) and the query are cut off,
 * doubled slashes at the start are one. The caller frees it. */
char *router_path(const char *target) MUST_USE;

#endif
