/*
 * What the pages without scripts share: those that people are sent to who need not know the console. What
 * others say of themselves is text in them, never markup.
 */
#ifndef WEB_HTML_H
#define WEB_HTML_H

#include "web/http_req.h"

/* Appends text as HTML shows it: markup and control characters cannot come through. */
void html_text(struct buf *b, const char *text);
/* A line of a <dl>; more may be "". Texts that run the other way stay within their line. */
void html_line(struct buf *b, const char *head, const char *text, const char *more);
/* Beginning of a page, to <main><h1>title</h1>, and its end. title is HTML of ours. */
void html_open(struct buf *b, const char *title);
void html_close(struct buf *b);

/* Answers with the page; body is taken. */
void html_reply_take(struct http_req *q, int status, struct buf *body);
/* 303: the browser goes on to that path. */
void html_reply_other(struct http_req *q, const char *path);

/* Is there a console to send the browser to, over this connection? */
bool html_has_console(const struct http_req *q);

/* The style of them all. */
extern const struct http_route html_routes[];
extern const size_t html_routes_count;

#endif
