/*
 * How much memory the system can still give this process: what /proc/meminfo
 * and each memory cgroup above it leave, less a reserve.
 *
 * In a cgroup fallocate(2) does not fail, the OOM killer comes instead; so
 * whoever commits asks before.  Pages are charged to who commits them, so each
 * client asks for its own cgroups, and the daemon for its.
 */
#ifndef SHM_MEMORY_H
#define SHM_MEMORY_H

#include <stdint.h>

#define SHM_MEMORY_UNKNOWN UINT64_MAX

/*
 * Pages that may still be committed, or SHM_MEMORY_UNKNOWN if the system does
 * not say.  ROOT is put before /proc and /sys ("" but in tests).  Allocates
 * nothing; a tenth of a millisecond.
 */
uint64_t shm_memory_pages(const char *root);

#endif
