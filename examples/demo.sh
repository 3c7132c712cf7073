#!/usr/bin/env bash
# The main job on real data; ./demo builds, then calls this.
#
#   examples/demo.sh BUILD [FILE...]
#
# BUILD is a build folder in which `make install` was done to BUILD/inst.  FILE:
# a text file, each line of it a record; any other file, a record as a whole; a
# folder, each file below it a record.  None: the machine's package database.
#
# Prints a line `ok - ...` for each thing that was verified and ends with one
# line alone: N passed, N failed, N skipped.  Exit 0 only if nothing failed.
set -u
build=$(cd "${1:?usage: examples/demo.sh BUILD [FILE...]}" && pwd) || exit 1
shift
export PATH=$build/inst/bin:$build/inst/sbin:$PATH
export LD_LIBRARY_PATH=$build/inst/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset SHMALLOC_AUTOSTART
demo=$build/examples/demo
folder=$(mktemp -d "${TMPDIR:-/tmp}/shmalloc-demo.XXXXXX") || exit 1
export SHMALLOC_SOCKET=$folder
records=$folder/records
daemon=
workers=()
n_passed=0
n_failed=0

clean_up()
{
	((${#workers[@]} == 0)) || kill -KILL "${workers[@]}" 2>/dev/null
	[ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
	wait
	rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

step()
{
	printf '\n== %s\n' "$1"
}

say()
{
	fmt -w 78 <<<"$*"
}

# Show a command as it would be typed, and what it prints.
show()
{
	printf '$ %s\n' "$*"
	"$@"
}

# verify CLAIM COMMAND...: the claim holds if the command succeeds.
verify()
{
	local claim=$1
	shift
	if "$@"; then
		echo "ok - $claim"
		n_passed=$((n_passed + 1))
	else
		echo "not ok - $claim"
		n_failed=$((n_failed + 1))
	fi
}

give_up()
{
	echo "demo: $*" >&2
	[ ! -s "$folder/log" ] || tail -n 20 "$folder/log" >&2
	n_failed=$((n_failed + 1))
	echo "$n_passed passed, $n_failed failed, 0 skipped"
	exit 1
}

figure()
{
	"$demo" stat "$1" || echo unknown
}

start_daemon()
{
	local megabytes=$(($(stat -c %s "$records") * 4 / 1048576 + 64)) i

	echo "\$ shmallocd --socket $folder --size ${megabytes}M &"
	shmallocd --socket "$folder" --size "${megabytes}M" \
	    >"$folder/log" 2>&1 &
	daemon=$!
	for ((i = 0; i < 100; i++)); do
		! shmallocctl status >/dev/null 2>&1 || return 0
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
	give_up 'the daemon did not start'
}

start_worker()
{
	"$demo" work "$records" "$1" &
	workers+=("$!")
}

# The workers go on while we look; once more it must be within its limit.
watch()
{
	verify 'the cache stayed within its limit' \
	    "$demo" watch "$records" "$1"
}

kill_a_worker()
{
	local victim=${workers[1]} held cached back

	if ! held=$("$demo" client "$victim" alive held_bytes) ||
	    ! cached=$("$demo" client "$victim" alive cached_bytes); then
		give_up 'the worker is not listed'
	fi
	say "Worker 2 (process $victim) holds $held bytes that nobody else" \
	    "knows of, and $cached freed ones for its next allocations. It is" \
	    "killed now, at whatever instruction it is at:"
	echo "\$ kill -KILL $victim"
	kill -KILL "$victim"
	wait "$victim" 2>/dev/null
	unset 'workers[1]'
	workers=("${workers[@]}")
	back=$("$demo" client "$victim" reclaimed reclaimed_bytes)
	# The figure of a running client lags by a refill, so no equality here;
	# that nothing is left is proved to the byte at the end.
	verify "the killed worker's memory came back (${back:-0} bytes)" \
	    test "${back:-0}" -ge "$((held / 2))" -a "${back:-0}" -gt 0
	start_worker 5
	say "A new worker takes its place; the others never noticed."
}

tune_the_running()
{
	local before after i

	say "Each worker keeps some freed memory in a cache of its own, so that" \
	    "it needs no lock. tcache.count bounds it; 0 turns it off, in all" \
	    "workers, while they run:"
	before=$(figure bytes.cached)
	show shmallocctl tune set tcache.count=0 || give_up 'tune set failed'
	for ((i = 0; i < 20; i++)); do
		after=$(figure bytes.cached)
		[ "$after" -ge "$((before / 20))" ] || break
		sleep 0.1
	done
	echo "bytes in the workers' caches: $before before, $after after"
	verify 'the new value changed what running workers do' \
	    test "$after" -lt "$((before / 20))"
	show shmallocctl tune reset tcache.count || give_up 'tune reset failed'
}

stop_workers()
{
	local pid status=0

	kill -TERM "${workers[@]}"
	for pid in "${workers[@]}"; do
		wait "$pid" || status=1
	done
	workers=()
	return "$status"
}

report()
{
	local line

	while read -r line; do
		echo "$line"
		case $line in
		'ok - '*) n_passed=$((n_passed + 1)) ;;
		*) n_failed=$((n_failed + 1)) ;;
		esac
	done < <("$demo" report || echo "not ok - the report was printed")
}

stop_daemon()
{
	local pid=$daemon

	daemon=
	kill -TERM "$pid" && wait "$pid"
}

step 'The data'
what='the files that you named'
(($# > 0)) || what='this machine'\''s package database'
data=$("$demo" prepare "$records" "$@") || give_up 'no records'
say "Real records, from $what: $data. Think of them as a slow database" \
    "that four processes serve from. The cache in front of it may hold" \
    "half of those bytes at most, so it has to choose."

step 'The daemon'
say "shmallocd owns a segment of shared memory; it waits for clients."
start_daemon
before=$(figure bytes.allocated)

step 'Four workers, one cache'
say "Each worker is a process of its own, but there is one cache: a hash" \
    "table in the segment. They read it without locks, and add, replace," \
    "withdraw and evict entries while the others read. They ask for some" \
    "records far more often than for others (Zipf), and compare every" \
    "byte that they get with the truth."
"$demo" create "$records" || give_up 'the cache could not be made'
for number in 1 2 3 4; do
	start_worker "$number"
done
watch 3

step 'One of them is killed'
kill_a_worker
watch 2

step 'What an operator sees'
show shmallocctl stats || give_up 'stats failed'
show shmallocctl clients
show shmallocctl roots
say "Where it all lies, every byte of it:"
show shmallocctl map --width 76 || give_up 'map failed'

step 'Tuning while everything runs'
tune_the_running
watch 1

step 'The reckoning'
verify 'every worker ended by itself, having met no wrong byte' stop_workers
report
verify 'the structure of the whole segment is sound' show shmallocctl check
"$demo" destroy || give_up 'the cache could not be removed'
after=$(figure bytes.allocated)
verify "nothing is left: $before bytes allocated before, $after after" \
    test "$before" = "$after"
verify 'the daemon ended when it was asked to' stop_daemon

echo
echo "$n_passed passed, $n_failed failed, 0 skipped"
((n_failed == 0))
