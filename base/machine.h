/* What the machine gives this process. Main thread, at start. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stddef.h>

/*
 * Bytes of memory this process may use: the machine's, or less where it, or a group around it, is in a
 * container or unit with a limit: memory.max of control groups v2, memory.limit_in_bytes of v1
 * (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux). Below root, which is "" but
 * for tests, lie proc/self/cgroup and sys/fs/cgroup. 0: not known.
 */
size_t machine_memory_bytes(const char *root);

#endif
