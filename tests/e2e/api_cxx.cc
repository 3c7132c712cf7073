/*
 * A client in C++17: the whole public header, used as a C++ program uses it.
 * A map from names to texts hangs from one root; four threads replace its
 * entries while others read them.
 *
 *	api_cxx [SEGMENT]
 */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

static_assert(std::is_same_v<shmalloc_slot, std::atomic<uint64_t>>);
static_assert(
    sizeof(shmalloc_slot) == 8 && std::atomic<uint64_t>::is_always_lock_free);

namespace
{

void
check(bool is_so, const char *what)
{
	if (!is_so)
		throw std::runtime_error(what);
}

void
done(int error, const char *what)
{
	if (error != 0)
		throw std::runtime_error(
		    std::string(what) + ": " + shmalloc_strerror(error));
}

/* An attachment, for as long as a scope. */
class heap
{
	struct detach {
		void
		operator()(struct shmalloc *heap) const
		{
			shmalloc_detach(heap);
		}
	};
	std::unique_ptr<struct shmalloc, detach> heap_;

      public:
	explicit heap(const char *segment)
	{
		shmalloc_options options = SHMALLOC_OPTIONS_INIT;
		struct shmalloc *attached;

		options.label = "api_cxx";
		done(shmalloc_attach(segment, &options, &attached), "attach");
		heap_.reset(attached);
	}

	operator struct shmalloc *() const
	{
		return heap_.get();
	}
};

/* Reading, for as long as a scope. */
class reading
{
	struct shmalloc *heap_;

      public:
	explicit reading(struct shmalloc *heap) : heap_(heap)
	{
		done(shmalloc_enter(heap), "enter");
	}
	reading(const reading &) = delete;
	reading &operator=(const reading &) = delete;
	~reading()
	{
		(void)shmalloc_exit(heap_);
	}
};

constexpr size_t n_entries = 64;
struct table {
	shmalloc_slot entry[n_entries];
};

std::string
text_of(size_t entry, unsigned version)
{
	return std::string(
		   16 + 37 * entry, static_cast<char>('a' + entry % 26)) +
	    std::to_string(version);
}

table *
table_make(struct shmalloc *heap, shmalloc_slot *root)
{
	shmalloc_off off = shmalloc_zalloc(heap, 1, sizeof(table));

	check(off != 0, "zalloc");
	auto *made = new (shmalloc_ptr(heap, off)) table{};
	done(shmalloc_publish(heap, root, 0, off), "publish the table");
	return made;
}

/* Hang a new text into SLOT; true if nobody was faster. */
bool
text_replace(struct shmalloc *heap, shmalloc_slot *slot, std::string_view text)
{
	const shmalloc_off old = slot->load();
	const shmalloc_off off = shmalloc_alloc(heap, text.size() + 1);

	check(off != 0, "alloc");
	std::memcpy(shmalloc_ptr(heap, off), text.data(), text.size());
	static_cast<char *>(shmalloc_ptr(heap, off))[text.size()] = '\0';
	const int error = shmalloc_publish(heap, slot, old, off);
	if (error == SHMALLOC_ECHANGED) {
		shmalloc_free(heap, off);
		return false;
	}
	done(error, "publish");
	if (old != 0)
		done(shmalloc_retire(heap, old), "retire");
	return true;
}

/* Is what hangs from entry I a whole text of that entry? */
void
text_check(struct shmalloc *heap, const table *table, size_t i)
{
	const reading inside(heap);
	const shmalloc_off off = table->entry[i].load();
	const std::string start = text_of(i, 0).substr(0, 16 + 37 * i);

	if (off != 0)
		check(std::string_view(
			  static_cast<const char *>(shmalloc_ptr(heap, off)))
			    .substr(0, start.size()) == start,
		    "a reader saw half a text");
}

void
threads_run(struct shmalloc *heap, table *table)
{
	std::atomic<bool> has_failed{ false };
	std::vector<std::thread> threads;

	for (unsigned seed = 0; seed < 4; seed++)
		threads.emplace_back([=, &has_failed] {
			try {
				for (unsigned n = 0; n < 5000; n++) {
					const size_t i =
					    (n * 7 + seed * 13) % n_entries;

					(void)text_replace(heap,
					    &table->entry[i], text_of(i, n));
					text_check(heap, table,
					    (i * 31 + n) % n_entries);
				}
			} catch (const std::exception &error) {
				std::fprintf(stderr, "%s\n", error.what());
				has_failed = true;
			}
		});
	for (auto &thread : threads)
		thread.join();
	check(!has_failed, "a thread failed");
}

void
table_drop(struct shmalloc *heap, shmalloc_slot *root, table *table)
{
	for (auto &slot : table->entry) {
		const shmalloc_off off = slot.load();

		done(shmalloc_publish(heap, &slot, off, 0), "withdraw");
		done(shmalloc_retire(heap, off), "retire");
	}
	const shmalloc_off off = root->load();
	done(shmalloc_publish(heap, root, off, 0), "withdraw the table");
	done(shmalloc_retire(heap, off), "retire the table");
	done(shmalloc_root_remove(heap, "cxx"), "remove the root");
}

void
sizes_check(struct shmalloc *heap)
{
	shmalloc_off batch[10];
	const shmalloc_off grown =
	    shmalloc_realloc(heap, shmalloc_alloc(heap, 10), 100000);

	check(shmalloc_alloc_batch(heap, 100, 10, batch) == 10, "batch");
	shmalloc_free_batch(heap, 10, batch);
	check(shmalloc_usable_size(heap, grown) >= 100000, "usable size");
	check(shmalloc_offset(heap, shmalloc_ptr(heap, grown)) == grown,
	    "an offset there and back");
	shmalloc_free(heap, grown);
	check(shmalloc_aligned_alloc(heap, 3, 10) == 0, "alignment 3");
	check(shmalloc_alloc(heap, SIZE_MAX) == 0 &&
		std::string_view(shmalloc_last_failure(heap)->reason) ==
		    "too_large",
	    "the reason of a failure");
}

} // namespace

int
main(int argc, char **argv)
try {
	const heap heap(argc > 1 ? argv[1] : nullptr);
	shmalloc_slot *root;

	done(shmalloc_root(heap, "cxx", &root), "root");
	sizes_check(heap);
	table *table = table_make(heap, root);
	threads_run(heap, table);
	table_drop(heap, root, table);
	return 0;
} catch (const std::exception &error) {
	std::fprintf(stderr, "api_cxx: %s\n", error.what());
	return 1;
}
