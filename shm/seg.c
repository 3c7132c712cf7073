/*
 * Creating and mapping segments.
 */
#include "shm/seg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/daemon.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3 */
#endif

#define SEALS       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MIN_RESERVE (UINT64_C(64) << 30)
/* What is reserved without being asked for, at most. */
#define BIG_RESERVE (UINT64_C(1) << 40)
/* Tables included.  So that the bitmap's first page describes the bitmap. */
#define MAX_RESERVE (UINT64_C(1) << 41)

/* A number that differs when the sizes that processes must agree on do. */
static uint32_t
abi_hash(void)
{
	const uint64_t sizes[] = { sizeof(struct shm_super),
		sizeof(struct shm_arena), sizeof(struct shm_client),
		sizeof(struct shm_thread), sizeof(struct shm_chunk),
		sizeof(struct shm_pins), SHM_REGION, SHM_PAGE, SHM_THREADS,
		sizeof(struct shm_sample), sizeof(struct shm_module) };
	uint32_t hash = 2166136261u; /* FNV-1a, over words */

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		hash = (hash ^ (uint32_t)sizes[i]) * 16777619u;
	return hash;
}

static uint64_t
round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static struct shm_table
table_place(uint64_t *off, uint64_t n, uint64_t size)
{
	struct shm_table table = { *off, n };

	*off = round_up(*off + n * size, SHM_PAGE);
	return table;
}

/* Decide where everything lies in RESERVED bytes. */
static void
super_layout(struct shm_super *super, uint64_t reserved, uint32_t arenas)
{
	uint64_t off = round_up(sizeof(*super), SHM_PAGE);
	uint64_t most = reserved / SHM_REGION;

	super->reserved = reserved;
	super->tunables = table_place(&off, 1, sizeof(struct shm_tunables));
	super->committed = table_place(&off, reserved / SHM_PAGE / 64, 8);
	super->arenas = table_place(&off, arenas, sizeof(struct shm_arena));
	super->roots = table_place(&off, SHM_ROOTS, sizeof(struct shm_root));
	super->regions = table_place(&off, most, 8);
	super->threads =
	    table_place(&off, SHM_THREADS, sizeof(struct shm_thread));
	super->clients =
	    table_place(&off, SHM_CLIENTS, sizeof(struct shm_client));
	super->client_bits =
	    table_place(&off, SHM_CLIENTS, round_up(most, 64) / 8);
	super->modules =
	    table_place(&off, SHM_MODULES, sizeof(struct shm_module));
	super->samples =
	    table_place(&off, SHM_SAMPLES, sizeof(struct shm_sample));
	super->pages =
	    table_place(&off, most * SHM_REGION_PAGES, sizeof(struct shm_page));
	super->heap = round_up(off, SHM_REGION);
	super->n_regions = (reserved - super->heap) / SHM_REGION;
}

/* ---- Mapping ------------------------------------------------------------- */

static bool
table_is_sane(const struct shm_seg *seg, const struct shm_table *table,
    uint64_t n, uint64_t size)
{
	return table->n >= n && table->n <= seg->heap / size &&
	    table->off % SHM_PAGE == 0 && table->off < seg->heap &&
	    table->n * size <= seg->heap - table->off;
}

/* Point SEG's tables at those that a copy of the superblock names. */
static int
seg_tables(struct shm_seg *seg, const struct shm_super *super)
{
	uint64_t most = seg->len / SHM_REGION;

	if (super->heap % SHM_REGION || super->heap >= seg->len ||
	    super->n_regions != (seg->len - super->heap) / SHM_REGION ||
	    super->n_regions > UINT32_MAX / SHM_REGION_PAGES ||
	    !(super->key & 1))
		return SHM_ECORRUPT;
	seg->heap = super->heap;
	seg->key = super->key;
	seg->n_regions = (uint32_t)super->n_regions;
	seg->n_bit_words = (uint32_t)(round_up(most, 64) / 64);
	if (!table_is_sane(
		seg, &super->tunables, 1, sizeof(struct shm_tunables)) ||
	    !table_is_sane(seg, &super->arenas, 1, sizeof(struct shm_arena)) ||
	    !table_is_sane(
		seg, &super->roots, SHM_ROOTS, sizeof(struct shm_root)) ||
	    !table_is_sane(
		seg, &super->clients, SHM_CLIENTS, sizeof(struct shm_client)) ||
	    !table_is_sane(seg, &super->client_bits, SHM_CLIENTS,
		seg->n_bit_words * UINT64_C(8)) ||
	    !table_is_sane(
		seg, &super->threads, SHM_THREADS, sizeof(struct shm_thread)) ||
	    !table_is_sane(
		seg, &super->modules, SHM_MODULES, sizeof(struct shm_module)) ||
	    !table_is_sane(
		seg, &super->samples, SHM_SAMPLES, sizeof(struct shm_sample)) ||
	    !table_is_sane(
		seg, &super->committed, seg->len / SHM_PAGE / 64, 8) ||
	    !table_is_sane(seg, &super->regions, seg->n_regions, 8) ||
	    !table_is_sane(seg, &super->pages,
		(uint64_t)seg->n_regions * SHM_REGION_PAGES,
		sizeof(struct shm_page)) ||
	    super->arenas.n > SHM_ARENAS)
		return SHM_ECORRUPT;
	seg->super = (void *)seg->base;
	seg->max_arenas = (uint32_t)super->arenas.n;
	seg->tunables = (void *)(seg->base + super->tunables.off);
	seg->arenas = (void *)(seg->base + super->arenas.off);
	seg->roots = (void *)(seg->base + super->roots.off);
	seg->clients = (void *)(seg->base + super->clients.off);
	seg->client_bits = (void *)(seg->base + super->client_bits.off);
	seg->threads = (void *)(seg->base + super->threads.off);
	seg->committed = (void *)(seg->base + super->committed.off);
	seg->regions = (void *)(seg->base + super->regions.off);
	seg->pages = (void *)(seg->base + super->pages.off);
	seg->samples = (void *)(seg->base + super->samples.off);
	seg->modules = (void *)(seg->base + super->modules.off);
	return 0;
}

/*
 * Map LEN bytes of FD at an address that is a multiple of a region.  First
 * without access, then unlocked, then with access: under mlockall(MCL_FUTURE) a
 * mapping with access would be populated, all 64 GiB of it.
 */
static int
file_map(int fd, uint64_t len, int access, char **ret_base)
{
	uint64_t room = len + SHM_REGION;
	char *space = mmap(NULL, room, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *base;

	if (space == MAP_FAILED)
		return SHM_ESYSTEM;
	base = space + (SHM_REGION - (uintptr_t)space % SHM_REGION);
	if (mmap(base, len, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		fd, 0) == MAP_FAILED)
		goto fail;
	if (munlock(base, len) != 0 || mprotect(base, len, access) != 0 ||
	    madvise(base, len, MADV_DONTDUMP) != 0)
		goto fail;
	(void)munmap(space, (size_t)(base - space));
	(void)munmap(base + len, (size_t)(space + room - (base + len)));
	*ret_base = base;
	return 0;
fail:
	(void)munmap(space, room);
	return SHM_ESYSTEM;
}

static int
fd_size(int fd, uint64_t *ret_size)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return SHM_ESYSTEM;
	if (status.st_size < 0 || (uint64_t)status.st_size > MAX_RESERVE)
		return SHM_ECORRUPT;
	*ret_size = (uint64_t)status.st_size;
	return 0;
}

/* The descriptor must be one that nobody can truncate under us. */
static int
fd_check(int fd, uint64_t least, uint64_t *ret_len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	int error = fd_size(fd, ret_len);

	if (error)
		return error;
	if (seals < 0 || (seals & SEALS) != SEALS || *ret_len < least)
		return SHM_EVERSION;
	return 0;
}

static int
pins_map(struct shm_seg *seg, const struct shm_super *super)
{
	uint64_t len;
	char *base;
	int error = fd_check(seg->pins_fd, sizeof(struct shm_pins), &len);

	if (error == 0)
		error =
		    file_map(seg->pins_fd, len, PROT_READ | PROT_WRITE, &base);
	if (error)
		return error;
	seg->pins = (void *)base;
	if (seg->pins->magic == SHM_MAGIC && seg->pins->id[0] == super->id[0] &&
	    seg->pins->id[1] == super->id[1])
		return 0;
	(void)munmap(base, len);
	return SHM_ECORRUPT;
}

int
shm_seg_map(int fd, int pins_fd, bool is_read_only, struct shm_seg *ret_seg)
{
	struct shm_seg seg = {
		.fd = fd, .pins_fd = pins_fd, .is_read_only = is_read_only
	};
	struct shm_super super;
	int access = is_read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	int error = fd_check(fd, 2 * SHM_REGION, &seg.len);

	if (error == 0)
		error = file_map(fd, seg.len, access, &seg.base);
	if (error)
		return error;
	memcpy(&super, seg.base, sizeof(super));
	if (super.magic != SHM_MAGIC || super.layout != SHM_LAYOUT ||
	    super.abi != abi_hash())
		error = SHM_EVERSION;
	else if (super.reserved != seg.len)
		error = SHM_ECORRUPT;
	else
		error = seg_tables(&seg, &super);
	if (error == 0)
		error = pins_map(&seg, &super);
	if (error) {
		(void)munmap(seg.base, seg.len);
		return error;
	}
	*ret_seg = seg;
	return 0;
}

void
shm_seg_forget(struct shm_seg *seg)
{
	shm_reclaim_end(seg);
	free(seg->passes);
	seg->passes = NULL;
	free(seg->filled);
	seg->filled = NULL;
}

void
shm_seg_unmap(struct shm_seg *seg)
{
	(void)munmap(seg->base, seg->len);
	(void)munmap(seg->pins, sizeof(struct shm_pins));
	(void)close(seg->fd);
	(void)close(seg->pins_fd);
	shm_seg_forget(seg);
	seg->base = NULL;
}

/* ---- Creating ------------------------------------------------------------ */

static int
memfd_make(const char *name, uint64_t size, uint32_t mode, int *ret_fd)
{
	char title[SHM_NAME_LEN + 16];
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	(void)snprintf(title, sizeof(title), "shmalloc:%s", name);
	fd = memfd_create(title, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(title, flags);
	if (fd < 0)
		return SHM_ESYSTEM;
	if (fchmod(fd, mode & 0666) != 0 || ftruncate(fd, (off_t)size) != 0 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
		(void)close(fd);
		return SHM_ESYSTEM;
	}
	*ret_fd = fd;
	return 0;
}

int
shm_seg_files(const char *name, uint64_t reserved, uint32_t mode, int *ret_fd,
    int *ret_pins_fd)
{
	int fd, pins_fd, error;

	if (reserved % SHM_REGION || reserved < 2 * SHM_REGION ||
	    reserved > MAX_RESERVE)
		return SHM_ECORRUPT;
	error = memfd_make(name, reserved, mode, &fd);
	if (error)
		return error;
	/* Who may read the segment writes his pins. */
	error = memfd_make(name, sizeof(struct shm_pins),
	    0666 & (mode | (mode >> 1 & 0222)), &pins_fd);
	if (error) {
		(void)close(fd);
		return error;
	}
	*ret_fd = fd;
	*ret_pins_fd = pins_fd;
	return 0;
}

int
shm_seg_rename(int fd, int pins_fd, uint64_t ret_id[2])
{
	const size_t len = 2 * sizeof(*ret_id);

	if (getrandom(ret_id, len, 0) != (ssize_t)len ||
	    pwrite(fd, ret_id, len, offsetof(struct shm_super, id)) !=
		(ssize_t)len ||
	    pwrite(pins_fd, ret_id, len, offsetof(struct shm_pins, id)) !=
		(ssize_t)len)
		return SHM_ESYSTEM;
	return 0;
}

static void
super_init(struct shm_super *super, const struct shm_seg_options *options,
    uint64_t reserved, uint32_t arenas)
{
	memset(super, 0, sizeof(*super));
	super_layout(super, reserved, arenas);
	super->layout = SHM_LAYOUT;
	super->abi = abi_hash();
	super->created = (uint64_t)time(NULL);
	super->system_pages = UINT64_MAX;
	super->epoch = 1;
	super->n_arenas = 1;
	(void)snprintf(super->name, sizeof(super->name), "%s", options->name);
}

static void
tunables_init(struct shm_tunables *tunables, uint64_t limit)
{
	for (int i = 0; i < SHM_PARAMS; i++)
		tunables->value[i] = shm_params[i].def;
	tunables->value[SHM_PARAM_limit_hard] = limit;
	tunables->is_dynamic = 1;
	tunables->generation = 2;
}

/* Commit what is there from the start.  The bitmap's first page describes
 * itself, so it comes first. */
static int
tables_commit(struct shm_seg *seg)
{
	struct shm_self self = { .seg = seg };
	uint64_t map = shm_offset_of(seg, seg->committed);
	int error;

	self.client = &seg->clients[SHM_DAEMON_SLOT];
	if (fallocate(seg->fd, 0, (off_t)map, SHM_PAGE) != 0)
		return SHM_ESYSTEM;
	error = shm_commit(&self, 0, map + SHM_PAGE);
	if (error == 0)
		error = shm_commit(&self, shm_offset_of(seg, seg->arenas),
		    sizeof(struct shm_arena));
	if (error == 0)
		error = shm_commit(
		    &self, shm_offset_of(seg, seg->threads), SHM_PAGE);
	if (error == 0)
		error = shm_commit(&self, shm_offset_of(seg, seg->clients),
		    (SHM_DAEMON_SLOT + 1) * sizeof(struct shm_client));
	if (error == 0)
		error = shm_commit(&self, shm_offset_of(seg, seg->client_bits),
		    (SHM_DAEMON_SLOT + 1) * UINT64_C(8) * seg->n_bit_words);
	return error;
}

static int
seg_format(int fd, int pins_fd, const struct shm_super *super, uint64_t limit)
{
	struct shm_seg seg = { .fd = fd, .len = super->reserved };
	struct shm_pins *pins;
	char *base;
	int error =
	    file_map(fd, super->reserved, PROT_READ | PROT_WRITE, &seg.base);

	if (error)
		return error;
	error = file_map(pins_fd, sizeof(*pins), PROT_READ | PROT_WRITE, &base);
	if (error)
		goto out;
	pins = (void *)base;
	pins->magic = SHM_MAGIC;
	memcpy(pins->id, super->id, sizeof(pins->id));
	pins->high = SHM_DAEMON_THREAD;
	(void)munmap(base, sizeof(*pins));
	error = seg_tables(&seg, super);
	if (error)
		goto out;
	memcpy(seg.base, super, sizeof(*super));
	tunables_init(seg.tunables, limit);
	error = tables_commit(&seg);
	seg.arenas[0].state = SHM_ARENA_ACTIVE;
	/* Last: a file without the magic is no segment. */
	seg.super->magic = SHM_MAGIC;
out:
	(void)munmap(seg.base, super->reserved);
	return error;
}

/* The bytes that the heap may have. */
static uint64_t
reserve_size(const struct shm_seg_options *options)
{
	uint64_t reserve = options->reserve, limit = options->limit;

	if (reserve == 0) {
		reserve = limit < BIG_RESERVE / 8 ? limit * 8 : BIG_RESERVE;
		reserve = reserve > MIN_RESERVE ? reserve : MIN_RESERVE;
		reserve = reserve > limit ? reserve : limit;
	}
	return round_up(reserve, SHM_REGION);
}

/* The size of a segment whose heap may have RESERVE bytes: the tables come on
 * top, and have a line for each page of it all.  A step makes the tables larger
 * by no more than itself, so the heap comes to be RESERVE exactly. */
static uint64_t
seg_size(uint64_t reserve, uint32_t arenas)
{
	struct shm_super super;
	uint64_t size = reserve;

	for (;;) {
		super_layout(&super, size, arenas);
		if (super.heap + reserve <= size)
			return size;
		size = super.heap + reserve;
	}
}

static uint32_t
arena_count(const struct shm_seg_options *options)
{
	long cores = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t n = options->arenas;

	if (n == 0)
		n = cores > 0 ? (uint32_t)cores * 8 : 8;
	return n < SHM_ARENAS ? n : SHM_ARENAS;
}

int
shm_seg_create(
    const struct shm_seg_options *options, int *ret_fd, int *ret_pins_fd)
{
	size_t len = strlen(options->name);
	uint32_t arenas = arena_count(options);
	uint64_t reserve, size;
	struct shm_super super;
	int fd, pins_fd, error;

	if (len == 0 || len >= SHM_NAME_LEN || options->limit > MAX_RESERVE ||
	    options->reserve > MAX_RESERVE ||
	    options->limit < shm_params[SHM_PARAM_limit_hard].min)
		return SHM_EINVAL;
	reserve = reserve_size(options);
	if (reserve < options->limit)
		return SHM_EINVAL;
	size = seg_size(reserve, arenas);
	if (size > MAX_RESERVE)
		return SHM_EINVAL;
	super_init(&super, options, size, arenas);
	if (getrandom(&super.key, sizeof(super.key), 0) != sizeof(super.key) ||
	    getrandom(super.id, sizeof(super.id), 0) != sizeof(super.id))
		return SHM_ESYSTEM;
	super.key |= 1;
	error =
	    shm_seg_files(options->name, size, options->mode, &fd, &pins_fd);
	if (error)
		return error;
	error = seg_format(fd, pins_fd, &super, options->limit);
	if (error) {
		(void)close(fd);
		(void)close(pins_fd);
		return error;
	}
	*ret_fd = fd;
	*ret_pins_fd = pins_fd;
	return 0;
}

uint32_t
shm_clock_ms(void)
{
	struct timespec now = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000 +
	    (uint64_t)now.tv_nsec / 1000000);
}
