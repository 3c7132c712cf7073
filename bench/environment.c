/* What the benchmark's programs share before they measure. */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

const char *bench_folder;

bool
bench_list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (list != NULL && *list != '\0') {
		size_t item = strcspn(list, ",");

		if (item == len && memcmp(list, name, len) == 0)
			return true;
		list += item + (list[item] == ',');
	}
	return list == NULL;
}

void
bench_environment(char *argv[])
{
	bench_folder = getenv("SHMALLOC_WORKLOADS");
	if (getenv("SHMALLOC_BENCH") != NULL)
		return;
	setenv("SHMALLOC_BENCH", "1", 1);
	setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 0);
	setenv("PMEM_IS_PMEM_FORCE", "1", 0);
	execv("/proc/self/exe", argv);
	warn("exec");
}
