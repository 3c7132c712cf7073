/*
 * From an instruction's address in this process to a file and the address in
 * it, which mean the same after the process has ended, and to others.
 *
 * _dl_find_object() of glibc 2.35 takes no lock, unlike dladdr() and
 * dl_iterate_phdr(), so that this is safe in a handler and in a child of fork.
 * The file's program headers are in its first page, which is mapped.  What was
 * found is kept by where it is mapped; a library that is loaded where another
 * was, with the same record of the loader's, would be taken for that.
 */
#include "client/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "shm/sample.h"

/* An ELF file as it is mapped. */
struct image {
	const struct dl_find_object *object;
	const ElfW(Ehdr) * head;
	const ElfW(Phdr) * program;
	uintptr_t delta;
};

static bool
image_open(struct image *image, const struct dl_find_object *object)
{
	const char *start = object->dlfo_map_start;
	const ElfW(Ehdr) *head = object->dlfo_map_start;
	size_t len = (size_t)((const char *)object->dlfo_map_end - start);

	if (len < SHM_PAGE || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_phentsize != sizeof(ElfW(Phdr)) ||
	    head->e_phoff > SHM_PAGE - sizeof(ElfW(Phdr)) ||
	    head->e_phnum > (SHM_PAGE - head->e_phoff) / sizeof(ElfW(Phdr)))
		return false;
	image->object = object;
	image->head = head;
	image->program = (const void *)(start + head->e_phoff);
	image->delta = object->dlfo_link_map->l_addr;
	return true;
}

/* The address in memory of LEN bytes at the file's address AT, or NULL. */
static const void *
image_at(const struct image *image, uint64_t at, uint64_t len)
{
	const char *start = image->object->dlfo_map_start;
	const char *end = image->object->dlfo_map_end;
	uint64_t rel = at + image->delta - (uintptr_t)start;

	return rel < (uint64_t)(end - start) &&
		len <= (uint64_t)(end - start) - rel
	    ? start + rel
	    : NULL;
}

/* The build id among the LEN bytes of notes at NOTE. */
static bool
notes_find(const char *note, uint64_t len, struct shm_module_copy *ret)
{
	ElfW(Nhdr) head;

	while (len >= sizeof(head)) {
		uint64_t name, all;

		memcpy(&head, note, sizeof(head));
		name = sizeof(head) + (((uint64_t)head.n_namesz + 3) & ~3u);
		all = name + (((uint64_t)head.n_descsz + 3) & ~3u);
		if (all > len)
			return false;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
		    memcmp(note + sizeof(head), "GNU", 4) == 0 &&
		    head.n_descsz <= sizeof(ret->id)) {
			ret->id_len = head.n_descsz;
			memcpy(ret->id, note + name, head.n_descsz);
			return true;
		}
		note += all;
		len -= all;
	}
	return false;
}

/* The code at the file's address AT; false: there is none. */
static bool
image_code(const struct image *image, uint64_t at, struct shm_module_copy *ret)
{
	const ElfW(Phdr) *program = image->program;

	for (size_t i = 0; i < image->head->e_phnum; i++) {
		uint64_t skew = program[i].p_vaddr % SHM_PAGE;

		if (program[i].p_type != PT_LOAD ||
		    !(program[i].p_flags & PF_X) || at < program[i].p_vaddr ||
		    at - program[i].p_vaddr >= program[i].p_memsz)
			continue;
		ret->start = program[i].p_vaddr - skew;
		ret->end = program[i].p_vaddr + program[i].p_memsz;
		ret->file_off = program[i].p_offset - skew;
		ret->is_fixed = image->head->e_type == ET_EXEC;
		return true;
	}
	return false;
}

static void
image_id(const struct image *image, struct shm_module_copy *ret)
{
	const ElfW(Phdr) *program = image->program;

	for (size_t i = 0; i < image->head->e_phnum; i++) {
		const void *note = program[i].p_type == PT_NOTE
		    ? image_at(image, program[i].p_vaddr, program[i].p_memsz)
		    : NULL;

		if (note && notes_find(note, program[i].p_memsz, ret))
			return;
	}
}

/* The loader has no name for the program itself. */
static void
image_name(const struct image *image, struct shm_module_copy *ret)
{
	const char *name = image->object->dlfo_link_map->l_name;
	ssize_t n;

	if (*name) {
		strncpy(ret->name, name, sizeof(ret->name) - 1);
		return;
	}
	n = readlink("/proc/self/exe", ret->name, sizeof(ret->name) - 1);
	if (n < 0)
		ret->name[0] = '\0';
}

/* The entry for the code of IMAGE at the file's address AT. */
static bool
module_make(struct cache *cache, const struct image *image, uint64_t at,
    struct cache_module *ret)
{
	struct shm_module_copy copy = { 0 };

	if (!image_code(image, at, &copy))
		return false;
	image_id(image, &copy);
	image_name(image, &copy);
	ret->start = copy.start + image->delta;
	ret->end = copy.end + image->delta;
	ret->delta = image->delta;
	ret->map = image->object->dlfo_link_map;
	ret->plus_one = shm_module_find(&cache->self, &copy);
	return ret->plus_one != 0;
}

static const struct cache_module *
module_of(struct cache *cache, uintptr_t ip)
{
	struct cache_module *place = cache->module;
	struct dl_find_object object;
	struct image image;
	uint32_t i;

	if (_dl_find_object((void *)ip, &object) != 0)
		return NULL;
	for (i = 0; i < CACHE_MODULES && cache->module[i].map; i++)
		if (cache->module[i].map == object.dlfo_link_map &&
		    ip >= cache->module[i].start && ip < cache->module[i].end)
			return &cache->module[i];
	/* With more of them than there is room for, any may go. */
	place = &cache->module[i < CACHE_MODULES ? i : ip / SHM_PAGE % i];
	if (!image_open(&image, &object) ||
	    !module_make(cache, &image, ip - image.delta, place)) {
		place->map = i < CACHE_MODULES ? NULL : place->map;
		return NULL;
	}
	return place;
}

uint64_t
module_frame(struct cache *cache, uintptr_t ip)
{
	const uint64_t mask = (UINT64_C(1) << SHM_FRAME_BITS) - 1;
	const struct cache_module *module = module_of(cache, ip);

	if (!module)
		return ip & mask;
	return (uint64_t)module->plus_one << SHM_FRAME_BITS |
	    ((ip - module->delta) & mask);
}
