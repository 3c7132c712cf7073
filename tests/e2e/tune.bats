# Each parameter changes what a client does that was attached before: the
# client starts, works, `tune set` comes, it works again, and a counter tells.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	daemon_stop
}

stat_of()
{
	shmallocctl stats --exact --json | jq -r "$1"
}

client_of()
{
	shmallocctl clients "$HOLDER_PID" --json | jq -r ".[0]$1"
}

tune()
{
	shmallocctl tune set "$@"
}

# Have the client refill or flush every cache that the test uses, so that it
# sees what was set.
refill()
{
	holder_tell alloc "${1:-64}" 3000
	holder_tell free
}

@test 'limit.hard: allocations fail with the reason full, and again work' {
	daemon_start --size 64M
	holder_start
	holder_tell alloc 100000 40
	holder_tell free
	shmallocctl trim
	tune limit.hard=2M
	run -0 holder_tell alloc 100000 40
	[[ $output == 'done '*' full' ]]
	(($(stat_of .failures.full) > 0))
	(($(stat_of .bytes.committed) <= 2 << 20))
	tune limit.hard=64M
	holder_tell free
	[ "$(holder_tell alloc 100000 40)" = 'done 40' ]
}

@test 'limit.hard: a client comes to a full segment, and frees there' {
	daemon_start --size 64M
	holder_start
	holder_tell alloc 100000 100
	holder_tell publish it 1000
	tune limit.hard=2M
	# Their records need pages of their own: forty clients, one after the
	# other, more than fit into the first page.
	local i
	for i in {1..40}; do
		run -0 "$HOLDER" </dev/null
	done
	holder_start
	run -0 holder_tell alloc 1000000
	[[ $output == 'done 0 full' ]]
	[ "$(holder_tell withdraw it)" = 'done ' ]
}

@test 'limit.hard: more than the reservation is rejected' {
	daemon_start --size 64M --reserve 1G
	run -5 --separate-stderr tune limit.hard=2G
	[[ $stderr == *limit.hard* ]]
	[ "$(shmallocctl tune get limit.hard)" = $((64 << 20)) ]
}

@test 'limit.client: a client that holds too much fails with quota' {
	daemon_start
	holder_start
	[ "$(holder_tell alloc 10000 500)" = 'done 500' ]
	holder_tell free
	tune limit.client=1M
	run -0 holder_tell alloc 10000 500
	[[ $output == 'done '*' quota' ]]
	(($(client_of .failures.quota) > 0))
	tune limit.client=0
	[ "$(holder_tell alloc 10000 500)" = 'done 500' ]
}

@test 'mmap_threshold: smaller requests get pages of their own' {
	daemon_start
	holder_start
	holder_tell alloc 40000 20
	[ "$(stat_of .bytes.extents_used)" = 0 ]
	holder_tell free
	tune mmap_threshold=32K
	refill
	holder_tell alloc 40000 20
	[ "$(stat_of .bytes.extents_used)" = $((20 * 40960)) ]
}

@test 'top_pad: memory is committed in steps of this size' {
	daemon_start
	holder_start
	tune top_pad=4K
	holder_tell alloc 1000 1000
	local small large
	small=$(stat_of '[.arenas[].activity.extends] | add')
	tune top_pad=1M
	holder_tell alloc 1000 1000
	large=$(($(stat_of '[.arenas[].activity.extends] | add') - small))
	((small > 20 * large))
}

@test 'tcache.count: a thread keeps fewer chunks of a class' {
	daemon_start
	holder_start
	refill
	(($(client_of .cached_chunks) > 200))
	tune tcache.count=16
	refill
	refill
	(($(client_of .cached_chunks) <= 64))
	tune tcache.count=0
	refill
	refill
	[ "$(stat_of .bytes.cached)" = 0 ]
}

@test 'tcache.max: larger chunks go straight to the arena' {
	daemon_start
	holder_start
	holder_tell alloc 20000 20
	holder_tell free
	(($(stat_of .bytes.cached) >= 20000))
	tune tcache.max=1K
	refill
	holder_tell alloc 20000 20
	holder_tell free
	(($(stat_of .bytes.cached) < 20000 * 10))
	holder_tell alloc 20000 20
	holder_tell free
	(($(stat_of .bytes.cached) < 20000 * 4))
}

@test 'tcache.bytes: all caches of a thread together hold less' {
	daemon_start
	holder_start
	local size before

	for size in 100 200 400 800 1600 3200; do refill "$size"; done
	before=$(stat_of .bytes.cached)
	tune tcache.bytes=16K
	for size in 100 200 400 800 1600 3200; do refill "$size"; done
	echo "cached $before, then $(stat_of .bytes.cached)"
	((before > 65536 && $(stat_of .bytes.cached) <= 32768))
}

@test 'fastbin.max: freed chunks stay as they are' {
	daemon_start
	holder_start
	tune tcache.count=0
	refill
	[ "$(stat_of .bytes.free_fast)" = 0 ]
	tune fastbin.max=128
	refill
	holder_tell alloc 64 500
	holder_tell free
	(($(stat_of .bytes.free_fast) >= 500 * 80))
}

@test 'fastbin.limit: an arena with more in them coalesces' {
	daemon_start
	holder_start
	tune tcache.count=0 fastbin.max=128 fastbin.limit=1M
	refill
	local before
	before=$(stat_of '[.arenas[].activity.consolidations] | add')
	refill
	[ "$(stat_of '[.arenas[].activity.consolidations] | add')" = "$before" ]
	tune fastbin.limit=4K
	refill
	(($(stat_of '[.arenas[].activity.consolidations] | add') > before))
	(($(stat_of .bytes.free_fast) <= 8192))
}

@test 'decay_ms: free pages go back after this time, not before' {
	daemon_start -p decay_ms=1h -p trim_threshold=1T
	holder_start
	holder_tell alloc 60000 200
	holder_tell free
	local before
	before=$(stat_of .bytes.committed)
	sleep 0.5
	(($(stat_of .bytes.committed) + (1 << 20) >= before))
	tune decay_ms=100
	wait_for committed_below $((before / 2))
}

committed_below()
{
	(($(shmallocctl stats --json | jq .bytes.committed) < $1))
}

# KiB of process PID's memory that huge pages map.
huge_kib()
{
	awk '/^ShmemPmdMapped:/ { kib += $2 } END { print kib + 0 }' \
	    "/proc/$1/smaps"
}

has_huge()
{
	(($(huge_kib "$1") >= 2048))
}

@test 'hugepages: the regions of a running client get huge pages, or none' {
	daemon_start -p hugepages=never
	holder_start
	holder_tell alloc 500 20000
	sleep 1
	(($(huge_kib "$(server_pid)") == 0))
	tune hugepages=auto
	wait_for has_huge "$(server_pid)"
	# The client maps them when it touches its objects again.
	holder_tell sieve
	has_huge "$HOLDER_PID"
	shmallocctl check
}

@test 'trim_threshold: a top with more than this gives the rest back' {
	daemon_start -p decay_ms=1h -p trim_threshold=1T
	holder_start
	holder_tell alloc 60000 30
	holder_tell free
	local before
	before=$(stat_of .bytes.committed)
	((before > 1 << 20))
	sleep 0.5
	[ "$(stat_of .bytes.committed)" = "$before" ]
	tune trim_threshold=64K
	wait_for committed_below $((1 << 20))
}

@test 'arena.max: contention makes arenas, up to this many' {
	daemon_start -p arena.max=1 -p tcache.count=0
	holder_start
	wait_for contended 1
	(($(stat_of '[.arenas[].lock.busy] | add') > 0))
	[ "$(stat_of '.arenas | length')" = 1 ]
	tune arena.max=2
	wait_for contended 2
	[ "$(stat_of '.arenas | length')" = 2 ]
}

# After some contention: did a lock turn busy, and are there N arenas?
contended()
{
	holder_tell contend 3000 20000
	(($(stat_of '[.arenas[].lock.busy] | add') > 0)) &&
	    (($(stat_of '.arenas | length') >= $1))
}

arenas_used()
{
	stat_of '[.arenas[] | select(.chunks > 0)] | length'
}

@test 'arena.assign: a thread gets an arena of its own, a client one' {
	daemon_start -p arena.max=4
	holder_start
	holder_tell alloc 64 3000
	[ "$(stat_of '.arenas | length')" = 1 ]
	tune arena.assign=thread
	holder_tell free
	# Four threads of which none has to wait for another.
	holder_tell threads 64 3000 4
	[ "$(stat_of '.arenas | length')" = 4 ]
	[ "$(arenas_used)" = 4 ]
	holder_tell free
	tune arena.assign=client
	refill 64
	refill 64
	holder_tell threads 64 3000 4
	[ "$(arenas_used)" = 1 ]
}

@test 'limit.soft: above it caches and free pages go back at once' {
	daemon_start -p decay_ms=1h -p trim_threshold=1T
	holder_start
	holder_tell alloc 60000 200
	holder_tell free
	holder_tell alloc 64 3000
	holder_tell free
	local before
	before=$(stat_of .bytes.committed)
	((before > 8 << 20))
	(($(client_of .cached_chunks) > 200))
	sleep 0.5
	[ "$(stat_of .bytes.committed)" = "$before" ]
	tune limit.soft=4M
	wait_for committed_below $((4 << 20))
	holder_tell alloc 64 500
	[ "$(figure '.clients.alive')" = 1 ]
	(($(client_of .cached_bytes) < 32768))
	wait_for eval 'shmallocctl events | grep -q "limit.soft exceeded"'
	# Nothing fails for it.
	[ "$(holder_tell alloc 60000 200)" = 'done 200' ]
}

# A client that is stopped with the lock of the only arena.
stopped_start()
{
	coproc STOP {
		inherited_close
		exec "$SHMALLOC_BUILD/tests/kill/stop" --hold
	}
	read -r -t 60 <&"${STOP[0]}"
}

stat_locks()
{
	shmallocctl locks --json | jq "$1"
}

# The client works in an arena beyond arena.max by now, and comes back to the
# one when it frees what is there.
slept_longer()
{
	holder_tell free
	holder_tell alloc 64 10
	[ "$(stat_locks '.locks[0].longest_wait_seconds >= 0.7')" = true ]
}

@test 'lock.wait_ms: who finds every lock taken sleeps so long' {
	daemon_start -p arena.max=1 -p tcache.count=0
	holder_start
	refill
	stopped_start
	holder_tell alloc 64
	# The holder is not let go, so a sleep lasts as long as it may.
	(($(stat_locks '.locks[0].waits') > 0))
	tune lock.wait_ms=700
	wait_for slept_longer
	kill -KILL "$STOP_PID"
}

@test 'check.level: 2 finds a free that points to a true head in a payload' {
	daemon_start -p tcache.count=0
	holder_start
	refill
	tune check.level=2
	refill
	[ "$(holder_tell disguise)" = 'done disguised' ]
	(($(client_of .misuses) == 1))
	holder_tell free
}

@test 'misuse: abort ends a client that frees twice' {
	daemon_start
	holder_start
	refill
	holder_tell alloc 1000 1
	holder_tell twice
	(($(client_of .misuses) == 1))
	tune misuse=abort
	refill
	holder_tell alloc 1000 1
	echo twice >&"$HOLDER_IN"
	wait_for sh -c "shmallocctl clients $HOLDER_PID --json |
	    jq -e '.[0].state == \"reclaimed\"'"
}

@test 'fill.alloc: new objects of a running client are filled' {
	daemon_start
	holder_start
	refill
	[ "$(holder_tell peek 500)" != 'done 165' ]
	tune fill.alloc=165
	refill
	[ "$(holder_tell peek 500)" = 'done 165' ]
}

@test 'fill.free: freed objects of a running client are filled' {
	daemon_start
	holder_start
	refill
	[ "$(holder_tell stale 500)" = 'done 90' ]
	tune fill.free=219
	refill
	[ "$(holder_tell stale 500)" = 'done 219' ]
}

@test 'reader.evict_ms: a reader that memory waits for is killed' {
	local reader

	daemon_start
	holder_start
	reader=$HOLDER_PID
	holder_tell enter
	holder_start
	holder_tell publish x 60000
	holder_tell withdraw x
	sleep 0.5
	[ "$(HOLDER_PID=$reader client_of .state)" = alive ]
	tune reader.evict_ms=100
	wait_for eval '[ "$(HOLDER_PID=$reader client_of .state)" = reclaimed ]'
}

@test 'retire.limit: too much that waits for readers fails with reader' {
	daemon_start
	holder_start
	holder_tell enter
	holder_start
	holder_tell publish x 60000
	holder_tell withdraw x
	[ "$(holder_tell alloc 20000 20)" = 'done 20' ]
	tune retire.limit=1K
	refill
	run -0 holder_tell alloc 50000 20
	[[ $output == 'done '*' reader' ]]
	(($(stat_of .failures.reader) > 0))
	tune retire.limit=0
	[ "$(holder_tell alloc 50000 20)" = 'done 20' ]
}

@test 'a parameter of one segment changes the clients of that one alone' {
	daemon_start
	shmallocctl segment create other --size 16M
	holder_start
	refill
	refill
	tune --segment other tcache.count=16 limit.client=1M misuse=warn
	refill
	refill
	(($(client_of .cached_chunks) > 200))
	[ "$(holder_tell alloc 10000 500)" = 'done 500' ]
	holder_start other
	refill
	refill
	(($(shmallocctl --segment other clients "$HOLDER_PID" --json |
	    jq '.[0].cached_chunks') <= 64))
	[[ $(holder_tell alloc 10000 500) == 'done '*' quota' ]]
	[ "$(shmallocctl tune list --changed --json)" = '[]' ]
	[ "$(shmallocctl tune list --changed --json --segment other |
	    jq -c 'map(.name) | sort')" = \
	    '["limit.client","misuse","tcache.count"]' ]
	# And back.
	shmallocctl tune reset --all --segment default
	[ "$(shmallocctl --segment other tune get limit.client)" = 1048576 ]
	tune limit.client=2M
	[ "$(shmallocctl --segment other tune get limit.client)" = 1048576 ]
	shmallocctl tune --segment other reset --all
	[ "$(shmallocctl tune get limit.client)" = 2097152 ]
	[ "$(shmallocctl tune list --changed --json --segment other)" = '[]' ]
}

@test 'profile.sample_bytes: what is allocated from then on is sampled' {
	daemon_start
	holder_start
	holder_tell alloc 1000 100
	run ! shmallocctl profile -o "$BATS_TEST_TMPDIR/heap"
	tune profile.sample_bytes=1
	holder_tell alloc 1000 100
	shmallocctl profile --json | jq -e '.samples > 0'
}

@test 'frag.reference_size: stats judges by this size' {
	daemon_start
	shmallocctl stats | grep -q 'UNUSABLE@64K'
	tune frag.reference_size=1M
	shmallocctl stats | grep -q 'UNUSABLE@1M'
	[ "$(stat_of .fragmentation.reference_bytes)" = $((1 << 20)) ]
}

@test 'a running client keeps what it has when a limit falls below it' {
	daemon_start
	holder_start
	holder_tell alloc 100000 100
	tune limit.hard=1M
	[ "$(holder_tell alloc 1000000 1)" = 'done 0 full' ]
	[ "$(stat_of .objects)" = 100 ]
	[ "$(holder_tell free)" = 'done 100' ]
	[ "$(stat_of .objects)" = 0 ]
}

@test 'every parameter has a test here that it changes running clients' {
	local name

	daemon_start
	while read -r name; do
		grep -qE "^@test '$name: " "$BATS_TEST_DIRNAME/tune.bats" || {
			echo "no test of $name"
			return 1
		}
	done < <(shmallocctl tune list --json | jq -r '.[].name')
}
