/*
 * Who may use a relay that is not in the coordinator's process: what the coordinator has said, in
 * signed records (base/admit), and a file of them, so that a restart while the coordinator is away
 * loses nothing. One thread at a time.
 *
 * The file, mode 0600: "FLRELAY1", the coordinator's public key (32 bytes), then records as they
 * came: a CONFIG and a SNAPSHOT, DELTAs, now and then a TICK. What does not follow from what is
 * before it ends the reading; a file that was cut off loses its end, no more.
 *
 * Exactly the keys of the last state are admitted. When the coordinator is away for longer than it
 * allows nobody new is; connections stay.
 */
#ifndef RELAY_DERP_ADMIT_H
#define RELAY_DERP_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/admit.h"

#define DERP_ADMIT_TICK_S	600	/* a TICK is written at most so often */
#define DERP_ADMIT_LOG_MAX	(4u << 20)	/* more DELTAs than this: the state is asked for anew */

struct derp_admit;

struct derp_admit_ops {
	void *arg;
	void (*admit)(void *arg, const struct node_key *key);
	void (*expel)(void *arg, const struct node_key *key);	/* its connections end */
	void (*retire)(void *arg, const struct node_key *key);	/* not admitted, but its connections stay */
	/* n bytes of JSON, NUL behind them. */
	void (*config)(void *arg, const char *json, size_t n);
};

/* path is copied; ops->arg is borrowed. Never NULL. */
struct derp_admit *derp_admit_new(const char *path, const struct derp_admit_ops *ops) MUST_USE;
void derp_admit_free(struct derp_admit *a);	/* NULL is fine; nobody is expelled */

/* Reads the file, if there is one: keys are admitted, config is called. What cannot be used is logged
 * and left out. ERR_IO with *why: it is there and cannot be read. */
enum err derp_admit_load(struct derp_admit *a, int64_t now_unix_s, struct err_text *why) MUST_USE;

/* The coordinator's key, as its answer has it. ERR_DENIED with *why: it is another than before. */
enum err derp_admit_pin(struct derp_admit *a, const uint8_t public[ADMIT_PUBLIC_BYTES],
	struct err_text *why) MUST_USE;
/* The stream of records has ended; the next one begins with what is fed then. */
void derp_admit_lost(struct derp_admit *a);
/* The stream's next n bytes. Any error, with *why, ends the stream: what was known before stays.
 * ERR_LIMIT: begin anew, the file has grown. */
enum err derp_admit_feed(struct derp_admit *a, const void *p, size_t n, int64_t now_unix_s,
	struct err_text *why) MUST_USE;
/* Has this stream given the whole state yet? */
bool derp_admit_is_current(const struct derp_admit *a);
/* Time has passed: looks whether what is known still holds. */
void derp_admit_look(struct derp_admit *a, int64_t now_unix_s);
/* Until when it does; 0: nothing is known. */
int64_t derp_admit_valid_until(const struct derp_admit *a);
size_t derp_admit_count(const struct derp_admit *a);
bool derp_admit_has(const struct derp_admit *a, const struct node_key *key);
/* The coordinator does not want us any more: everybody is expelled, the file removed. */
void derp_admit_end(struct derp_admit *a);

#endif
