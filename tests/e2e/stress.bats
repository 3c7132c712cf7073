# Many processes at once, killed or not: contents right, nothing lost.
#
# SHMALLOC_SEED repeats a run.  SHMALLOC_CHECK_ALL=1 asks for the long form:
# 10 million objects in each of 4 processes, 2000 kills, a soak of 10 minutes
# (or of SOAK_SECONDS).

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || export BATS_TEST_TIMEOUT=86400
}

setup() {
	daemon_start --size 1G
	before=$(figure .bytes.allocated)
}

teardown() {
	daemon_stop
}

stress() {
	local program=$1 seed=${SHMALLOC_SEED:-$(date +%s)}

	shift
	"$SHMALLOC_BUILD/tests/stress/$program" "$@" "$seed" >&2
}

# What holds when all is freed again, whatever happened.
heap_is_as_before() {
	shmallocctl check >&2
	[ "$(figure .bytes.allocated)" = "$before" ]
	[ "$(figure '[.arenas[].lock.waits_on_dead] | add')" = 0 ]
	bytes_add_up
}

@test "four processes use everything at random and find no wrong byte" {
	objects=60000
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || objects=10000000
	stress mix "$objects" 4
	heap_is_as_before
}

@test "a process killed 200 times harms nobody and leaks nothing" {
	kills=200
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || kills=2000
	# A value that is set stays: extents are used all the time.
	shmallocctl tune set mmap_threshold=64K >&2
	stress kill "$kills" 3
	[ "$(figure .clients.reclaimed_total)" -ge "$((kills / 2))" ]
	heap_is_as_before
}

# soak SECONDS ACTORS, and whoever died last is looked after, too.
soak() {
	stress soak "$@"
	wait_for figure_is .clients.dying 0
	heap_is_as_before
}

@test "a soak: kills, of the daemon, too, stops, forks, tuning, limits" {
	seconds=${SOAK_SECONDS:-15}
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || seconds=${SOAK_SECONDS:-600}
	soak "$seconds" 16
}

@test "threads of one process that is killed again and again" {
	seconds=${SOAK_SECONDS:-5}
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || seconds=${SOAK_SECONDS:-60}
	SOAK_THREADS=4 soak "$seconds" 1
}

@test "a cache of six processes that are killed and stopped is never wrong" {
	seconds=5
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || seconds=600
	stress cache "$seconds" 6
	heap_is_as_before
}
