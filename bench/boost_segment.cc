// A segment of Boost.Interprocess, in C: see heap_boost.c.
#include <boost/interprocess/managed_external_buffer.hpp>

#include "bench/boost_segment.h"

namespace ipc = boost::interprocess;

// As managed_external_buffer, but with mutexes: that one has none.
using segment_type = ipc::basic_managed_external_buffer<char,
    ipc::rbtree_best_fit<ipc::mutex_family>, ipc::iset_index>;

void *
boost_segment_make(void *at, size_t len)
try {
	return new segment_type(ipc::create_only, at, len);
} catch (const std::exception &) {
	return nullptr;
}

void *
boost_segment_alloc(void *segment, size_t size)
{
	return static_cast<segment_type *>(segment)->allocate(
	    size, std::nothrow);
}

void
boost_segment_free(void *segment, void *at)
{
	static_cast<segment_type *>(segment)->deallocate(at);
}
