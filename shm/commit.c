/*
 * See shm/commit.h.
 */
#include "shm/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "shm/latency.h"
#include "shm/memory.h"

#define COMMIT_PAGES_BITS 40
#define COMMIT_PAGES      ((UINT64_C(1) << COMMIT_PAGES_BITS) - 1)
#define COMMIT_CHANGE     (UINT64_C(1) << COMMIT_PAGES_BITS)
#define BITS_A_PAGE       (SHM_PAGE * 8)
#define OWN_SHARE         16u   /* of what is left goes without a look */
#define ALL_SHARE         4u    /* and this, of all clients together */
#define OWN_MS            1000u /* and for so long */

/* Bits [first, last) that fall into the word WORD. */
static uint64_t
word_mask(uint64_t word, uint64_t first, uint64_t last)
{
	uint64_t low = word * 64, mask = UINT64_MAX;

	if (first > low)
		mask &= UINT64_MAX << (first - low);
	if (last < low + 64)
		mask &= ~(UINT64_MAX << (last - low));
	return mask;
}

/* Is there memory behind the part of the bitmap that WORD lies in?  Its first
 * page, which describes the others, always is there. */
static bool
word_is_there(const struct shm_seg *seg, uint64_t word)
{
	uint64_t page = word / (SHM_PAGE / 8);
	uint64_t number;

	if (page == 0)
		return true;
	number = shm_offset_of(seg, seg->committed) / SHM_PAGE + page;
	return shm_get(&seg->committed[number / 64]) >> number % 64 & 1;
}

static uint64_t
word_load(const struct shm_seg *seg, uint64_t word)
{
	return word_is_there(seg, word) ? shm_get(&seg->committed[word]) : 0;
}

/* No bit is beyond the segment's last page, whatever a length said. */
static uint64_t
page_bound(const struct shm_seg *seg, uint64_t page)
{
	return page < seg->len / SHM_PAGE ? page : seg->len / SHM_PAGE;
}

static uint64_t
bits_count(const struct shm_seg *seg, uint64_t first, uint64_t last)
{
	uint64_t n = 0;

	last = page_bound(seg, last);
	for (uint64_t w = first / 64; w * 64 < last; w++)
		n += (uint64_t)__builtin_popcountll(
		    word_load(seg, w) & word_mask(w, first, last));
	return n;
}

static uint64_t
bits_set(struct shm_seg *seg, uint64_t first, uint64_t last)
{
	uint64_t n = 0;

	for (uint64_t w = first / 64; w * 64 < last; w++) {
		uint64_t mask = word_mask(w, first, last);
		uint64_t old = atomic_fetch_or_explicit(
		    &seg->committed[w], mask, memory_order_acq_rel);

		n += (uint64_t)__builtin_popcountll(mask & ~old);
	}
	return n;
}

static uint64_t
bits_clear(struct shm_seg *seg, uint64_t first, uint64_t last)
{
	uint64_t n = 0;

	for (uint64_t w = first / 64; w * 64 < last; w++) {
		uint64_t mask = word_mask(w, first, last);
		uint64_t old;

		if (!(word_load(seg, w) & mask))
			continue;
		old = atomic_fetch_and_explicit(
		    &seg->committed[w], ~mask, memory_order_acq_rel);
		n += (uint64_t)__builtin_popcountll(mask & old);
	}
	return n;
}

/* Add DELTA pages to the commit word. */
static void
word_adjust(struct shm_seg *seg, int64_t delta)
{
	uint64_t old = shm_load(&seg->super->commit), new;

	do {
		new = (old + COMMIT_CHANGE) & ~COMMIT_PAGES;
		new |= ((old & COMMIT_PAGES) + (uint64_t)delta) & COMMIT_PAGES;
	} while (!shm_cas(&seg->super->commit, &old, new));
}

/*
 * Say that N pages are about to be in the word and not in the bits, so that
 * nobody recounts; a signal's handler must not leave in between by a jump.
 */
static void
change_begin(struct shm_self *self, uint64_t n, sigset_t *ret_signals)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, ret_signals);
	shm_add(&self->client->commit_pending, n);
}

static void
change_end(struct shm_self *self, uint64_t n, const sigset_t *signals)
{
	atomic_fetch_sub_explicit(
	    &self->client->commit_pending, n, memory_order_release);
	(void)pthread_sigmask(SIG_SETMASK, signals, NULL);
}

/* Slots get their pages in order, so none is behind the first that has none. */
static uint32_t
clients_live(const struct shm_seg *seg)
{
	uint32_t n = 0;

	for (uint32_t i = SHM_DAEMON_SLOT; shm_client_is_there(seg, i); i++)
		n += shm_load(&seg->clients[i].state) == SHM_CLIENT_LIVE;
	return n;
}

/*
 * May this process take N pages more from the system?  That costs a look into a
 * dozen files, so one look serves for a part of what it saw, and a second.  All
 * who look at once see the same pages, perhaps, so the part is smaller the more
 * clients there are.
 */
static bool
own_room(struct shm_seg *seg, uint64_t n)
{
	uint64_t left = shm_load(&seg->own_pages), share;
	uint32_t now = shm_clock_ms();

	if (now - shm_load(&seg->own_ms) < OWN_MS)
		while (n <= left)
			if (shm_cas(&seg->own_pages, &left, left - n))
				return true;
	left = shm_memory_pages("");
	if (n > left)
		return false;
	share = (uint64_t)ALL_SHARE * clients_live(seg);
	share = share > OWN_SHARE ? share : OWN_SHARE;
	shm_store(&seg->own_pages, (left - n) / share);
	shm_store(&seg->own_ms, now);
	return true;
}

/* The same of what the daemon sees, for all clients together. */
static bool
common_take(struct shm_seg *seg, uint64_t n)
{
	_Atomic uint64_t *left = &seg->super->system_pages;
	uint64_t old = shm_load(left);

	do {
		if (old == SHM_MEMORY_UNKNOWN)
			return true;
		if (n > old)
			return false;
	} while (!shm_cas(left, &old, old - n));
	return true;
}

static void
common_return(struct shm_seg *seg, uint64_t n)
{
	_Atomic uint64_t *left = &seg->super->system_pages;
	uint64_t old = shm_load(left);

	while (old != SHM_MEMORY_UNKNOWN && !shm_cas(left, &old, old + n))
		;
}

/* Reserve N pages below LIMIT, a number of pages, and what the system has
 * left. */
static int
pages_reserve(struct shm_self *self, uint64_t n, uint64_t limit)
{
	struct shm_seg *seg = self->seg;
	uint64_t old = shm_load(&seg->super->commit), new;

	do {
		if (n > limit || (old & COMMIT_PAGES) > limit - n) {
			self->failure = SHM_FAIL_FULL;
			return SHM_ENOMEM;
		}
		new = ((old + COMMIT_CHANGE) & ~COMMIT_PAGES) |
		    ((old & COMMIT_PAGES) + n);
	} while (!shm_cas(&seg->super->commit, &old, new));
	/* First our own: a process that has none takes nothing from others. */
	if (own_room(seg, n) && common_take(seg, n))
		return 0;
	word_adjust(seg, -(int64_t)n);
	self->failure = SHM_FAIL_SYSTEM;
	return SHM_ENOMEM;
}

/* Get memory for the pages, and entries for them in our page tables, which is
 * much cheaper in one call than by a fault for each. */
static int
pages_allocate(struct shm_seg *seg, uint64_t first, uint64_t last)
{
	off_t off = (off_t)(first * SHM_PAGE);
	off_t len = (off_t)((last - first) * SHM_PAGE);
	uint64_t since = shm_clock_ns();
	int result;

	do
		result = fallocate(seg->fd, 0, off, len);
	while (result != 0 && errno == EINTR);
	if (result != 0)
		return SHM_ESYSTEM;
	(void)madvise(seg->base + off, (size_t)len, MADV_POPULATE_WRITE);
	shm_latency_add(seg->super, SHM_LATENCY_EXTEND, shm_clock_ns() - since);
	return 0;
}

/* Get the pages of which MISSING are not there, below LIMIT. */
static int
missing_commit(struct shm_self *self, uint64_t first, uint64_t last,
    uint64_t missing, uint64_t limit)
{
	struct shm_seg *seg = self->seg;
	int error = pages_reserve(self, missing, limit);
	uint64_t new;

	if (error)
		return error;
	error = pages_allocate(seg, first, last);
	if (error) {
		self->failure = SHM_FAIL_SYSTEM;
		common_return(seg, missing);
		word_adjust(seg, -(int64_t)missing);
		return SHM_ENOMEM;
	}
	new = bits_set(seg, first, last);
	if (new != missing)
		word_adjust(seg, (int64_t) new - (int64_t)missing);
	return 0;
}

static int
pages_commit(
    struct shm_self *self, uint64_t first, uint64_t last, uint64_t limit)
{
	uint64_t missing = last - first - bits_count(self->seg, first, last);
	sigset_t signals;
	int error;

	if (missing == 0)
		return 0;
	change_begin(self, missing, &signals);
	error = missing_commit(self, first, last, missing, limit);
	change_end(self, missing, &signals);
	return error;
}

static int
range_commit(struct shm_self *self, uint64_t off, uint64_t len, uint64_t limit)
{
	uint64_t first = off / SHM_PAGE;
	uint64_t last = (off + len + SHM_PAGE - 1) / SHM_PAGE;
	uint64_t map =
	    shm_offset_of(self->seg, self->seg->committed) / SHM_PAGE;
	int error = 0;

	if (last > self->seg->len / SHM_PAGE || last < first) {
		self->failure = SHM_FAIL_FULL;
		return SHM_ENOMEM;
	}
	/* The bitmap's own pages first. */
	if (last > BITS_A_PAGE)
		error = pages_commit(self, map + first / BITS_A_PAGE,
		    map + (last - 1) / BITS_A_PAGE + 1, limit);
	return error ? error : pages_commit(self, first, last, limit);
}

int
shm_commit(struct shm_self *self, uint64_t off, uint64_t len)
{
	uint64_t limit =
	    shm_load(&self->seg->tunables->value[SHM_PARAM_limit_hard]);

	return range_commit(self, off, len, limit / SHM_PAGE);
}

int
shm_commit_record(struct shm_self *self, uint64_t off, uint64_t len)
{
	return range_commit(self, off, len, COMMIT_PAGES);
}

static void
pages_punch(struct shm_seg *seg, uint64_t first, uint64_t last)
{
	while (fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		   (off_t)(first * SHM_PAGE),
		   (off_t)((last - first) * SHM_PAGE)) != 0 &&
	    errno == EINTR)
		;
}

/*
 * The bits go before the word here, so the word changes first, by nothing: a
 * recount that began without having seen what is pending then fails.
 */
uint64_t
shm_uncommit(struct shm_self *self, uint64_t off, uint64_t len)
{
	struct shm_seg *seg = self->seg;
	uint64_t first = (off + SHM_PAGE - 1) / SHM_PAGE;
	uint64_t last = page_bound(seg, (off + len) / SHM_PAGE), pending, n;
	sigset_t signals;

	if (first >= last)
		return 0;
	pending = bits_count(seg, first, last);
	change_begin(self, pending, &signals);
	word_adjust(seg, 0);
	n = bits_clear(seg, first, last);
	pages_punch(seg, first, last);
	word_adjust(seg, -(int64_t)n);
	change_end(self, pending, &signals);
	shm_add(&seg->super->punched, n * SHM_PAGE);
	return n * SHM_PAGE;
}

uint64_t
shm_committed_prefix(const struct shm_seg *seg, uint64_t off, uint64_t len)
{
	uint64_t page = off / SHM_PAGE, have;
	uint64_t end = page_bound(seg, (off + len + SHM_PAGE - 1) / SHM_PAGE);

	while (page < end) {
		uint64_t word = ~word_load(seg, page / 64) >> page % 64;

		if (word) {
			page += (uint64_t)__builtin_ctzll(word);
			break;
		}
		page += 64 - page % 64;
	}
	page = page_bound(seg, page);
	have = page * SHM_PAGE > off ? page * SHM_PAGE - off : 0;
	return have < len ? have : len;
}

uint64_t
shm_committed_reach(const struct shm_seg *seg, uint64_t off, uint64_t len)
{
	uint64_t first = off / SHM_PAGE;
	uint64_t last = page_bound(seg, (off + len + SHM_PAGE - 1) / SHM_PAGE);

	for (uint64_t w = (last + 63) / 64; w-- > first / 64;) {
		uint64_t bits = word_load(seg, w) & word_mask(w, first, last),
			 end;

		if (bits == 0)
			continue;
		end = (w * 64 + shm_log2(bits) + 1) * SHM_PAGE - off;
		return end < len ? end : len;
	}
	return 0;
}

uint64_t
shm_committed_pages(const struct shm_seg *seg, uint64_t off, uint64_t len)
{
	uint64_t first = (off + SHM_PAGE - 1) / SHM_PAGE;
	uint64_t last = (off + len) / SHM_PAGE;

	return first < last ? bits_count(seg, first, last) : 0;
}

bool
shm_client_is_there(const struct shm_seg *seg, uint32_t slot)
{
	uint64_t size = sizeof(struct shm_client);

	return slot < SHM_CLIENTS &&
	    shm_committed_prefix(
		seg, shm_offset_of(seg, &seg->clients[slot]), size) == size;
}

uint64_t
shm_committed_total(const struct shm_seg *seg)
{
	return shm_load(&seg->super->commit) & COMMIT_PAGES;
}

void
shm_pressure_raise(struct shm_seg *seg)
{
	uint32_t now = shm_clock_ms() / 100 + 1;

	if (shm_load(&seg->super->pressure) != now)
		shm_store(&seg->super->pressure, now);
}

/* Is a live client between the word and the bits of some pages? */
static bool
commits_go_on(const struct shm_seg *seg)
{
	for (uint32_t i = SHM_DAEMON_SLOT; shm_client_is_there(seg, i); i++)
		if (shm_load(&seg->clients[i].state) == SHM_CLIENT_LIVE &&
		    shm_get(&seg->clients[i].commit_pending))
			return true;
	return false;
}

bool
shm_commit_recount(struct shm_seg *seg)
{
	uint64_t old = shm_get(&seg->super->commit), n;

	/* Whoever is between word and bits now says so; whoever comes there
	 * from now on changes the word first, and the swap fails. */
	if (commits_go_on(seg))
		return false;
	n = bits_count(seg, 0, seg->len / SHM_PAGE);
	return n == (old & COMMIT_PAGES) ||
	    shm_cas(&seg->super->commit, &old,
		((old + COMMIT_CHANGE) & ~COMMIT_PAGES) | n);
}
