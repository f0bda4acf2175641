/* The HTTP client of the subcommands: libcurl over the server's Unix socket (cli_call and cli_path
 * of cli.h). */
#ifndef SERVER_CLI_CLIENT_H
#define SERVER_CLI_CLIENT_H

#include "base/err.h"

/* --socket; NULL: $FAIRLEAD_SOCKET, else what the configuration of the server says. */
extern const char *cli_client_socket;

/* Where the server of this user, or else of the system, listens; the caller frees it. */
char *cli_client_socket_path(void);
/* The answer to GET path (behind /api/fairlead/v1) into fd. 0, or the exit code; the sentence is printed
 * already, and fd may have got some bytes. */
int cli_download(const char *path, int fd);
/* HTTP status of a GET, over the Unix socket (NULL: TCP, any certificate); 0 with *why: no answer. */
long cli_client_status(const char *url, const char *socket, struct err_text *why);

#endif
