/* What the system has left, read from a /proc and /sys of our own making. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/memory.h"

static char top[] = "/tmp/test_shm_memory.XXXXXX";

static void
top_make(void)
{
	cr_assert_not_null(mkdtemp(top));
}

static void
top_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	cr_assert_eq(system(command), 0);
}

TestSuite(shm_memory, .init = top_make, .fini = top_remove);

static void
put(const char *path, const char *text)
{
	char command[512];
	FILE *file;

	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s%s')\"",
	    top, path);
	cr_assert_eq(system(command), 0);
	snprintf(command, sizeof(command), "%s%s", top, path);
	file = fopen(command, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

/* 4 GiB of 8 available: the reserve is an eighth of a GiB. */
static void
meminfo_put(void)
{
	put("/proc/meminfo",
	    "MemTotal:        8388608 kB\n"
	    "MemFree:          100000 kB\n"
	    "MemAvailable:    4194304 kB\n");
}

#define GIB     (UINT64_C(1) << 30)
#define RESERVE (GIB / 8)
#define SMALL   (GIB / 32) /* of a cgroup of 1 GiB */
#define PAGE    4096

Test(shm_memory, nothing_known_is_unknown)
{
	cr_assert_eq(shm_memory_pages(top), SHM_MEMORY_UNKNOWN);
}

Test(shm_memory, the_system_leaves_what_is_available_less_a_reserve)
{
	meminfo_put();
	cr_assert_eq(shm_memory_pages(top), (4 * GIB - RESERVE) / PAGE);
}

Test(shm_memory, a_cgroup_of_version_2_leaves_limit_less_usage)
{
	meminfo_put();
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/a/b/memory.current", "536870912\n");
	put("/sys/fs/cgroup/a/b/memory.stat",
	    "anon 1\ninactive_file 134217728\n");
	cr_assert_eq(shm_memory_pages(top), (GIB / 2 + GIB / 8 - SMALL) / PAGE);
}

Test(shm_memory, the_tightest_ancestor_counts)
{
	meminfo_put();
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/memory.current", "1\n");
	put("/sys/fs/cgroup/a/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/a/memory.current", "0\n");
	cr_assert_eq(shm_memory_pages(top), (GIB - SMALL) / PAGE);
}

Test(shm_memory, a_cgroup_of_version_1_counts_too)
{
	meminfo_put();
	put("/proc/self/cgroup", "5:devices:/\n4:memory:/x\n");
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n");
	put("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1073741824\n");
	cr_assert_eq(shm_memory_pages(top), 0);
}

/* A reserve of the machine's size would leave nothing at all. */
Test(shm_memory, a_small_cgroup_keeps_a_small_reserve)
{
	meminfo_put();
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/memory.max", "67108864\n");
	put("/sys/fs/cgroup/memory.current", "0\n");
	cr_assert_eq(shm_memory_pages(top), (GIB / 16 - GIB / 16 / 16) / PAGE);
}

/* As long as real ones are. */
Test(shm_memory, a_long_statistics_file_is_read_to_its_line)
{
	char text[4096] = "";

	for (int i = 0; i < 60; i++)
		strcat(text, "some_counter_of_the_kernel 123456789\n");
	strcat(text, "total_inactive_file 536870912\n");
	meminfo_put();
	put("/proc/self/cgroup", "4:memory:/x\n");
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n");
	put("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1073741824\n");
	put("/sys/fs/cgroup/memory/x/memory.stat", text);
	cr_assert_eq(shm_memory_pages(top), (GIB / 2 - SMALL) / PAGE);
}
