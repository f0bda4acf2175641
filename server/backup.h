/*
 * GET /api/fairlead/v1/backup: everything that makes this server itself, as one file (backup_file.h), while
 * it serves: the database, the keys and certificates of the data directory, the configuration. Made by
 * a thread of its own, one at a time, in the data directory; answered on the Unix socket only, as every
 * private key is in it. Coordinator thread.
 */
#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

#include "base/config.h"
#include "base/mbox.h"

struct backup;
struct http;

/* Adds its route to http. cfg, mbox and http are borrowed. */
struct backup *backup_new(const struct config *cfg, struct mbox *mbox, struct http *http);
/* Ends a backup under way; before the mailbox closes. NULL is fine. */
void backup_stop(struct backup *b);
/* After http and mailbox have ended. NULL is fine. */
void backup_free(struct backup *b);

#endif
