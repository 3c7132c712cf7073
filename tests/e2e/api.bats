# Every public function against a real daemon: the promises of
# <shmalloc/shmalloc.h>.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	client_build api_alloc.c
	client_build api_share.c
	client_build api_process.c
	client_build api_cxx.cc
}

teardown() {
	daemon_stop
}

# Run TEST of PROGRAM with a daemon of its own.
api() {
	[ -n "${DAEMON_PID-}" ] || daemon_start --size 64M
	"$BATS_FILE_TMPDIR/$1" "$2" >&2
}

# ---- Allocating ------------------------------------------------------------

@test "objects of any size are aligned, large enough, and their own" {
	api api_alloc sizes
}

@test "offsets and addresses go back and forth, and others are none" {
	api api_alloc offsets
}

@test "zalloc gives zeros where there was something else before" {
	api api_alloc zeros
}

@test "sizes that nothing can have are too_large, in every function" {
	api api_alloc too_large
}

@test "aligned_alloc gives every power of two up to a page, and EINVAL" {
	api api_alloc alignments
}

@test "realloc keeps the contents, whatever it grows from and shrinks to" {
	api api_alloc realloc_contents
}

@test "realloc stays in place when it can, and moves when it can't" {
	# Neighbours are neighbours if no cache is between.
	daemon_start --size 64M -p tcache.max=32K
	api api_alloc realloc_in_place
}

@test "realloc refuses what isn't the caller's, and what is no object" {
	api api_alloc realloc_errors
}

@test "a batch is as many objects as were asked for, or as there are" {
	api api_alloc batch
}

@test "detaching gives back everything that is unpublished" {
	api api_alloc detach
}

# ---- Publishing and reading ------------------------------------------------

@test "publish inserts, replaces and removes" {
	api api_share publish
}

@test "a publish that comes too late changes nothing" {
	api api_share publish_changed
}

@test "only the owner publishes, shares and retires" {
	api api_share publish_not_owner
}

@test "a publish that makes no sense is EINVAL and changes nothing" {
	api api_share publish_nonsense
}

@test "what is published outlives its maker, what isn't comes back" {
	api api_share publish_outlives
}

@test "shared objects belong to the segment until they are adopted" {
	api api_share share
}

@test "of eight processes that adopt one object one wins" {
	api api_share adopt_one_wins
}

@test "enter and exit nest, and an exit too much is EINVAL" {
	api api_share enter_nests
}

@test "retire waits for who was inside, not for who came later" {
	api api_share retire_waits
}

@test "retire waits for readers with a read-only attachment, too" {
	api api_share retire_waits_for_read_only
}

@test "what was never published may be retired, too" {
	api api_share retire_own
}

# ---- Roots -----------------------------------------------------------------

@test "eight processes that ask for one root get one slot" {
	api api_share roots_made_once
}

@test "root names have 1 to 63 bytes" {
	api api_share root_names
}

@test "a segment has 1024 roots, then EBUSY, until one is removed" {
	api api_share root_limit
}

@test "a root is removed only when it is empty" {
	api api_share root_remove
}

# ---- Processes -------------------------------------------------------------

@test "eight threads pass objects around, and their caches go back" {
	api api_process threads
}

@test "another process may free an object" {
	api api_process free_elsewhere
}

@test "a forked child is a client of its own, and so is its child" {
	api api_process forks
}

@test "a child goes on when its parent is gone" {
	api api_process fork_orphans
}

@test "a child that gives up and asks again has one slot in the end" {
	api api_process fork_in_vain
}

@test "a program that is run inherits no descriptor" {
	api api_process exec_leaks_nothing
}

@test "who attaches read-only reads, and changes nothing" {
	api api_process read_only
}

@test "one process uses two segments" {
	daemon_start --size 64M --segment other:32M
	api api_process two_segments
}

@test "the mapping is not dumped, and not filled under mlockall" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to lock all memory"
	api api_process mapping
}

# ---- Other languages -------------------------------------------------------

@test "a C++17 program shares texts with std::atomic slots" {
	daemon_start --size 64M
	"$BATS_FILE_TMPDIR/api_cxx" >&2
	wait_for figure_is .bytes.in_use_chunks 0
}
