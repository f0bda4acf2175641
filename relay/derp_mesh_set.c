/* Which links to other relays there are: of the configuration, or told while the relay runs. */
#include "relay/derp_mesh_private.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEY_FILE_MAX	256		/* 64 digits and white space */

static enum err
mesh_key_read(struct derp_shared *shared, const char *path, struct err_text *why)
{
	char text[KEY_FILE_MAX + 1], *p = text;
	FILE *f = fopen(path, "re");
	enum err rc;
	size_t n;

	if (f == NULL)
		return err_say(why, ERR_IO, "derp.mesh_key_file: cannot read %s: %s", path,
		    strerror(errno));
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	p += strspn(p, " \t\r\n");
	n = strlen(p);
	while (n > 0 && strchr(" \t\r\n", p[n - 1]) != NULL)
		n--;
	rc = n == 2 * KEY_BYTES ? key_hex_parse(p, n, shared->mesh_key) : ERR_INVAL;
	sodium_memzero(text, sizeof text);
	if (rc != ERR_OK || sodium_is_zero(shared->mesh_key, KEY_BYTES))
		return err_say(why, ERR_INVAL, "derp.mesh_key_file: %s does not hold 64 hex digits", path);
	shared->has_mesh_key = true;
	return ERR_OK;
}

static void
link_new(struct derp_worker *dw, const struct derp_mesh_target *t)
{
	struct derp_link *l = obj_alloc(sizeof *l);

	l->magic = LINK_MAGIC;
	l->dw = dw;
	l->target = *t;
	l->fd = -1;
	snprintf(l->name, sizeof l->name, "%s:%u", t->host, (unsigned)t->port);
	MAP_INIT(&l->keys, struct link_key, key);
	LIST_INSERT_HEAD(&dw->links, l, link);
}

static void
mesh_tls_make(struct derp_shared *shared)
{
	shared->mesh_tls = SSL_CTX_new(TLS_client_method());
	ASSERT(shared->mesh_tls != NULL);
	io_tls_ctx_init(shared->mesh_tls);
	io_tls_ctx_records(shared->mesh_tls, shared->cfg->tls.has_own_records);
	if (SSL_CTX_set_default_verify_paths(shared->mesh_tls) != 1)
		log_warn(LOG_RELAY, "no certificate authorities are known: links need sha256-raw pins");
}

enum err
derp_mesh_open(struct derp_shared *shared, struct err_text *why)
{
	const struct config *cfg = shared->cfg;
	const char *path = cfg->derp.mesh_key_file;
	unsigned n_workers = worker_group_count(shared->group);
	enum err rc;

	if (path == NULL || *path == '\0') {
		if (cfg->derp.mesh_with.n > 0)
			return err_say(why, ERR_INVAL, "derp.mesh_with needs derp.mesh_key_file");
		return ERR_OK;
	}
	if ((rc = mesh_key_read(shared, path, why)) != ERR_OK)
		return rc;
	mesh_tls_make(shared);
	for (unsigned i = 0; i < cfg->derp.mesh_with.n; i++) {
		const char *text = cfg->derp.mesh_with.items[i];
		struct derp_mesh_target t;

		if (derp_mesh_target_parse(text, &t) != ERR_OK)
			return err_say(why, ERR_INVAL, "derp.mesh_with: \"%s\" names no relay", text);
		link_new(shared->workers[i % n_workers], &t);
	}
	return ERR_OK;
}

static void
link_free(struct derp_link *l)
{
	OBJ_CHECK(l, LINK_MAGIC);
	ASSERT(l->conn == NULL);
	derp_mesh_drop(l);
	LIST_REMOVE(l, link);
	map_fini(&l->keys);
	l->magic = 0;
	free(l);
}

/* --- another list ----------------------------------------------------------------------------- */

/* On its way to one worker: the links that it is to have. */
struct mesh_list {
	struct derp_worker *dw;
	unsigned n;
	struct derp_mesh_target targets[];
};

static bool
target_eq(const struct derp_mesh_target *a, const struct derp_mesh_target *b)
{
	return strcmp(a->host, b->host) == 0 && a->port == b->port && a->is_tls == b->is_tls &&
	    a->has_pin == b->has_pin && (!a->has_pin || memcmp(a->pin, b->pin, sizeof a->pin) == 0);
}

static struct derp_link *
link_find(struct derp_worker *dw, const struct derp_mesh_target *t)
{
	struct derp_link *l;

	LIST_FOREACH(l, &dw->links, link)
		if (target_eq(&l->target, t))
			return l;
	return NULL;
}

static void
mesh_list_apply(struct worker *w, void *arg)
{
	struct mesh_list *list = arg;
	struct derp_worker *dw = list->dw;
	struct derp_link *l, *next;

	(void)w;
	LIST_FOREACH(l, &dw->links, link)
		l->is_wanted = false;
	for (unsigned i = 0; i < list->n && !dw->is_stopping; i++) {
		if (link_find(dw, &list->targets[i]) == NULL)
			link_new(dw, &list->targets[i]);
		link_find(dw, &list->targets[i])->is_wanted = true;
	}
	for (l = LIST_FIRST(&dw->links); l != NULL; l = next) {
		next = LIST_NEXT(l, link);
		if (l->is_wanted || dw->is_stopping)
			continue;
		log_info(LOG_RELAY, "no link to this relay any more", "relay", l->name);
		l->state = LINK_OURSELVES;	/* it does not come back */
		if (l->conn != NULL)
			derp_conn_close(l->conn, "it is not of this region any more");
		link_free(l);
	}
	free(list);
}

void
derp_mesh_set(struct derp_shared *shared, const uint8_t key[KEY_BYTES], const char *const *targets, unsigned n)
{
	unsigned n_workers = worker_group_count(shared->group);
	struct mesh_list *lists[WORKER_MAX];
	struct derp_mesh_target t;

	pthread_mutex_lock(&shared->mesh_lock);
	memcpy(shared->mesh_key, key, KEY_BYTES);
	shared->has_mesh_key = true;
	pthread_mutex_unlock(&shared->mesh_lock);
	if (shared->mesh_tls == NULL)
		mesh_tls_make(shared);	/* workers read it behind the mail below */
	for (unsigned i = 0; i < n_workers; i++) {
		lists[i] = obj_alloc(sizeof(struct mesh_list) + n * sizeof t);
		lists[i]->dw = shared->workers[i];
	}
	for (unsigned i = 0; i < n; i++) {
		struct mesh_list *list;

		if (derp_mesh_target_parse(targets[i], &t) != ERR_OK) {
			log_warn(LOG_RELAY, "names no relay to link with", "relay", targets[i]);
			continue;
		}
		/* By the name, so that it stays with its worker when others come and go. */
		list = lists[map_hash(t.host, strlen(t.host)) % n_workers];
		list->targets[list->n++] = t;
	}
	for (unsigned i = 0; i < n_workers; i++)
		worker_call(worker_group_at(shared->group, i), mesh_list_apply, lists[i], free);
}

bool
derp_mesh_key(struct derp_shared *shared, uint8_t out[KEY_BYTES])
{
	bool has_key;

	pthread_mutex_lock(&shared->mesh_lock);
	if ((has_key = shared->has_mesh_key))
		memcpy(out, shared->mesh_key, KEY_BYTES);
	pthread_mutex_unlock(&shared->mesh_lock);
	return has_key;
}

void
derp_mesh_close(struct derp_shared *shared)
{
	for (unsigned i = 0; i < worker_group_count(shared->group); i++) {
		struct derp_worker *dw = shared->workers[i];
		struct derp_link *l;

		while ((l = LIST_FIRST(&dw->links)) != NULL)
			link_free(l);
	}
	SSL_CTX_free(shared->mesh_tls);
	shared->mesh_tls = NULL;
}
