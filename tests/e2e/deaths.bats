# Deaths in bad company: many at once, without a daemon, behind another pid
# namespace, with a pid that somebody else has by now.
load helper

setup_file()
{
	holder_build
	client_build deaths.c
}

teardown()
{
	[ -z "${PAUSED-}" ] || kill -CONT "$PAUSED" 2>/dev/null || :
	[ -z "${STOP_PID-}" ] || kill -KILL "$STOP_PID" 2>/dev/null || :
	daemon_stop
}

client_of()
{
	shmallocctl clients "$1" --json | jq -r ".[0]$2"
}

lock_of()
{
	shmallocctl locks --json | jq -r "$1"
}

daemon_pause()
{
	PAUSED=$(shmallocctl status --json | jq .daemon.pid)
	kill -STOP "$PAUSED"
}

daemon_resume()
{
	kill -CONT "$PAUSED"
	PAUSED=
}

# Tell the holder number N.
tell()
{
	local n=$1

	shift
	HOLDER_IN=${HOLDER_INS[n]} \
	HOLDER_OUT=$BATS_TEST_TMPDIR/holder.$n.out holder_tell "$@"
}

@test "300 clients that die together come back, and nobody waits for it" {
	daemon_start --size 256M
	"$BATS_FILE_TMPDIR/deaths" crowd >&2
	[ "$(lock_of '[.locks[].waits_on_dead] | add')" = 0 ]
	[ "$(lock_of '[.locks[] | select(.holder_pid)] | length')" = 0 ]
}

@test "clients die and are born while another's memory comes back" {
	daemon_start --size 256M
	"$BATS_FILE_TMPDIR/deaths" meanwhile >&2
	[ "$(lock_of '[.locks[].waits_on_dead] | add')" = 0 ]
}

@test "while no daemon runs the dead's arenas rest, and the others go on" {
	daemon_start
	coproc STOP {
		inherited_close
		exec "$SHMALLOC_BUILD/tests/kill/stop" --hold
	}
	read -r -t 60 STOPPED <&"${STOP[0]}"
	holder_start
	tell 0 alloc 1000 1000
	holder_start
	daemon_pause
	# One dies with a lock, one without.
	kill -KILL "$STOPPED" "${HOLDERS[0]}"
	[ "$(tell 1 alloc 50000 200)" = 'done 200' ]
	[ "$(tell 1 alloc 100 10000)" = 'done 10000' ]
	[ "$(tell 1 free)" = 'done 10200' ]
	daemon_resume
	wait_for figure_is .clients.reclaimed_total 2
	wait_for figure_is .bytes.allocated 0
	[ "$(lock_of '[.locks[].repairs] | add')" = 1 ]
	[ "$(lock_of '[.locks[].waits_on_dead] | add')" = 0 ]
}

# ---- Pids --------------------------------------------------------------------

# Programs in a pid namespace of their own, where each begins as number 1.
namespace_need()
{
	[ "$(id -u)" -eq 0 ] && unshare --pid --fork --mount-proc true ||
	    skip 'no pid namespace can be made here'
}

# A holder that is process 1 of a new pid namespace.
namespace_holder_start()
{
	local program=$HOLDER

	cat >"$BATS_TEST_TMPDIR/inside" <<-END
		#!/bin/sh
		exec unshare --pid --fork --mount-proc --kill-child $program
	END
	chmod +x "$BATS_TEST_TMPDIR/inside"
	HOLDER=$BATS_TEST_TMPDIR/inside holder_start
	grep -qx 'ready 1' "$HOLDER_OUT"
}

# The pids, as the daemon sees them, of the clients that live.
pids_alive()
{
	shmallocctl clients --json | jq -r '.[] | select(.state == "alive") |
	    .pid'
}

@test "clients of two pid namespaces with equal thread ids are told apart" {
	local first second

	namespace_need
	daemon_start
	namespace_holder_start
	first=$(pids_alive)
	tell 0 alloc 1000 100
	namespace_holder_start
	second=$(pids_alive | grep -vx "$first")
	tell 1 alloc 1000 200
	# These figures lag by a refill.
	[ "$(client_of "$first" .held_chunks)" -ge 50 ]
	kill -KILL "$first"
	wait_for figure_is .clients.reclaimed_total 1
	[ "$(pids_alive)" = "$second" ]
	[ "$(client_of "$second" .held_chunks)" -ge 150 ]
	[ "$(tell 1 alloc 50000 10)" = 'done 10' ]
	(($(figure .bytes.allocated) >= 200 * 1000 + 10 * 50000))
}

@test "a waiter of another namespace is killed, and its holder keeps the lock" {
	local waiter

	namespace_need
	daemon_start -p arena.max=1 -p lock.wait_ms=10000
	coproc STOP {
		inherited_close
		exec unshare --pid --fork --mount-proc --kill-child \
		    "$SHMALLOC_BUILD/tests/kill/stop" --hold
	}
	read -r -t 60 _ <&"${STOP[0]}"
	# As the daemon sees it; the client itself says another number.
	STOPPED=$(lock_of '.locks[0].holder_pid')
	[ "$(lock_of '.locks[0].holder_state')" = stopped ]
	namespace_holder_start
	waiter=$(pids_alive | grep -vx "$STOPPED")
	echo 'alloc 50000' >&"$HOLDER_IN"
	wait_for eval '[ "$(lock_of ".locks[0].waits")" -gt 0 ]'
	kill -KILL "$waiter"
	# Its slot is not used again while a call from before its death goes
	# on, which is the stopped one's.
	wait_for eval '[ "$(client_of "$waiter" .state)" = reclaiming ]'
	[ "$(lock_of '.locks[0].holder_pid')" = "$STOPPED" ]
	[ "$(lock_of '.locks[0].owner_deaths')" = 0 ]
	[ "$(client_of "$STOPPED" .state)" = alive ]
	shmallocctl clients evict "$STOPPED" --yes
	[ "$(lock_of '.locks[0].repairs')" = 1 ]
	wait_for figure_is .clients.reclaimed_total 2
}

@test "a pid that was used again is another client" {
	local old new

	namespace_need
	daemon_start
	holder_start
	old=$HOLDER_PID
	tell 0 alloc 1000 300
	daemon_pause
	# The daemon learns of the death only when the number has a new owner.
	kill -KILL "$old"
	wait "$old" || :
	cat >"$BATS_TEST_TMPDIR/again" <<-END
		#!/bin/sh
		i=0
		while [ \$((i += 1)) -lt 200 ]; do
			echo $((old - 1)) >/proc/sys/kernel/ns_last_pid
			$HOLDER <$BATS_TEST_TMPDIR/again.in \
			    >$BATS_TEST_TMPDIR/again.out 2>&1 3>&- &
			[ \$! = $old ] && exit 0
			kill -KILL \$!
		done
		exit 1
	END
	chmod +x "$BATS_TEST_TMPDIR/again"
	mkfifo "$BATS_TEST_TMPDIR/again.in"
	exec {new}<>"$BATS_TEST_TMPDIR/again.in"
	"$BATS_TEST_TMPDIR/again" || skip 'the pid cannot be had again'
	daemon_resume
	wait_for grep -q "^ready $old" "$BATS_TEST_TMPDIR/again.out"
	echo 'alloc 5000 7' >&"$new"
	wait_for grep -q '^done 7' "$BATS_TEST_TMPDIR/again.out"
	wait_for figure_is .clients.reclaimed_total 1
	jq -e --argjson pid "$old" '[.[] | select(.pid == $pid) | .state] |
	    sort == ["alive", "reclaimed"]' < <(shmallocctl clients --json)
	(($(figure .bytes.allocated) < 100000))
	(($(figure .bytes.allocated) >= 35000))
	kill -KILL "$old"
	exec {new}>&-
	wait_for figure_is .clients.reclaimed_total 2
	wait_for figure_is .bytes.allocated 0
}
