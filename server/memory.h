/*
 * How much memory the system can still give: what /proc/meminfo and each
 * memory cgroup above the daemon leave, less a reserve.
 *
 * In a cgroup fallocate(2) does not fail, the OOM killer comes instead; so
 * segments ask before they commit.
 */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include <stdint.h>

#define MEMORY_UNKNOWN UINT64_MAX

/*
 * Pages that may still be committed, or MEMORY_UNKNOWN if the system does not
 * say.  ROOT is put before /proc and /sys ("" but in tests).
 */
uint64_t memory_pages(const char *root);

#endif
