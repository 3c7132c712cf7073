/* Peers of Python programs: bench/cache/driver.py measures them. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cache/cache.h"

extern const struct bench_heap heap_shmalloc;
extern const struct peer peer_python_shmalloc, peer_python_diskcache,
    peer_python_manager;

const char *python_driver;

/* The one that Debian's modules are for, unless another is asked for. */
static const char *
python_name(void)
{
	const char *name = getenv("PYTHON");

	return name != NULL ? name : "/usr/bin/python3";
}

/* The stream for the driver. */
static void
requests_write(const struct stream *stream, const char *path)
{
	FILE *file = fopen(path, "we");

	if (file == NULL ||
	    fwrite(stream->request, sizeof(uint32_t), stream->n, file) !=
		stream->n ||
	    fclose(file) != 0)
		err(1, "%s", path);
}

static _Noreturn void
driver_exec(const struct cell *cell, const char *requests, int out)
{
	char keys[16], value_len[16], workers[16], seconds[16];

	snprintf(keys, sizeof(keys), "%u", cell->stream->ids);
	snprintf(
	    value_len, sizeof(value_len), "%u", cell->stream->mix->value_len);
	snprintf(workers, sizeof(workers), "%u", cell->workers);
	snprintf(seconds, sizeof(seconds), "%g", cell->seconds);
	if (dup2(out, STDOUT_FILENO) < 0)
		err(1, "dup2");
	execlp(python_name(), "python3", python_driver, cell->peer->driver,
	    requests, keys, value_len, workers, seconds, server_folder, NULL);
	err(1, "%s", python_name());
}

void
python_speed(struct cell *cell)
{
	char requests[108], line[128], name[32];
	double value;
	FILE *figures;
	int end[2], status;

	snprintf(requests, sizeof(requests), "%s/requests", server_folder);
	requests_write(cell->stream, requests);
	if (pipe(end) != 0)
		err(1, "pipe");
	if (child_start() == 0)
		driver_exec(cell, requests, end[1]);
	close(end[1]);
	figures = fdopen(end[0], "r");
	while (figures != NULL && fgets(line, sizeof(line), figures) != NULL)
		if (sscanf(line, "%31s %lf", name, &value) == 2)
			report_add(cell->report, name, value);
	if (wait(&status) < 0 || status != 0)
		_exit(1);
}

/* ---- The peers ----------------------------------------------------------- */

static const char *
module_find(const char *import)
{
	int status;

	if (python_driver == NULL)
		return "no driver (-y)";
	if (child_start() == 0) {
		execlp(python_name(), "python3", "-c", import, NULL);
		_exit(127);
	}
	return wait(&status) > 0 && status == 0 ? NULL : "not in this Python";
}

static const char *
shmalloc_open(uint64_t bytes)
{
	const char *why = module_find("import ctypes");

	(void)bytes;
	if (why == NULL && getenv("SHMALLOC_CACHE_LIBRARY") == NULL)
		why = "no $SHMALLOC_CACHE_LIBRARY";
	return why != NULL ? why : heap_shmalloc.open();
}

static void
shmalloc_close(void)
{
	heap_shmalloc.close();
}

static const char *
diskcache_open(uint64_t bytes)
{
	(void)bytes;
	return module_find("import diskcache");
}

static const char *
manager_open(uint64_t bytes)
{
	(void)bytes;
	return module_find("import multiprocessing");
}

const struct peer peer_python_shmalloc = {
	.name = "python_shmalloc",
	.driver = "shmalloc",
	.open = shmalloc_open,
	.close = shmalloc_close,
};

const struct peer peer_python_diskcache = {
	.name = "python_diskcache",
	.driver = "diskcache",
	.open = diskcache_open,
};

const struct peer peer_python_manager = {
	.name = "python_manager",
	.driver = "manager",
	.open = manager_open,
};
