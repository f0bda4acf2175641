/* The HTTP client of the subcommands: libcurl over the server's Unix socket (cli_call and cli_path
 * of cli.h). */
#ifndef SERVER_CLI_CLIENT_H
#define SERVER_CLI_CLIENT_H

/* --socket; NULL: $FAIRLEAD_SOCKET, else what the configuration of the server says. */
extern const char *cli_client_socket;

#endif
