/* What the benchmark's programs share before they measure. */
#define _GNU_SOURCE /* getloadavg */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
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

/* The processor's name, in BUF; "" if the system does not say. */
static void
model_read(char *buf, size_t len)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256], *colon;

	buf[0] = '\0';
	while (file != NULL && buf[0] == '\0' &&
	    fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		colon = strstr(line, ": ");
		if (strncmp(line, "model name", 10) == 0 && colon != NULL)
			snprintf(buf, len, " of %s", colon + 2);
	}
	if (file != NULL)
		fclose(file);
}

void
bench_about(const char *name, char *argv[])
{
	time_t now = time(NULL);
	struct utsname system;
	char date[32], model[256];
	double load = 0;

	strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
	model_read(model, sizeof(model));
	uname(&system);
	getloadavg(&load, 1);
	printf("# %s, %ld cores%s, %s %s, load average %.1f, by `%s", date,
	    sysconf(_SC_NPROCESSORS_ONLN), model, system.sysname,
	    system.release, load, name);
	for (; *argv != NULL; argv++)
		printf(" %s", *argv);
	puts("`");
}
