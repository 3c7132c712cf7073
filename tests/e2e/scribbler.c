/*
 * A client that writes over its segment's table of clients.
 *
 *	scribbler free       attaches many times, says that none of it is so,
 *	                     and attaches once more; prints the error
 *	scribbler claim PID  says that the process PID is a client
 *	scribbler commit     says that every page of the segment has memory
 *	scribbler evict      says that reader.evict_ms is 50
 *
 * Then it waits for the end of its input.
 */
#include <shmalloc/shmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/layout.h"
#include "shm/param.h"

/* More than the daemon leaves unused while there are fresh ones. */
#define MANY 70

static struct shm_client *
clients_of(const struct shmalloc *heap)
{
	char *base = *(char *const *)heap;
	const struct shm_super *super = (const void *)base;

	return (void *)(base + super->clients.off);
}

static struct shmalloc *
attach(const char *label)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	struct shmalloc *heap = NULL;
	int error;

	options.label = label;
	error = shmalloc_attach(NULL, &options, &heap);
	if (error) {
		fprintf(stderr, "attach: %s\n", shmalloc_strerror(error));
		exit(EXIT_FAILURE);
	}
	return heap;
}

static void
all_free(void)
{
	struct shmalloc *heap = NULL;
	struct shm_client *clients;

	for (int i = 0; i < MANY; i++)
		heap = attach("many");
	clients = clients_of(heap);
	for (uint32_t i = SHM_DAEMON_SLOT + 1; i <= SHM_DAEMON_SLOT + MANY; i++)
		atomic_store(&clients[i].state, SHM_CLIENT_FREE);
	printf("error %d\n", shmalloc_attach(NULL, NULL, &heap));
}

/* A record that is free, but was used, is there. */
static void
pid_claim(unsigned pid)
{
	struct shmalloc *heap = attach("scribbler"), *other = attach("free");
	struct shm_client *client = clients_of(heap);
	struct timespec pause = { 0, 10000000 };

	while (strcmp(client->label, "free") != 0)
		client++;
	shmalloc_detach(other);
	while (atomic_load(&client->state) != SHM_CLIENT_FREE)
		(void)nanosleep(&pause, NULL);
	atomic_store(&client->pid, pid);
	atomic_store(&client->state, SHM_CLIENT_LIVE);
	puts("claimed");
}

/* The bitmap's pages are there as far as they describe what was used. */
static void
all_commit(void)
{
	struct shmalloc *heap = attach("scribbler");
	char *base = *(char *const *)heap;
	const struct shm_super *super = (const void *)base;

	memset(base + super->committed.off, 0xff, 4096);
	puts("committed");
}

static void
evict_say(void)
{
	struct shmalloc *heap = attach("scribbler");
	char *base = *(char *const *)heap;
	const struct shm_super *super = (const void *)base;
	struct shm_tunables *tunables = (void *)(base + super->tunables.off);

	atomic_store(&tunables->value[SHM_PARAM_reader_evict_ms], 50);
	puts("said");
}

int
main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], "free") == 0)
		all_free();
	else if (argc == 3 && strcmp(argv[1], "claim") == 0)
		pid_claim((unsigned)strtoul(argv[2], NULL, 10));
	else if (argc == 2 && strcmp(argv[1], "commit") == 0)
		all_commit();
	else if (argc == 2 && strcmp(argv[1], "evict") == 0)
		evict_say();
	else
		return EXIT_FAILURE;
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	return EXIT_SUCCESS;
}
