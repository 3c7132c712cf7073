/*
 * A producer and a consumer, two processes, and nothing copied between them.
 *
 *	pipeline produce N	make N messages
 *	pipeline consume N	take N of them, and check each
 *
 * The root "pipeline" holds a ring of slots.  The producer builds a message in
 * memory of its own and publishes it into the next slot once that is empty (0);
 * the consumer publishes 0 in its place, which makes the message its own, and
 * frees it.  A kill of either leaves each message in exactly one place: with
 * the producer (it comes back), in the ring, or with the consumer (it comes
 * back).
 */
#include <err.h>
#include <shmalloc/shmalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 64

struct ring {
	shmalloc_slot slot[SLOTS];
};

struct message {
	unsigned number;
	unsigned len;
	unsigned char bytes[];
};

static struct ring *
ring_open(struct shmalloc *heap)
{
	shmalloc_slot *root;

	if (shmalloc_root(heap, "pipeline", &root) != 0)
		errx(1, "no root");
	if (shmalloc_slot_load(root) == 0) {
		shmalloc_off off =
		    shmalloc_zalloc(heap, 1, sizeof(struct ring));

		if (off == 0)
			err(1, "no memory");
		if (shmalloc_publish(heap, root, 0, off) != 0)
			shmalloc_free(heap, off);
	}
	return shmalloc_ptr(heap, shmalloc_slot_load(root));
}

static void
rest(void)
{
	struct timespec pause = { .tv_nsec = 100000 };

	nanosleep(&pause, NULL);
}

static void
produce(struct shmalloc *heap, struct ring *ring, unsigned number)
{
	unsigned len = 1 + number * 37 % 5000;
	shmalloc_off off = shmalloc_alloc(heap, sizeof(struct message) + len);
	struct message *message = shmalloc_ptr(heap, off);

	if (message == NULL)
		errx(1, "%s", shmalloc_last_failure(heap)->reason);
	message->number = number;
	message->len = len;
	memset(message->bytes, (int)(number & 0xff), len);
	while (shmalloc_publish(heap, &ring->slot[number % SLOTS], 0, off) ==
	    SHMALLOC_ECHANGED)
		rest();
}

static void
consume(struct shmalloc *heap, struct ring *ring, unsigned number)
{
	shmalloc_slot *slot = &ring->slot[number % SLOTS];
	shmalloc_off off;

	while ((off = shmalloc_slot_load(slot)) == 0)
		rest();
	if (shmalloc_publish(heap, slot, off, 0) != 0)
		errx(1, "somebody else consumes, too");
	const struct message *message = shmalloc_ptr(heap, off);

	if (message->number != number)
		errx(1, "message %u in place of %u", message->number, number);
	for (unsigned i = 0; i < message->len; i++)
		if (message->bytes[i] != (number & 0xff))
			errx(1, "a wrong byte in message %u", number);
	shmalloc_free(heap, off);
}

int
main(int argc, char *argv[])
{
	struct shmalloc *heap;

	if (argc != 3 || atoi(argv[2]) < 1)
		errx(2, "usage: pipeline produce|consume N");
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "%s", shmalloc_strerror(error));
	struct ring *ring = ring_open(heap);
	unsigned n = (unsigned)atoi(argv[2]);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(argv[1], "produce") == 0)
			produce(heap, ring, i);
		else
			consume(heap, ring, i);
	printf("%sd %u messages\n", argv[1], n);
	shmalloc_detach(heap);
	return 0;
}
