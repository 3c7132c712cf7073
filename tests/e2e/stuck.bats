# Clients that are stopped, slow or reading for ever: who sees it, what it costs
# the others, and how an operator gets rid of them.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	stopped_end
	daemon_stop
}

# A client that is stopped in the middle of an allocation, with an arena's lock;
# its PID is in $STOPPED.
stopped_start()
{
	coproc STOP {
		inherited_close
		exec "$SHMALLOC_BUILD/tests/kill/stop" --hold
	}
	read -r -t 60 STOPPED <&"${STOP[0]}"
}

stopped_end()
{
	[ -z "${STOP_PID-}" ] || kill -KILL "$STOP_PID" 2>/dev/null || :
}

# A figure of the locks' JSON.
lock_of()
{
	shmallocctl locks --json | jq -r "$1"
}

client_of()
{
	shmallocctl clients "$1" --json | jq -r "$2"
}

@test "locks names who holds one, and that it is stopped" {
	daemon_start
	stopped_start
	[ "$(lock_of '[.locks[] | select(.holder_pid)] | length')" = 1 ]
	[ "$(lock_of '.locks[0].holder_pid')" = "$STOPPED" ]
	[ "$(lock_of '.locks[0].holder_state')" = stopped ]
	[ "$(lock_of '.locks[0].holder_command')" = stop ]
	wait_for eval '(($(lock_of ".locks[0].held_seconds * 10 | floor") > 0))'
	run -0 shmallocctl locks
	[[ ${lines[0]} == ARENA*HOLDER*PID*HELD*BUSY*WAITS*DEATHS*REPAIRS ]]
	[[ ${lines[1]} == *0\ stopped\ *"$STOPPED"\ stop* ]]
}

@test "a stopped holder is in nobody's way" {
	daemon_start
	stopped_start
	holder_start
	[ "$(holder_tell alloc 50000 100)" = 'done 100' ]
	[ "$(holder_tell alloc 64 10000)" = 'done 10000' ]
	[ "$(holder_tell alloc 300000 20)" = 'done 20' ]
	[ "$(holder_tell free)" = 'done 10120' ]
	(($(lock_of '.locks[0].busy') > 0))
	[ "$(lock_of '[.locks[].waits] | add')" = 0 ]
	[ "$(lock_of '.locks | length')" -gt 1 ]
}

@test "an evicted client's memory and lock come back, and say so" {
	daemon_start
	stopped_start
	run -0 shmallocctl clients evict "$STOPPED" --yes
	[[ $output == "stop ($STOPPED) was killed; "* ]]
	[ "$(lock_of '[.locks[] | select(.holder_pid)] | length')" = 0 ]
	[ "$(lock_of '.locks[0].owner_deaths')" = 1 ]
	[ "$(lock_of '.locks[0].repairs')" = 1 ]
	holder_start
	holder_tell alloc 1000 500
	run -0 shmallocctl clients evict "$HOLDER_PID" --yes --json
	[ "$(jq .evicted <<<"$output")" = "$HOLDER_PID" ]
	(($(jq .reclaimed_bytes <<<"$output") > 500000))
	(($(jq .reclaimed_chunks <<<"$output") >= 500))
	figure_is .bytes.allocated 0
	grep -q "pid $HOLDER_PID (holder) was killed by order of" "$DAEMON_LOG"
}

@test "nobody is evicted who is no client, without leave, or by mistake" {
	daemon_start
	run -1 --separate-stderr shmallocctl clients evict $$ --yes
	[[ $stderr == *"no client has the PID $$"* ]]
	holder_start
	run -2 --separate-stderr shmallocctl clients evict "$HOLDER_PID" </dev/null
	[[ $stderr == *--yes* ]]
	if [ "$(id -u)" -eq 0 ]; then
		chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" \
		    "$BATS_RUN_TMPDIR" "$SHMALLOC_SOCKET"
		run -4 setpriv --reuid 65534 --regid 65534 --clear-groups \
		    shmallocctl clients evict "$HOLDER_PID" --yes
	fi
	[ "$(client_of "$HOLDER_PID" '.[0].state')" = alive ]
}

@test "one user's walks do not queue before everybody's" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start
	# Walks take a while, and come all at once.
	holder_start
	holder_tell alloc 64 400000
	run -0 env WIRE_UID=65534 "$BATS_TEST_DIRNAME/../tools/wire.py" walks \
	    "$SHMALLOC_SOCKET" 8
	[ "$(grep -c 'user 65534 that walks a segment waits' \
	    <<<"$output")" -ge 1 ]
	[ "$(grep -vc 'waits already' <<<"$output")" -ge 1 ]
}

# ---- Readers ---------------------------------------------------------------

# Leave a reader inside, and retire N objects of SIZE that wait for it.
reader_start()
{
	local i

	holder_start
	READER=$HOLDER_PID READER_IN=$HOLDER_IN READER_OUT=$HOLDER_OUT
	holder_tell enter
	holder_start
	for ((i = 0; i < $1; i++)); do
		holder_tell publish x "$2"
		holder_tell withdraw x
	done
}

@test "a reader that never leaves has a lag, and beyond retire.limit nobody gets more" {
	daemon_start -p retire.limit=100K
	reader_start 3 40000
	(($(client_of "$READER" '.[0].reader_lag') > 0))
	[ "$(client_of "$HOLDER_PID" '.[0].retired_chunks')" = 3 ]
	[ "$(holder_tell alloc 60000)" = 'done 0 reader' ]
	[ "$(figure .failures.reader)" = 1 ]
	# It leaves: what waited is free, and everybody gets memory again.
	HOLDER_IN=$READER_IN HOLDER_OUT=$READER_OUT holder_tell exit
	[ "$(holder_tell alloc 60000)" = 'done 1' ]
	[ "$(client_of "$READER" '.[0].reader_lag')" = 0 ]
}

@test "a reader that is evicted holds nothing back" {
	daemon_start -p retire.limit=100K
	reader_start 3 40000
	[ "$(holder_tell alloc 60000)" = 'done 0 reader' ]
	shmallocctl clients evict "$READER" --yes
	[ "$(holder_tell alloc 60000)" = 'done 1' ]
}

@test "reader.evict_ms kills the reader that memory waits for, and no other" {
	local innocent

	daemon_start
	holder_start
	innocent=$HOLDER_PID
	holder_tell enter
	# Nothing waits for it.
	shmallocctl tune set reader.evict_ms=300
	sleep 0.6
	[ "$(client_of "$innocent" '.[0].state')" = alive ]
	HOLDER_IN=${HOLDER_INS[0]} holder_tell exit
	reader_start 1 50000
	wait_for eval '[ "$(client_of "$READER" ".[0].state")" = reclaimed ]'
	[ "$(client_of "$innocent" '.[0].state')" = alive ]
	[ "$(client_of "$HOLDER_PID" '.[0].state')" = alive ]
	grep -q "pid $READER (holder) was killed: .*reader.evict_ms" "$DAEMON_LOG"
}

@test "what a client writes over reader.evict_ms kills nobody" {
	daemon_start
	client_build scribbler.c
	# Before there are holders, whose ends it would keep open.
	coproc SCRIBBLER { exec "$BATS_FILE_TMPDIR/scribbler" evict 3>&-; }
	read -r -t 20 said <&"${SCRIBBLER[0]}"
	[ "$said" = said ]
	reader_start 1 50000
	[ "$(shmallocctl tune get reader.evict_ms --bytes)" = 0 ]
	# Also not by the next daemon, which has what an operator said.
	server_kill
	[ "$(shmallocctl tune get reader.evict_ms --bytes)" = 0 ]
	shmallocctl tune set reader.evict_ms=1h
	server_kill
	[ "$(shmallocctl tune get reader.evict_ms --bytes)" = 3600000 ]
	[ "$(client_of "$READER" '.[0].state')" = alive ]
	shmallocctl tune reset reader.evict_ms
	server_kill
	[ "$(shmallocctl tune get reader.evict_ms --bytes)" = 0 ]
	HOLDER_IN=$READER_IN HOLDER_OUT=$READER_OUT holder_tell exit
}

@test "nobody is killed for reading whom another user could have made seem so" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start -p mode=0666 -p reader.evict_ms=100
	coproc OTHER {
		WIRE_UID=65534 exec "$BATS_TEST_DIRNAME/../tools/wire.py" \
		    attach "$SHMALLOC_SOCKET" 3>&-
	}
	read -r -t 30 said <&"${OTHER[0]}"
	[[ $said == 'error 0 fds 2 '* ]]
	reader_start 1 50000
	wait_for grep -q "pid $READER (holder) seems to have been reading" \
	    "$DAEMON_LOG"
	[ "$(client_of "$READER" '.[0].state')" = alive ]
	kill -KILL "$OTHER_PID"
	wait_for eval '[ "$(client_of "$READER" ".[0].state")" = reclaimed ]'
}

@test "readers that always overlap hold nothing back" {
	local first second i

	daemon_start -p retire.limit=100K
	holder_start
	first=${HOLDER_INS[0]}
	holder_start
	second=${HOLDER_INS[1]}
	holder_start
	echo enter >&"$first"
	for ((i = 0; i < 20; i++)); do
		echo enter >&"$second"
		echo exit >&"$first"
		[[ "$(holder_tell publish x 20000)" == 'done '* ]]
		[[ "$(holder_tell withdraw x)" == 'done '* ]]
		echo enter >&"$first"
		echo exit >&"$second"
	done
	# 400 000 bytes were retired; one of the two was inside at any time.
	[ "$(holder_tell alloc 20000)" = 'done 1' ]
	[ "$(figure .failures.reader)" = 0 ]
	(($(client_of "$HOLDER_PID" '.[0].retired_bytes') < 100000))
}
