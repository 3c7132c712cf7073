/*
 * See attachment.h.
 */
#include "tests/unit/attachment.h"

#include <criterion/criterion.h>

#include <string.h>
#include <sys/mman.h>

#include "shm/daemon.h"

void
attachment_make(struct shmalloc *heap)
{
	const struct shm_seg_options options = { .name = "test",
		.limit = UINT64_C(256) << 20,
		.mode = 0600,
		.arenas = 8 };
	const struct shm_identity who = { .pid = 1 };
	int fd, pins_fd;

	memset(heap, 0, sizeof(*heap));
	cr_assert_eq(shm_seg_create(&options, &fd, &pins_fd), 0);
	cr_assert_eq(shm_seg_map(fd, pins_fd, false, &heap->seg), 0);
	cr_assert_eq(shm_daemon_start(&heap->seg), 0);
	cr_assert_eq(
	    shm_client_open(&heap->seg, &who, &heap->slot, &heap->generation),
	    0);
	heap->guard = mmap(NULL, SHM_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(heap->guard, MAP_FAILED);
	atomic_store(&heap->guard->is_attached, true);
	heap->socket = -1;
}
