# A private daemon that the first client starts, and the last one ends.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	holder_build
}

setup() {
	export SHMALLOC_AUTOSTART=1 XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR
	unset SHMALLOC_SOCKET
}

teardown() {
	holders_stop
}

private_daemon() {
	shmallocctl --json status | jq .daemon.pid
}

# Has the process of this number ended?
gone() {
	! kill -0 "$1" 2>/dev/null
}

@test "the first client starts a private daemon, which ends with the last" {
	holder_start
	holder_tell alloc 1000 100
	[ "$(stat -c %a "$XDG_RUNTIME_DIR/shmalloc")" = 700 ]
	pid=$(private_daemon)
	holder_start
	[ "$(private_daemon)" = "$pid" ]
	[ "$(shmallocctl --json clients | jq length)" = 2 ]
	shmallocctl check
	wait_for bytes_add_up
	holders_stop
	wait_for gone "$pid"
	run -3 shmallocctl status
}

@test "a service manager's words to the program are not the daemon's" {
	export NOTIFY_SOCKET=$BATS_TEST_TMPDIR/nobody FDSTORE=100
	holder_start
	unset NOTIFY_SOCKET FDSTORE
	pid=$(private_daemon)
	# It has a keeper, and goes on.
	kill -KILL "$pid"
	wait_for server_is_not "$pid"
	[ "$(shmallocctl --json clients | jq length)" = 1 ]
}

@test "many clients at once start one daemon, and all of them are its clients" {
	local i clients=()

	for i in {1..8}; do
		(
			inherited_close
			exec "$HOLDER"
		) < <(sleep 2) >"$BATS_TEST_TMPDIR/out.$i" 2>&1 &
		clients+=($!)
	done
	for i in {1..8}; do
		wait_for grep -q '^ready' "$BATS_TEST_TMPDIR/out.$i"
	done
	[ "$(shmallocctl --json clients | jq length)" = 8 ]
	pid=$(private_daemon)
	wait "${clients[@]}"
	wait_for gone "$pid"
}

@test "the next client gets a daemon, too, as often as one has ended" {
	local i

	for i in {1..5}; do
		run -0 "$HOLDER" </dev/null
		[[ $output == ready* ]]
	done
	wait_for eval '! shmallocctl status'
}

@test "without a runtime directory it is one of the user's own in TMPDIR" {
	unset XDG_RUNTIME_DIR
	export TMPDIR=$BATS_TEST_TMPDIR
	run -0 "$HOLDER" </dev/null
	dir=$TMPDIR/shmalloc-$(id -u)
	[ "$(stat -c '%a %u' "$dir")" = "700 $(id -u)" ]
	wait_for eval '! shmallocctl --socket "$dir" status'
}

@test "a client learns that another daemon took the place of its private one" {
	unset XDG_RUNTIME_DIR
	export TMPDIR=$BATS_TEST_TMPDIR
	dir=$TMPDIR/shmalloc-$(id -u)
	holder_start
	[ "$(holder_tell alloc 64 100)" = 'done 100' ]
	pid=$(shmallocctl --socket "$dir" --json status | jq .daemon.pid)
	keeper=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")
	kill -KILL "$keeper" "$pid"
	wait_for gone "$pid"
	# Another client starts it; the first one learns.
	first=("$HOLDER_IN" "$HOLDER_OUT")
	holder_start
	HOLDER_IN=${first[0]} HOLDER_OUT=${first[1]}
	it_learns() {
		[[ $(holder_tell alloc 64 20000) == 'done '*' gone' ]]
	}
	wait_for it_learns
}

@test "a directory that others may write to is refused" {
	mkdir -m 770 "$XDG_RUNTIME_DIR/shmalloc"
	run -1 "$HOLDER" </dev/null
	[[ $output == 'failed: '* ]]
	[ -z "$(ls "$XDG_RUNTIME_DIR/shmalloc")" ]
}

@test "a directory of somebody else is refused" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to give a directory away"
	mkdir -m 700 "$XDG_RUNTIME_DIR/shmalloc"
	chown 65534 "$XDG_RUNTIME_DIR/shmalloc"
	run -1 "$HOLDER" </dev/null
	[[ $output == 'failed: '* ]]
	[ -z "$(ls "$XDG_RUNTIME_DIR/shmalloc")" ]
}

@test "without autostart there is an error, and nothing is started" {
	unset SHMALLOC_AUTOSTART
	run -1 "$HOLDER" </dev/null
	[[ $output == 'failed: '* ]]
	[ ! -e "$XDG_RUNTIME_DIR/shmalloc" ]
}
