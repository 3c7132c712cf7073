# The shared cache: the promises of <shmalloc/cache.h>, against a real daemon.
# Each test of cache_api ends with its cache removed and nothing left allocated.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	client_build cache_api.c
}

teardown() {
	daemon_stop
}

cache() {
	[ -n "${DAEMON_PID-}" ] || daemon_start --size 64M
	"$BATS_FILE_TMPDIR/cache_api" "$1" >&2
}

@test "what is stored is found, replaced, deleted, and counted" {
	cache store_and_find
}

@test "add, replace, cas, append and delete do what they do only if they may" {
	cache conditions
}

@test "numbers go up and down, keep their end, and don't overflow" {
	cache numbers
}

@test "keys of 1 to 65536 bytes and values to megabytes, aligned" {
	cache sizes
}

@test "an entry ends when its time is over; touch moves that" {
	cache ends
}

@test "many keys are pinned at once, and none after an error" {
	cache many
}

@test "a pinned value stays as it is while its key is deleted and replaced" {
	cache pinned
}

@test "the table grows while it is used: nothing is lost, shown once" {
	cache grows
}

@test "large values stay in smaller tables and are found, and deleted once" {
	cache grows_around_large
}

@test "a cache stays within its limit, also a smaller one" {
	cache limited
}

@test "what is used stays while a thousand times as much is stored once" {
	cache keeps_what_is_used
}

@test "when the segment is full the cache gives way; too much is ENOMEM" {
	cache memory_is_short
}

@test "a lease is given once, and filled once" {
	cache lease_is_given_once
}

@test "a lease ends with its key: what is outdated is not stored" {
	cache lease_ends_with_its_key
}

@test "a dead process's lease goes to the next one at once" {
	cache lease_of_the_dead
}

@test "a stopped process's lease goes to the next one when it is void" {
	cache lease_of_the_stopped
}

@test "a stale value is served to others while one renews it" {
	cache stale_while_renewed
}

@test "of many who miss a value one computes it" {
	cache lease_stops_the_herd
}

@test "a removed cache is gone for all who have it open, and can be remade" {
	cache removed
}

@test "a root that holds something else is refused" {
	cache not_a_cache
}

@test "a read-only attachment looks up and walks, and changes nothing" {
	cache read_only
}

@test "each counter has a name, each error a text" {
	cache words
}
