/*
 * C++ containers in a segment: Boost.Container's map and string over an
 * allocator of libshmalloc, with Boost's offset_ptr for pointers, since a
 * segment lies at another address in each process.
 *
 *	containers write	publish a dictionary, in place of the one there
 *	containers read		print it, in another process
 *
 * A dictionary with all that it holds lies in one object of the segment, from
 * which its allocator cuts.  So it is its writer's while it is built, and a
 * kill gives all of it back; one publish makes all of it the segment's; and one
 * retire frees it when no reader can be inside any more.  It is never changed
 * after its publish, nor destroyed, which would move nodes under a reader:
 * publish another.
 */
#include <boost/container/map.hpp>
#include <boost/container/string.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <cstdio>
#include <cstring>
#include <err.h>
#include <new>
#include <shmalloc/shmalloc.h>

namespace
{

using boost::interprocess::offset_ptr;

/* The object, and how far it is cut. */
struct block {
	std::size_t size, used;

	void *
	cut(std::size_t n)
	{
		n = (n + 15) & ~std::size_t(15);
		if (n > size - used)
			throw std::bad_alloc();
		void *at = reinterpret_cast<char *>(this) + used;
		used += n;
		return at;
	}
};

template <class T> struct block_allocator {
	using value_type = T;
	using pointer = offset_ptr<T>;
	using const_pointer = offset_ptr<const T>;

	offset_ptr<block> from;

	explicit block_allocator(block *block) : from(block)
	{
	}
	template <class U>
	block_allocator(const block_allocator<U> &other) : from(other.from)
	{
	}
	pointer
	allocate(std::size_t n)
	{
		return static_cast<T *>(from->cut(n * sizeof(T)));
	}
	void
	deallocate(const pointer &, std::size_t)
	{
		/* All of it goes with the block. */
	}
	template <class U>
	bool
	operator==(const block_allocator<U> &other) const
	{
		return from == other.from;
	}
	template <class U>
	bool
	operator!=(const block_allocator<U> &other) const
	{
		return from != other.from;
	}
};

using text = boost::container::basic_string<char, std::char_traits<char>,
    block_allocator<char>>;
using dictionary = boost::container::map<text, text, std::less<text>,
    block_allocator<std::pair<const text, text>>>;

/* What is published: the dictionary is the first that is cut from its block. */
struct volume : block {
	dictionary words;

	explicit volume(std::size_t len)
	    : block{ len, sizeof(volume) },
	      words(block_allocator<dictionary::value_type>(this))
	{
	}
};

const char *const words[][2] = { { "chunk", "a piece of a region" },
	{ "offset", "where an object is in its segment" },
	{ "segment", "one shared memory file with one heap in it" } };

void
volume_fill(volume *volume)
{
	block_allocator<char> from(volume);
	for (const auto &word : words)
		volume->words.emplace(text(word[0], from), text(word[1], from));
}

/* As large as it must be; the caller's. */
shmalloc_off
volume_build(struct shmalloc *heap)
{
	for (std::size_t size = sizeof(volume) + 64;; size *= 2) {
		shmalloc_off off = shmalloc_alloc(heap, size);
		if (off == 0)
			return 0;
		try {
			volume_fill(new (shmalloc_ptr(heap, off)) volume(size));
			return off;
		} catch (const std::bad_alloc &) {
			shmalloc_free(heap, off);
		}
	}
}

int
dictionary_write(struct shmalloc *heap, shmalloc_slot *root)
{
	shmalloc_off off = volume_build(heap), before;
	if (off == 0)
		return SHMALLOC_ENOMEM;
	int error;
	do {
		before = shmalloc_slot_load(root);
		error = shmalloc_publish(heap, root, before, off);
	} while (error == SHMALLOC_ECHANGED);
	return error != 0 || before == 0 ? error
					 : shmalloc_retire(heap, before);
}

int
dictionary_read(struct shmalloc *heap, shmalloc_slot *root)
{
	int error = shmalloc_enter(heap);
	if (error != 0)
		return error;
	shmalloc_off off = shmalloc_slot_load(root);
	if (off != 0)
		for (const auto &word :
		    static_cast<volume *>(shmalloc_ptr(heap, off))->words)
			std::printf("%s: %s\n", word.first.c_str(),
			    word.second.c_str());
	return shmalloc_exit(heap);
}

} // namespace

int
main(int argc, char *argv[])
{
	struct shmalloc *heap;
	shmalloc_slot *root;
	if (argc != 2)
		errx(2, "usage: containers write|read");
	int error = shmalloc_attach(nullptr, nullptr, &heap);
	if (error != 0)
		errx(1, "%s", shmalloc_strerror(error));
	error = shmalloc_root(heap, "dictionary", &root);
	if (error == 0)
		error = std::strcmp(argv[1], "write") == 0
		    ? dictionary_write(heap, root)
		    : dictionary_read(heap, root);
	shmalloc_detach(heap);
	if (error != 0)
		errx(1, "%s", shmalloc_strerror(error));
	return 0;
}
