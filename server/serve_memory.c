/* Memory that many connections leave behind goes back to the system. The allocator keeps it otherwise, in
 * pieces between what still lives: tens of MiB after thousands of clients have gone. */
#include <event2/event.h>
#include <malloc.h>

#include "base/log.h"
#include "server/serve_private.h"

#define LOOK_S		1
/* So many must have gone, and no more be going, for it to be worth the milliseconds it takes. */
#define GONE_MIN	256

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;
	int64_t n = worker_group_conns(s->workers);

	(void)fd;
	(void)what;
	OBJ_CHECK(s, SERVE_MAGIC);
	if (n > s->conns_peak)
		s->conns_peak = n;
	if (s->conns_peak - n >= GONE_MIN && n >= s->conns_before) {
		s->conns_peak = n;
		log_debug(LOG_SERVER, "memory given back", "had", malloc_trim(0) != 0 ? "some" : "none");
	}
	s->conns_before = n;
}

void
serve_memory_start(struct serve *s)
{
	const struct timeval every = { .tv_sec = LOOK_S };

	s->memory_timer = event_new(coordinator_base(s->coordinator), -1, EV_PERSIST, on_look, s);
	ASSERT(s->memory_timer != NULL);
	ASSERT(event_add(s->memory_timer, &every) == 0);
}

void
serve_memory_close(struct serve *s)
{
	if (s->memory_timer != NULL)
		event_free(s->memory_timer);
	s->memory_timer = NULL;
}
