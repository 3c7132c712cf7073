#include "server/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shm/layout.h"

/* What is never handed out, for the rest of the system. */
#define RESERVE_MIN     (UINT64_C(32) << 20)
#define RESERVE_DIVISOR 64u

/* A cgroup's files, by version. */
struct cgroup_files {
	const char *mount, *limit, *usage, *cache_key;
};

static const struct cgroup_files cgroup_v1 = { "/sys/fs/cgroup/memory",
	"memory.limit_in_bytes", "memory.usage_in_bytes",
	"total_inactive_file " };
static const struct cgroup_files cgroup_v2 = { "/sys/fs/cgroup", "memory.max",
	"memory.current", "inactive_file " };

/*
 * The number in the line of the file ROOT DIR/NAME that begins with KEY.
 * MEMORY_UNKNOWN: there is no such file, line or number ("max").
 */
static uint64_t
number_read(
    const char *root, const char *dir, const char *name, const char *key)
{
	char path[PATH_MAX], line[256];
	uint64_t number = MEMORY_UNKNOWN;
	int n = snprintf(path, sizeof path, "%s%s/%s", root, dir, name);
	if (n < 0 || (size_t)n >= sizeof path)
		return MEMORY_UNKNOWN;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return MEMORY_UNKNOWN;
	while (fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		if (sscanf(line + strlen(key), "%" SCNu64, &number) != 1)
			number = MEMORY_UNKNOWN;
		break;
	}
	fclose(file);
	return number;
}

/* Bytes that the cgroup in DIR leaves; file cache that can go counts. */
static uint64_t
cgroup_left(const char *root, const char *dir, const struct cgroup_files *files)
{
	uint64_t limit = number_read(root, dir, files->limit, "");
	uint64_t usage = number_read(root, dir, files->usage, "");
	if (limit == MEMORY_UNKNOWN || usage == MEMORY_UNKNOWN)
		return MEMORY_UNKNOWN;
	uint64_t cache =
	    number_read(root, dir, "memory.stat", files->cache_key);
	if (cache != MEMORY_UNKNOWN)
		usage -= cache < usage ? cache : usage;
	return limit > usage ? limit - usage : 0;
}

/* The least that PATH's cgroup and those above it leave. */
static uint64_t
cgroup_chain_left(
    const char *root, char *path, const struct cgroup_files *files)
{
	char dir[PATH_MAX];
	uint64_t least = MEMORY_UNKNOWN;
	for (;;) {
		int n = snprintf(dir, sizeof dir, "%s%s", files->mount, path);
		if (n > 0 && (size_t)n < sizeof dir) {
			uint64_t left = cgroup_left(root, dir, files);
			least = left < least ? left : least;
		}
		char *slash = strrchr(path, '/');
		if (slash == NULL)
			return least;
		*slash = '\0';
	}
}

static uint64_t
cgroups_left(const char *root)
{
	char name[PATH_MAX], line[PATH_MAX];
	uint64_t least = MEMORY_UNKNOWN;
	snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
	FILE *file = fopen(name, "re");
	if (file == NULL)
		return MEMORY_UNKNOWN;
	while (fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *path = strchr(line, '/');
		bool is_v2 = strncmp(line, "0::", 3) == 0;
		if (path == NULL ||
		    (!is_v2 && strstr(line, ":memory:") == NULL))
			continue;
		uint64_t left = cgroup_chain_left(
		    root, path, is_v2 ? &cgroup_v2 : &cgroup_v1);
		least = left < least ? left : least;
	}
	fclose(file);
	return least;
}

uint64_t
memory_pages(const char *root)
{
	uint64_t total_kib = number_read(root, "/proc", "meminfo", "MemTotal:");
	uint64_t left_kib =
	    number_read(root, "/proc", "meminfo", "MemAvailable:");
	uint64_t left = MEMORY_UNKNOWN;
	uint64_t reserve = RESERVE_MIN;
	if (left_kib != MEMORY_UNKNOWN)
		left = left_kib * 1024;
	if (total_kib != MEMORY_UNKNOWN &&
	    total_kib * 1024 / RESERVE_DIVISOR > reserve)
		reserve = total_kib * 1024 / RESERVE_DIVISOR;
	uint64_t in_cgroups = cgroups_left(root);
	left = in_cgroups < left ? in_cgroups : left;
	if (left == MEMORY_UNKNOWN)
		return MEMORY_UNKNOWN;
	return left > reserve ? (left - reserve) / SHM_PAGE : 0;
}
