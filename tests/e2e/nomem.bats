# Out of memory, of every kind: it is an error with a reason, nobody is harmed,
# and it passes.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	holders_stop
	daemon_stop
	cgroup_remove
}

# Tell the holder number N (0 is the first).
tell()
{
	local n=$1

	shift
	HOLDER_IN=${HOLDER_INS[n]} \
	HOLDER_OUT=$BATS_TEST_TMPDIR/holder.$n.out holder_tell "$@"
}

client_of()
{
	shmallocctl clients "$1" --json | jq -r ".[0]$2"
}

@test "at limit.hard allocations fail as full, and work again when some is freed" {
	daemon_start --size 16M
	holder_start
	[[ $(tell 0 alloc 1000 100000) == 'done '*' full' ]]
	[[ $(tell 0 alloc 100000) == 'done 0 full' ]]
	[[ $(tell 0 alloc 2000000) == 'done 0 full' ]]
	(($(figure .failures.full) == 3))
	(($(figure .bytes.resident) <= 16 << 20))
	tell 0 sieve
	[ "$(tell 0 alloc 1000 1000)" = 'done 1000' ]
	tell 0 free
	[ "$(tell 0 alloc 2000000 2)" = 'done 2' ]
}

@test "at the limit every process gives back what its caches hold" {
	local size

	daemon_start --size 16M
	holder_start
	OTHER=$HOLDER_PID
	for size in 300 500 700 900 1500 2000 3000 4000; do
		tell 0 alloc $size 300
	done
	tell 0 free
	(($(client_of "$OTHER" .cached_bytes) > 100000))
	holder_start
	[[ $(tell 1 alloc 1000 100000) == 'done '*' full' ]]
	# The caller's own cache is empty, but for what its figures lag; the
	# other's at its next call.
	(($(client_of "$HOLDER_PID" .cached_bytes) < 10000))
	tell 0 alloc 30000
	(($(client_of "$OTHER" .cached_bytes) < 40000))
	(($(tell 1 alloc 1000 400 | cut -d' ' -f2) >= 100))
}

@test "fastbins are given back before an allocation fails" {
	daemon_start --size 16M -p fastbin.max=512 -p fastbin.limit=64M \
	    -p tcache.count=0
	holder_start
	[[ $(tell 0 alloc 100 1000000) == 'done '*' full' ]]
	tell 0 free
	(($(figure .bytes.free_fast) > 8 << 20))
	[ "$(tell 0 alloc 1000000 8)" = 'done 8' ]
	(($(figure .bytes.free_fast) < 9 << 20))
}

@test "a reservation that is used up is full, too" {
	daemon_start --size 24M --reserve 24M
	holder_start
	[[ $(tell 0 alloc 700000 100) == 'done '*' full' ]]
	(($(figure .bytes.committed) < 20 << 20))
	tell 0 free
	[ "$(tell 0 alloc 64 1000)" = 'done 1000' ]
	[ "$(tell 0 alloc 1000000)" = 'done 1' ]
}

@test "each reason is counted, and what is too large is said to be" {
	daemon_start --size 16M -p limit.client=1M
	holder_start
	[ "$(tell 0 alloc 100000000000)" = 'done 0 too_large' ]
	[[ $(tell 0 alloc 100000 100) == 'done '*' quota' ]]
	shmallocctl tune set limit.client=0
	[[ $(tell 0 alloc 4000 100000) == 'done '*' full' ]]
	tell 0 sieve
	[[ $(tell 0 alloc 3000000) == 'done 0 fragmented' ]]
	jq -e '.too_large == 1 and .quota == 1 and .full == 1 and
	    .fragmented == 1 and .system == 0' < <(figure .failures)
}

# ---- The system ---------------------------------------------------------------

# A memory cgroup of LIMIT bytes, in $CGROUP; skips where none can be made.
cgroup_make()
{
	local version

	for version in memory .; do
		CGROUP=/sys/fs/cgroup/$version/shmalloc-test-$$
		mkdir "$CGROUP" 2>/dev/null || continue
		if [ -w "$CGROUP/memory.limit_in_bytes" ]; then
			echo "$1" >"$CGROUP/memory.limit_in_bytes"
			return 0
		elif [ -w "$CGROUP/memory.max" ]; then
			echo "$1" >"$CGROUP/memory.max"
			return 0
		fi
		rmdir "$CGROUP"
	done
	CGROUP=
	skip 'no memory cgroup can be made here'
}

cgroup_remove()
{
	[ -z "${CGROUP-}" ] || wait_for rmdir "$CGROUP"
}

# Processes that the OOM killer has ended there.
cgroup_kills()
{
	sed -n 's/^oom_kill //p' "$CGROUP"/memory.{oom_control,events} \
	    2>/dev/null
}

# Start a holder that is in the cgroup.
cgroup_holder_start()
{
	local program=$HOLDER

	cat >"$BATS_TEST_TMPDIR/inside" <<-END
		#!/bin/sh
		echo \$\$ >$CGROUP/cgroup.procs
		exec $program
	END
	chmod +x "$BATS_TEST_TMPDIR/inside"
	HOLDER=$BATS_TEST_TMPDIR/inside holder_start
}

@test "a client's own cgroup refuses before the OOM killer comes" {
	cgroup_make $((64 << 20))
	daemon_start --size 256M
	cgroup_holder_start
	[[ $(tell 0 alloc 100000 2000) == 'done '*' system' ]]
	kill -0 "$HOLDER_PID"
	(($(figure .bytes.allocated) > 40 << 20))
	(($(figure .failures.system) > 0))
	[ "$(cgroup_kills)" = 0 ]
	# Those outside are not concerned.
	holder_start
	[ "$(tell 1 alloc 100000 500)" = 'done 500' ]
	# What it frees can be used again, by it too.
	tell 0 free
	[ "$(tell 0 alloc 100000 300)" = 'done 300' ]
	[ "$(cgroup_kills)" = 0 ]
}

@test "small chunks in a small cgroup end as an error, not as a death" {
	cgroup_make $((32 << 20))
	daemon_start --size 256M
	cgroup_holder_start
	[[ $(tell 0 alloc 500 1000000) == 'done '*' system' ]]
	kill -0 "$HOLDER_PID"
	[ "$(cgroup_kills)" = 0 ]
	holder_start
	[ "$(tell 1 alloc 500 1000)" = 'done 1000' ]
}

# ---- Core dumps --------------------------------------------------------------

@test "an abort with an unlimited core size leaves resident memory as it was" {
	local before

	ulimit -c unlimited || skip 'the core size cannot be raised'
	cd "$BATS_TEST_TMPDIR"
	daemon_start --size 64M
	holder_start
	tell 0 alloc 100000 100
	tell 0 alloc 64 1000
	before=$(figure .bytes.resident)
	echo abort >&"${HOLDER_INS[0]}"
	wait_for figure_is .clients.reclaimed_total 1
	figure_is .bytes.allocated 0
	# A tick may have committed ahead of the top meanwhile: its top_pad.
	(($(figure .bytes.resident) <= before + 1048576))
	[ -z "$(find . -name 'core*' -size +256M)" ]
}
