/* The configuration in force as a file that config_load reads. */
#ifndef SERVER_CONFIG_DUMP_H
#define SERVER_CONFIG_DUMP_H

#include "base/buf.h"
#include "base/config.h"

/* Appends every setting as YAML, whether it came from a file, the environment, a flag or is the default. */
void config_dump(const struct config *cfg, struct buf *out);

#endif
