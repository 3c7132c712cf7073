/*
 * See shm/memory.h.
 */
#include "shm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/layout.h"

/* Small, for they are on the stack of whoever allocates.  memory.stat has about
 * 2 KiB; a longer path is as one that is not there. */
#define TEXT_LEN 4096
#define PATH_LEN 1024

/*
 * What is never handed out, for the processes themselves: of the system 32 MiB
 * or a 64th, of a small cgroup not more than a 16th.
 */
#define RESERVE         (UINT64_C(32) << 20)
#define RESERVE_DIVISOR 64u
#define RESERVE_SMALL   16u
#define UNLIMITED       (UINT64_C(1) << 60)

/* A cgroup's files, by version. */
struct cgroup_files {
	const char *mount, *limit, *usage, *cache_key;
};

static const struct cgroup_files cgroup_v1 = { "/sys/fs/cgroup/memory",
	"/memory.limit_in_bytes", "/memory.usage_in_bytes",
	"total_inactive_file " };
static const struct cgroup_files cgroup_v2 = { "/sys/fs/cgroup", "/memory.max",
	"/memory.current", "inactive_file " };

/* A, B and C in a row; false: that is too long. */
static bool
path_join(char path[PATH_LEN], const char *a, const char *b, const char *c)
{
	if (strlen(a) + strlen(b) + strlen(c) >= PATH_LEN)
		return false;
	(void)strcpy(stpcpy(stpcpy(path, a), b), c);
	return true;
}

/* The beginning of the file ROOT DIR NAME, as a string; false: there is none.
 */
static bool
file_read(
    const char *root, const char *dir, const char *name, char text[TEXT_LEN])
{
	char path[PATH_LEN];
	size_t have = 0;
	ssize_t n;
	int fd, saved = errno;

	if (!path_join(path, root, dir, name))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	errno = saved;
	if (fd < 0)
		return false;
	while (have < TEXT_LEN - 1 &&
	    (n = read(fd, text + have, TEXT_LEN - 1 - have)) > 0)
		have += (size_t)n;
	(void)close(fd);
	errno = saved;
	text[have] = '\0';
	return have > 0;
}

/* The number in the line of TEXT that begins with KEY; SHM_MEMORY_UNKNOWN:
 * there is no such line, or no number in it ("max"). */
static uint64_t
number_find(const char *text, const char *key)
{
	size_t len = strlen(key);
	uint64_t number;
	char *end;

	while (strncmp(text, key, len) != 0) {
		text = strchr(text, '\n');
		if (!text || *++text == '\0')
			return SHM_MEMORY_UNKNOWN;
	}
	number = strtoull(text + len, &end, 10);
	return end == text + len ? SHM_MEMORY_UNKNOWN : number;
}

static uint64_t
number_read(
    const char *root, const char *dir, const char *name, const char *key)
{
	char text[TEXT_LEN];

	return file_read(root, dir, name, text) ? number_find(text, key)
						: SHM_MEMORY_UNKNOWN;
}

static uint64_t
reserve(uint64_t total)
{
	uint64_t least = total / RESERVE_SMALL, part = total / RESERVE_DIVISOR;

	least = least < RESERVE ? least : RESERVE;
	return part > least ? part : least;
}

static uint64_t
less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Bytes that the cgroup in DIR leaves; file cache that can go counts. */
static uint64_t
cgroup_left(const char *root, const char *dir, const struct cgroup_files *files)
{
	uint64_t limit = number_read(root, dir, files->limit, ""), usage, cache;

	/* Version 1 has a huge number for none. */
	if (limit >= UNLIMITED)
		return SHM_MEMORY_UNKNOWN;
	usage = number_read(root, dir, files->usage, "");
	if (usage == SHM_MEMORY_UNKNOWN)
		return SHM_MEMORY_UNKNOWN;
	cache = number_read(root, dir, "/memory.stat", files->cache_key);
	if (cache != SHM_MEMORY_UNKNOWN)
		usage = less(usage, cache);
	return less(less(limit, reserve(limit)), usage);
}

/* The least that PATH's cgroup and those above it leave. */
static uint64_t
chain_left(const char *root, char *path, const struct cgroup_files *files)
{
	uint64_t least = SHM_MEMORY_UNKNOWN;

	for (;;) {
		char dir[PATH_LEN];
		char *slash = strrchr(path, '/');

		if (path_join(dir, files->mount, path, "")) {
			uint64_t left = cgroup_left(root, dir, files);

			least = left < least ? left : least;
		}
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static uint64_t
cgroups_left(const char *root)
{
	char text[TEXT_LEN], *line = text, *next;
	uint64_t least = SHM_MEMORY_UNKNOWN;

	if (!file_read(root, "/proc/self", "/cgroup", text))
		return SHM_MEMORY_UNKNOWN;
	for (; line; line = next) {
		bool is_v2 = strncmp(line, "0::", 3) == 0;
		char *path;
		uint64_t left;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		path = strchr(line, '/');
		if (!path || (!is_v2 && !strstr(line, ":memory:")))
			continue;
		left = chain_left(root, path, is_v2 ? &cgroup_v2 : &cgroup_v1);
		least = left < least ? left : least;
	}
	return least;
}

/* Bytes that the whole system has left. */
static uint64_t
system_left(const char *root)
{
	char text[TEXT_LEN];
	uint64_t total, left;

	if (!file_read(root, "/proc", "/meminfo", text))
		return SHM_MEMORY_UNKNOWN;
	total = number_find(text, "MemTotal:");
	left = number_find(text, "MemAvailable:");
	if (total == SHM_MEMORY_UNKNOWN || left == SHM_MEMORY_UNKNOWN)
		return SHM_MEMORY_UNKNOWN;
	return less(left * 1024, reserve(total * 1024));
}

uint64_t
shm_memory_pages(const char *root)
{
	uint64_t left = system_left(root), in_cgroups = cgroups_left(root);

	left = in_cgroups < left ? in_cgroups : left;
	return left == SHM_MEMORY_UNKNOWN ? left : left / SHM_PAGE;
}
