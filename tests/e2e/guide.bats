# The operator's guide: its sessions, against a segment that is in use.
bats_require_minimum_version 1.5.0
load helper

setup_file() {
	holder_build
}

teardown() {
	[ -z "${BUSY-}" ] || kill -KILL "$BUSY"
	[ ! -e "$BATS_TEST_TMPDIR/stopper" ] ||
	    kill "$(cat "$BATS_TEST_TMPDIR/stopper")" || :
	daemon_stop
}

# A daemon that can save what is set, below $GUIDE_ROOT.
configured_start() {
	local dir=$GUIDE_ROOT/etc/shmalloc

	export SHMALLOC_SOCKET=${SHMALLOC_TEST_DIR:=$BATS_TEST_TMPDIR/run}
	DAEMON_LOG=$BATS_TEST_TMPDIR/daemon.log
	mkdir -p "$SHMALLOC_SOCKET" "$dir/conf.d"
	: >"$dir/shmallocd.conf"
	: >"$dir/conf.d/90-runtime.conf"
	(
		inherited_close
		exec shmallocd --config "$dir/shmallocd.conf" \
		    --config "$dir/conf.d/90-runtime.conf" \
		    --socket "$SHMALLOC_SOCKET" "$@"
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	wait_for shmallocctl status
}

# 16 MiB and one arena, of which a published cache, a client with holes in what
# it holds, and one whose two threads want the same lock all the time have their
# parts; one more was killed, and the last got less than it asked for.
scene() {
	local busy_in

	configured_start --size 16M -p arena.max=1 -p tcache.max=32K
	holder_start
	holder_tell publish sessions 4000
	holder_tell alloc 3000 900
	holder_tell alloc 60000 80
	holder_tell sieve
	holder_start
	holder_tell alloc 500 2000
	BUSY=$HOLDER_PID
	busy_in=$HOLDER_IN
	holder_start
	holder_tell alloc 1000 1000
	kill -KILL "$HOLDER_PID"
	wait_for killed_is_back "$HOLDER_PID"
	holder_start
	holder_tell alloc 200000 200
	# Room for those who contend, who else might find the segment full; until
	# the end of the test.
	holder_tell resize 1000
	echo contend 40000 1000000000 >&"$busy_in"
	wait_for is_busy
	wait_for is_told
}

killed_is_back() {
	[ "$(shmallocctl --json clients "$1" | jq -r '.[0].state')" = reclaimed ]
}

# Its threads have met at the lock, and one had to wait.
is_busy() {
	shmallocctl --json locks |
	    jq -e '.locks[0] | .busy > 100 and .waits > 0'
}

# That the last one got less; once a second the daemon looks for such.
is_told() {
	shmallocctl --json events |
	    jq -e 'any(.events[]; .kind == "failure")'
}

# What sessions find besides: see guide.py.
scene_write() {
	export GUIDE_SCENE=$BATS_TEST_TMPDIR/scene
	cat >"$GUIDE_SCENE" <<-END
	#!/usr/bin/env bash
	set -eu
	wait_for() {
		local i
		for i in {1..400}; do
			! shmallocctl --json "\$2" | jq -e "\$1" >/dev/null || exit 0
			sleep 0.05
		done
		exit 1
	}
	case \$1 in
	stopped)
		# A process that is stopped while it holds the lock.
		mkfifo $BATS_TEST_TMPDIR/stop.in
		$SHMALLOC_BUILD/tests/kill/stop --hold \
		    <>$BATS_TEST_TMPDIR/stop.in \
		    >$BATS_TEST_TMPDIR/stop.out 2>&1 3>&- &
		echo \$! >$BATS_TEST_TMPDIR/stopper
		wait_for '.locks[0] | .held_seconds > 1 and
		    .holder_state == "stopped"' locks
		;;
	repaired)
		wait_for 'any(.events[]; .kind == "repair")' events
		;;
	*)
		exit 1
		;;
	esac
	END
	chmod +x "$GUIDE_SCENE"
}

@test "the operator's guide shows what the commands print" {
	export GUIDE_ROOT=$BATS_TEST_TMPDIR/root
	scene
	scene_write
	"$BATS_TEST_DIRNAME/../tools/guide.py" ${GUIDE_WRITE:+-w} \
	    "$BATS_TEST_DIRNAME/../../docs/operators-guide.md"
}
