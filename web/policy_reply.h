/* What the nouns of both APIs say of policies. */
#ifndef WEB_POLICY_REPLY_H
#define WEB_POLICY_REPLY_H

#include "web/flapi.h"

/* Shown for no policy. */
#define POLICY_REPLY_DEFAULT \
	"// No policy is set: every device reaches every other one.\n" \
	"{\n\t\"grants\": [{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}],\n}\n"

/* A member with the faults: [{"line", "column", "text"}]; line 0 is left out. */
void policy_reply_put_errors(struct json_writer *w, const char *name, const struct policy_errors *e);
/* The first fault, "line 3, column 7: …", appended. */
void policy_reply_put_first(struct buf *b, const struct policy_errors *e);
/* The text of the policy that is asked about: of the tailnet's, shown if there is none. */
void policy_reply_put_text(struct buf *b, const struct tailnet *t);
/* "a", the ETag of what is in force, with its quotes. */
#define POLICY_REPLY_ETAG_MAX (POLICY_HASH_CHARS + 3)
char *policy_reply_etag(const struct tailnet *t, char out[POLICY_REPLY_ETAG_MAX]);

/* Work on the jobs thread for a request; text, from and to are copied and may be NULL. */
struct policy_ask;
typedef void policy_ask_fn(struct policy_ask *a);
struct policy_ask {
	struct tailnet_task task;	/* first */
	struct http_req *q;
	char *text;			/* owned; of n_bytes; NULL: the policy in force */
	size_t n_bytes;
	char *from, *to;		/* owned */
	policy_ask_fn *work;		/* on the jobs thread: fills verdict and out, or rc and why */
	policy_ask_fn *answer;		/* coordinator; rc is ERR_OK */
	struct policy_verdict verdict;
	struct buf out;
	enum err rc;
	struct err_text why;
};
struct policy_ask *policy_reply_ask_new(struct http_req *q, policy_ask_fn *work, policy_ask_fn *answer);
void policy_reply_ask_text(struct policy_ask *a, const char *text, size_t n);
/* Answers in the end; the ask is freed then. */
void policy_reply_ask_start(struct policy_ask *a);
/* For work: the policy that the ask is about, one reference; NULL: its text is faulty, as
 * verdict says. */
struct policy *policy_reply_ask_policy(struct policy_ask *a) MUST_USE;

#endif
