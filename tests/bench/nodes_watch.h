/*
 * Who has seen what: looks into map messages for a text, or for the online state of one node.
 * Equal messages (the server may send the same bytes to all) are decompressed once.
 */
#ifndef TESTS_BENCH_NODES_WATCH_H
#define TESTS_BENCH_NODES_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench.h"
#include "tests/bench/node_client.h"

/* From now on every node but this one that gets a message with the text in it has seen it; the
 * time since then goes to *took_ms (borrowed, may be NULL). */
void nodes_watch_text(const char *text, const struct node_client *but,
	struct bench_samples *took_ms);
/* From now on the last online state of the node with this id counts, as each other node has it. */
void nodes_watch_online(int64_t node_id, const struct node_client *but);
/* From now on every message of more than a keep-alive's size counts as seen. */
void nodes_watch_any(struct bench_samples *took_ms);
/* From now on only this node's own first map is looked for. */
void nodes_watch_own(const struct node_client *c);
void nodes_watch_stop(void);

unsigned nodes_watch_seen(void);		/* nodes that have seen it */
unsigned nodes_watch_offline(void);		/* nodes that think it offline */
/* The first map of the node that was given: its numeric id and the number of its peers. False: it has
 * not come yet. */
bool nodes_watch_own_came(int64_t *id, unsigned *peers);

/* For nodes_run: a whole message has come. */
void nodes_watch_message(struct node_client *c, const uint8_t *p, size_t n);

#endif
