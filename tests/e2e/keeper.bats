# What a killed daemon costs: nothing, while its keeper lives; and what happens
# when that is killed, too.
load helper

setup_file() {
	[ -z "${SHMALLOC_CHECK_ALL-}" ] || export BATS_TEST_TIMEOUT=3600
	holder_build
}

teardown() {
	if [ -n "${keeper_is_stopped-}" ]; then
		kill -CONT "$DAEMON_PID"
	fi
	daemon_stop
	[ -z "${SHMALLOC_TEST_DIR-}" ] ||
	    [[ $SHMALLOC_TEST_DIR == "$BATS_TEST_TMPDIR"/* ]] ||
	    rm -r "$SHMALLOC_TEST_DIR"
}

log_has() {
	grep -q -- "$1" "$DAEMON_LOG"
}

start_mode() {
	shmallocctl --json status | jq -r .daemon.start_mode
}

# The state of process PID in `clients`.
state_is() {
	[ "$(shmallocctl --json clients "$1" |
	    jq -r '.[0].state // "absent"')" = "$2" ]
}

# No daemon, until outage_end.
outage_begin() {
	before=$(server_pid)
	keeper_is_stopped=1
	kill -STOP "$DAEMON_PID"
	kill -KILL "$before"
}

outage_end() {
	keeper_is_stopped=
	kill -CONT "$DAEMON_PID"
}

@test "a killed daemon is followed by another, with the same segments" {
	daemon_start --segment web:16M -p web:decay_ms=3s
	holder_start
	holder_tell alloc 1000 300
	holder_tell publish kept 5000
	[ "$(start_mode)" = cold ]
	id=$(shmallocctl --json status | jq -r .segment.id)
	allocated=$(figure .bytes.allocated)
	server_kill
	[ "$(start_mode)" = recovered ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" = "$id" ]
	[ "$(figure .bytes.allocated)" = "$allocated" ]
	[ "$(shmallocctl --json status | jq .daemon.restarts)" = 1 ]
	[ "$(shmallocctl --json status | jq .daemon.crash_recoveries)" = 1 ]
	[ "$(shmallocctl --segment web tune get decay_ms --bytes)" = 3000 ]
	state_is "$HOLDER_PID" alive
	shmallocctl roots | grep -q '^kept '
	[ "$(holder_tell alloc 1000 300)" = 'done 300' ]
	shmallocctl check
	bytes_add_up
}

@test "clients allocate, free and publish while no daemon runs" {
	daemon_start
	holder_start
	holder_tell alloc 100 10
	outage_begin
	[ "$(holder_tell alloc 300 5000)" = 'done 5000' ]
	[ "$(holder_tell publish meanwhile 64)" = 'done ' ]
	holder_tell free
	run ! timeout 1 shmallocctl status
	outage_end
	wait_for server_is_not "$before"
	shmallocctl roots | grep -q '^meanwhile '
	shmallocctl check
}

@test "an attach during the outage waits and succeeds" {
	daemon_start
	outage_begin
	(
		inherited_close
		sleep 1
		exec kill -CONT "$DAEMON_PID"
	) &
	waker=$!
	holder_start
	wait "$waker"
	keeper_is_stopped=
	state_is "$HOLDER_PID" alive
	[ "$(holder_tell alloc 64 10)" = 'done 10' ]
}

@test "a forked child's first call during the outage waits and succeeds" {
	daemon_start
	holder_start
	holder_tell alloc 64 10
	outage_begin
	(
		inherited_close
		sleep 1
		exec kill -CONT "$DAEMON_PID"
	) &
	[ "$(holder_tell child 64)" = 'done allocated' ]
	wait "$!"
	keeper_is_stopped=
	state_is "$HOLDER_PID" alive
	wait_for figure_is .clients.alive 1
}

# Build $shim, and say where it notes that it has killed a daemon.
shim_make() {
	shim=$BATS_TEST_TMPDIR/at_grant.so
	${CC%% *} -shared -fPIC -o "$shim" "$BATS_TEST_DIRNAME/at_grant.c"
	export DIED=$BATS_TEST_TMPDIR/died
}

# Run a function with it.
with_shim() {
	LD_PRELOAD=$shim ASAN_OPTIONS=verify_asan_link_order=0 "$@"
}

@test "a client whose daemon is killed before it answers asks the next" {
	shim_make
	with_shim daemon_start
	pid=$(server_pid)
	holder_start
	[ -e "$DIED" ]
	[ "$(server_pid)" != "$pid" ]
	state_is "$HOLDER_PID" alive
	[ "$(holder_tell alloc 64 10)" = 'done 10' ]
	figure_is .clients.alive 1
}

# Is there a client that looks dead to the daemon?
any_without_mapping() {
	shmallocctl --json clients |
	    jq -e 'any(.state == "orphaned" or .state == "reclaimed")'
}

@test "a client that was taken for gone before it had mapped asks again" {
	shim_make
	DIE_AFTER=1 with_shim daemon_start
	(
		inherited_close
		wait_for test -e "$DIED"
		wait_for any_without_mapping
		touch "$BATS_TEST_TMPDIR/go"
	) &
	watcher=$!
	DIED= GO=$BATS_TEST_TMPDIR/go with_shim holder_start
	wait "$watcher"
	wait_for figure_is .clients.alive 1
	[ "$(holder_tell alloc 64 1000)" = 'done 1000' ]
	[ "$(figure .objects)" = 1000 ]
	kill -KILL "$HOLDER_PID"
	wait_for state_is "$HOLDER_PID" reclaimed
	[ "$(figure .objects)" = 0 ]
}

@test "deaths that no daemon saw are found by the next" {
	daemon_start
	holder_start
	holder_tell alloc 1000 2000
	victim=$HOLDER_PID
	holder_start
	holder_tell alloc 500 10
	outage_begin
	kill -KILL "$victim"
	outage_end
	wait_for server_is_not "$before"
	wait_for state_is "$victim" reclaimed
	state_is "$HOLDER_PID" alive
	[ "$(shmallocctl --json clients "$victim" | jq '.[0].held_chunks')" = 0 ]
	[ "$(figure .objects)" = 10 ]
	bytes_add_up
}

@test "a client that detaches during the outage gets its answer" {
	daemon_start
	holder_start
	holder_tell alloc 1000 20
	outage_begin
	(
		inherited_close
		sleep 1
		exec kill -CONT "$DAEMON_PID"
	) &
	holders_stop
	wait "$!"
	keeper_is_stopped=
	wait_for server_is_not "$before"
	wait_for figure_is .clients.alive 0
	[ "$(figure .objects)" = 0 ]
}

@test "tunables, their sources and statistics survive" {
	daemon_start -p top_pad=16K
	shmallocctl tune set decay_ms=2s misuse=warn
	holder_start
	holder_tell alloc 64 1000
	holder_tell twice
	holder_tell alloc 100000 10
	allocs=$(figure .activity.allocs)
	[ "$(figure '.activity | .cache_hits + .cache_misses')" = "$allocs" ]
	[ "$(figure .activity.cache_misses)" -ge 10 ]
	[ "$(figure .activity.cache_hits)" -ge 500 ]
	peak=$(figure .peak.allocated)
	# What made the peak goes; the peak stays.
	holder_tell free
	holders_stop
	wait_for figure_is .clients.alive 0
	refills=$(figure .activity.refills)
	[ "$refills" -ge 1 ]
	realised=$(figure .fragmentation.realised_ratio)
	[ "$(jq -n "$realised > 0")" = true ]
	server_kill
	[ "$(shmallocctl tune get decay_ms --bytes)" = 2000 ]
	run -0 shmallocctl --json tune list
	[ "$(jq -r '.[] | select(.name=="misuse") | .source' \
	    <<<"$output")" = runtime ]
	[ "$(jq -r '.[] | select(.name=="top_pad") | .source' \
	    <<<"$output")" = argument ]
	[ "$(jq -r '.[] | select(.name=="tcache.count") | .source' \
	    <<<"$output")" = default ]
	[ "$(figure .activity.allocs)" -ge "$allocs" ]
	[ "$(figure .activity.refills)" = "$refills" ]
	[ "$(figure .peak.allocated)" -ge "$peak" ]
	[ "$(figure .fragmentation.realised_ratio)" = "$realised" ]
}

@test "segments made and destroyed at runtime are as they were" {
	daemon_start --segment gone:8M
	shmallocctl segment create late --size 32M --mode 0640 --quota 4M
	shmallocctl segment destroy gone --yes
	run -0 shmallocctl --json segment list
	list=$(jq -S 'map({name, mode, quota_bytes, limit_bytes, id})' \
	    <<<"$output")
	server_kill
	run -0 shmallocctl --json segment list
	[ "$(jq -S 'map(select(.name != "gone")) |
	    map({name, mode, quota_bytes, limit_bytes, id})' \
	    <<<"$output")" = "$list" ]
	# What the configuration names is there again, as after any start.
	jq -e 'map(.name) | index("gone")' <<<"$output"
}

@test "the daemon is killed again and again under load" {
	local kills=12 i

	[ -z "${SHMALLOC_CHECK_ALL-}" ] || kills=300
	daemon_start --size 1G
	objects=$(figure .objects)
	(
		inherited_close
		exec "$SHMALLOC_BUILD/tests/stress/kill" $((kills * 8)) 2 \
		    "${SHMALLOC_SEED:-$(date +%s)}"
	) >"$BATS_TEST_TMPDIR/load.log" 2>&1 &
	load=$!
	for ((i = 0; i < kills; i++)); do
		server_kill
		sleep "0.$((RANDOM % 3))"
	done
	wait "$load" || {
		cat "$BATS_TEST_TMPDIR/load.log" >&2
		return 1
	}
	wait_for figure_is .clients.alive 0
	shmallocctl check
	[ "$(figure .objects)" = "$objects" ]
	[ "$(figure '[.arenas[].lock.waits_on_dead] | add')" = 0 ]
	[ "$(shmallocctl --json status | jq .daemon.crash_recoveries)" = \
	    "$kills" ]
}

@test "SIGUSR1 starts the daemon anew, warm, and no client notices" {
	daemon_start
	holder_start
	holder_tell alloc 64 100
	pid=$(server_pid)
	kill -USR1 "$DAEMON_PID"
	wait_for server_is_not "$pid"
	[ "$(start_mode)" = warm ]
	[ "$(figure .objects)" = 100 ]
	[ "$(shmallocctl --json status | jq .daemon.crash_recoveries)" = 0 ]
	[ "$(holder_tell alloc 64 100)" = 'done 100' ]
}

@test "a lock that was made anew is the one that is kept" {
	daemon_start
	rm "$SHMALLOC_SOCKET/lock"
	server_kill
	inode=$(stat -c %i "$SHMALLOC_SOCKET/lock")
	# The keeper has this one, and not the one that was removed.
	lock_is_kept() {
		[ "$(stat -L -c %i "/proc/$DAEMON_PID/fd/"* |
		    grep -cx "$inode")" -ge 1 ]
	}
	wait_for lock_is_kept
	run ! grep -q 'lock (deleted)' \
	    <(readlink "/proc/$DAEMON_PID/fd/"*)
}

@test "a socket that was made anew is the one that is kept" {
	daemon_start
	rm "$SHMALLOC_SOCKET/attach"
	server_kill
	[ -S "$SHMALLOC_SOCKET/attach" ]
	inode=$(stat -c %i "$SHMALLOC_SOCKET/attach")
	server_kill
	[ "$(stat -c %i "$SHMALLOC_SOCKET/attach")" = "$inode" ]
	holder_start
	[ "$(holder_tell alloc 64 10)" = 'done 10' ]
}

@test "SIGUSR1 without a keeper changes nothing" {
	daemon_start --no-keeper
	kill -USR1 "$DAEMON_PID"
	wait_for log_has 'SIGUSR1 is for a daemon with a keeper'
	[ "$(server_pid)" = "$DAEMON_PID" ]
}

@test "told to stop while no daemon runs, the keeper starts one more for it" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save"
	holder_start
	holder_tell publish kept 100
	holders_stop
	outage_begin
	kill -TERM "$DAEMON_PID"
	outage_end
	wait "$DAEMON_PID"
	DAEMON_PID=
	[ ! -e "$SHMALLOC_SOCKET/attach" ]
	[ ! -e "$SHMALLOC_SOCKET/lock" ]
	daemon_start --save "$save"
	[ "$(start_mode)" = warm ]
	[ "$(figure .objects)" = 1 ]
}

@test "the keeper is killed: the daemon goes on, and says what that means" {
	daemon_start
	holder_start
	holder_tell alloc 64 100
	pid=$(server_pid)
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" || :
	wait_for log_has 'nothing is kept any more (the keeper has ended)'
	[ "$(server_pid)" = "$pid" ]
	[ "$(holder_tell child 64)" = 'done allocated' ]
	holder_start
	[ "$(holder_tell alloc 64 10)" = 'done 10' ]
	shmallocctl check
	# Its own parent has gone, so it cannot be waited for.
	holders_stop
	kill -TERM "$pid"
	wait_for test ! -e "$SHMALLOC_SOCKET/lock"
	DAEMON_PID=
}

@test "keeper and daemon killed: clients keep the old segment, a new one is cold" {
	daemon_start
	holder_start
	holder_tell alloc 64 100
	id=$(shmallocctl --json status | jq -r .segment.id)
	pid=$(server_pid)
	kill -KILL "$DAEMON_PID" "$pid"
	wait "$DAEMON_PID" || :
	[ "$(holder_tell alloc 64 1000)" = 'done 1000' ]
	daemon_start
	[ "$(start_mode)" = cold ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" != "$id" ]
	# What it has stays; when it needs more it learns that it is alone.
	it_learns() {
		[[ $(holder_tell alloc 64 20000) == 'done '*' gone' ]]
	}
	wait_for it_learns
	[ "$(holder_tell align 200)" = 'done gone' ]
	[ "$(holder_tell resize 9000)" = 'done gone' ]
	[ "$(holder_tell resize 900000)" = 'done gone' ]
	holder_tell free
	[ "$(shmallocctl --json clients "$HOLDER_PID" | jq length)" = 0 ]
	[ "$(holder_tell child 64)" = 'done Stale file handle' ]
}

@test "a daemon that ends by itself is started again, and given up in the end" {
	local i

	daemon_start
	for i in 1 2 3; do
		pid=$(server_pid)
		kill -ABRT "$pid"
		wait_for server_is_not "$pid"
	done
	log_has 'ended with signal 6; going on where it was'
	[ "$(start_mode)" = recovered ]
	# Now as fast as it comes up.
	for ((i = 0; i < 400; i++)); do
		kill -0 "$DAEMON_PID" || break
		pid=$(server_pid 2>/dev/null) || :
		[ -z "$pid" ] || kill -ABRT "$pid" || :
		sleep 0.05
	done
	status=0
	wait "$DAEMON_PID" || status=$?
	[ "$status" -eq 1 ]
	log_has 'times in a row by itself (the last time with signal 6); giving up'
	DAEMON_PID=
}

# What a start without a daemon before would end with, when there was one.
outage_with_config() {
	config=$BATS_TEST_TMPDIR/conf
	echo 'decay_ms = 3s' >"$config"
	daemon_start --config "$config" "$@"
	holder_start
	holder_tell alloc 64 50
	id=$(shmallocctl --json status | jq -r .segment.id)
}

goes_on() {
	server_kill
	[ "$(start_mode)" = recovered ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" = "$id" ]
	[ "$(figure .objects)" = 50 ]
	! log_has 'that was end'
}

@test "an error in the configuration does not end what was kept" {
	outage_with_config
	echo 'decay_ms = soon' >>"$config"
	goes_on
	log_has 'going on with the one that the daemon before had'
	goes_on
	[ "$(shmallocctl tune get decay_ms --bytes)" = 3000 ]
	# A reload is what the next goes on with, too.
	echo 'decay_ms = 4s' >"$config"
	kill -HUP "$DAEMON_PID"
	is_reloaded() {
		[ "$(shmallocctl tune get decay_ms --bytes)" = 4000 ]
	}
	wait_for is_reloaded
	echo 'nonsense' >"$config"
	goes_on
	shmallocctl tune reset decay_ms
	[ "$(shmallocctl tune get decay_ms --bytes)" = 4000 ]
}

@test "a configured segment that cannot be made does not end what was kept" {
	outage_with_config
	printf '[segment vast]\nsize = 1M\nreserve = 1024T\n[segment web]\nsize = 8M\n' \
	    >>"$config"
	goes_on
	log_has 'segment vast: cannot be made'
	shmallocctl --segment web status
}

@test "a foreign file at --save does not end what was kept" {
	outage_with_config --save "$BATS_TEST_TMPDIR/cache"
	echo 'no such thing' >"$BATS_TEST_TMPDIR/cache"
	goes_on
	log_has 'it was not written by --save'
	grep -q 'no such thing' "$BATS_TEST_TMPDIR/cache"
}

@test "a daemon that cannot start is not tried again" {
	run -1 shmallocd --no-config --socket "$BATS_TEST_TMPDIR/a/b" 3>&-
	[ "$(grep -c 'cannot make the socket directory' <<<"$output")" = 1 ]
}

@test "--no-keeper runs the daemon alone" {
	daemon_start --no-keeper
	[ "$(server_pid)" = "$DAEMON_PID" ]
}

@test "a damaged segment costs that segment, not the daemon's start" {
	daemon_start --segment web:8M
	holder_start web
	holder_tell alloc 64 10
	id=$(shmallocctl --json --segment web status | jq -r .segment.id)
	outage_begin
	# The superblock's first page.
	for fd in "/proc/$HOLDER_PID/fd/"*; do
		[[ $(readlink "$fd") == /memfd:shmalloc:web* ]] || continue
		[ "$(stat -Lc %s "$fd")" -gt 10000000 ] || continue
		dd if=/dev/zero of="$fd" bs=4096 count=1 conv=notrunc
	done
	outage_end
	wait_for server_is_not "$before"
	log_has '/web/.* cannot be taken over'
	[ "$(shmallocctl --json --segment web status | jq -r .segment.id)" != \
	    "$id" ]
	[ "$(start_mode)" = recovered ]
	# It has nothing to detach from any more.
	kill -KILL "$HOLDER_PID"
}

# ---- Taking over ---------------------------------------------------------------

# Start another daemon that takes over, with the arguments given; the former
# must end with success.
takeover() {
	local pid former=$DAEMON_PID

	pid=$(server_pid)
	(
		inherited_close
		exec shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
		    --takeover "$@"
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	[ -n "${keeper_is_dead-}" ] || wait "$former"
	wait_for server_is_not "$pid"
}

@test "another daemon takes over and no client notices" {
	daemon_start --segment web:16M
	shmallocctl tune set decay_ms=2s
	holder_start
	holder_tell alloc 1000 300
	victim=$HOLDER_PID
	holder_start web
	holder_tell alloc 500 100
	id=$(shmallocctl --json status | jq -r .segment.id)
	takeover
	[ "$(start_mode)" = warm ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" = "$id" ]
	[ "$(shmallocctl tune get decay_ms --bytes)" = 2000 ]
	[ "$(cat "$SHMALLOC_SOCKET/lock")" = "$DAEMON_PID" ]
	state_is "$victim" alive
	[ "$(holder_tell alloc 64 10)" = 'done 10' ]
	[ "$(holder_tell child 64)" = 'done allocated' ]
	kill -KILL "$victim"
	wait_for state_is "$victim" reclaimed
	[ "$(figure .objects)" = 0 ]
	# The new one has a keeper of its own.
	server_kill
	[ "$(start_mode)" = recovered ]
	state_is "$victim" absent
}

# The permission bits and the group of the socket NAME.
access_is() {
	[ "$(stat -c '%a %g' "$SHMALLOC_SOCKET/$1")" = "$2" ]
}

@test "who takes over gives the sockets and the directory its own access" {
	SHMALLOC_TEST_DIR=$BATS_TEST_TMPDIR/made
	export SHMALLOC_SOCKET=$SHMALLOC_TEST_DIR
	# Nobody but root may give away to any group.
	[ "$(id -u)" -eq 0 ] || skip "needs root to have another group"
	mkdir() {
		:
	}
	daemon_start
	unset -f mkdir
	access_is control "600 $(id -g)"
	takeover -p admin_group=60001 -p monitor_group=60002
	access_is control '660 60001'
	access_is control-ro '660 60002'
	takeover
	access_is control "600 $(id -g)"
	access_is control-ro "666 $(id -g)"
	# What the daemon made is as it would make it now.
	chmod 700 "$SHMALLOC_SOCKET"
	takeover
	[ "$(stat -c %a "$SHMALLOC_SOCKET")" = 755 ]
}

@test "a daemon whose keeper was killed can be taken over, too" {
	daemon_start
	holder_start
	holder_tell alloc 1000 300
	keeper_is_dead=1
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" || :
	takeover
	server_kill
	[ "$(figure .objects)" = 300 ]
}

@test "daemons take over from each other under load" {
	local i

	daemon_start --size 1G
	objects=$(figure .objects)
	(
		inherited_close
		exec "$SHMALLOC_BUILD/tests/stress/kill" 60 2 \
		    "${SHMALLOC_SEED:-$(date +%s)}"
	) >"$BATS_TEST_TMPDIR/load.log" 2>&1 &
	load=$!
	for i in 1 2 3 4; do
		takeover --size 1G
	done
	wait "$load" || {
		cat "$BATS_TEST_TMPDIR/load.log" >&2
		return 1
	}
	wait_for figure_is .clients.alive 0
	shmallocctl check
	[ "$(figure .objects)" = "$objects" ]
}

@test "who takes over and is killed meanwhile leaves the old one as it was" {
	daemon_start
	holder_start
	holder_tell alloc 64 50
	pid=$(server_pid)
	# It gets no answer to its question, as the daemon is stopped.
	kill -STOP "$pid"
	(
		inherited_close
		exec shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
		    --takeover --no-keeper
	) 2>/dev/null &
	heir=$!
	sleep 0.5
	kill -KILL "$heir"
	wait "$heir" || :
	kill -CONT "$pid"
	wait_for log_has 'it did not take over; going on'
	[ "$(server_pid)" = "$pid" ]
	[ "$(holder_tell child 64)" = 'done allocated' ]
	[ "$(figure .objects)" = 50 ]
}

# Take over from the daemon, up to END; it is told with heir_tell.
heir_start() {
	mkfifo "$BATS_TEST_TMPDIR/heir.in"
	(
		inherited_close
		exec "$BATS_TEST_DIRNAME/../tools/wire.py" heir \
		    "$SHMALLOC_SOCKET"
	) <"$BATS_TEST_TMPDIR/heir.in" >"$BATS_TEST_TMPDIR/heir.out" &
	HOLDERS+=("$!")
	exec {heir_in}>"$BATS_TEST_TMPDIR/heir.in"
	HOLDER_INS+=("$heir_in")
	wait_for grep -q '^end' "$BATS_TEST_TMPDIR/heir.out"
}

# What it did is in the last line.
heir_tell() {
	local n

	n=$(grep -c '^done' "$BATS_TEST_TMPDIR/heir.out") || :
	echo "$1" >&"$heir_in"
	heir_said() {
		(($(grep -c '^done' "$BATS_TEST_TMPDIR/heir.out") > n))
	}
	wait_for heir_said
	tail -n 1 "$BATS_TEST_TMPDIR/heir.out"
}

@test "the old one, killed when the new one has begun, is not started again" {
	daemon_start
	pid=$(server_pid)
	heir_start
	kill -STOP "$pid"
	[ "$(heir_tell ready)" = 'done sent' ]
	kill -KILL "$pid"
	has_ended() {
		! kill -0 "$DAEMON_PID"
	}
	wait_for has_ended
	wait "$DAEMON_PID"
	DAEMON_PID=
	log_has 'another daemon has taken over'
	[ "$(heir_tell await)" = 'done closed' ]
	[ -S "$SHMALLOC_SOCKET/attach" ]
	[ -e "$SHMALLOC_SOCKET/lock" ]
}

@test "the old one, killed before the new one began, goes on, and says so" {
	daemon_start
	holder_start
	holder_tell alloc 64 50
	pid=$(server_pid)
	heir_start
	kill -KILL "$pid"
	wait_for server_is_not "$pid"
	[ "$(heir_tell ready)" = 'done refused' ]
	[ "$(heir_tell await)" = 'done goes on' ]
	[ "$(heir_tell await)" = 'done closed' ]
	[ "$(figure .objects)" = 50 ]
	[ "$(holder_tell child 64)" = 'done allocated' ]
	# Nothing of it is left for the next takeover.
	takeover
	[ "$(figure .objects)" = 50 ]
}

# A former daemon that is none: its words are in wire.py.
former_start() {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	mkdir "$SHMALLOC_SOCKET"
	(
		inherited_close
		exec "$BATS_TEST_DIRNAME/../tools/wire.py" former \
		    "$SHMALLOC_SOCKET" "$1"
	) &
	wait_for test -S "$SHMALLOC_SOCKET/control"
}

@test "who could not serve the directory leaves the daemon there" {
	daemon_start
	holder_start
	holder_tell alloc 64 50
	pid=$(server_pid)
	chmod o+w "$SHMALLOC_SOCKET"
	run -1 timeout 20 shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
	    --takeover 3>&-
	[[ $output == *'anybody may write to'* ]]
	[ "$(server_pid)" = "$pid" ]
	[ "$(figure .objects)" = 50 ]
}

@test "who comes too late to take over ends at once, and forgets all of it" {
	former_start on
	run -1 timeout 20 shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
	    --takeover 3>&-
	[ "$(grep -c 'did not wait for us, and goes on' <<<"$output")" = 1 ]
}

@test "who takes over from a daemon that then died alone begins" {
	former_start gone
	daemon_start --takeover
}

@test "only root and the daemon's user may take over" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start -p admin_group=60001
	run -0 env WIRE_UID=60000 WIRE_GID=60001 \
	    "$BATS_TEST_DIRNAME/../tools/wire.py" ask "$SHMALLOC_SOCKET" \
	    control takeover
	[[ $output == "error -7 "*"only root and the daemon's user"* ]]
	shmallocctl status
}

@test "with nobody to take over from it starts as ever" {
	daemon_start --takeover
	[ "$(start_mode)" = cold ]
	log_has 'no daemon serves .* which we could take over from'
}

# ---- The service manager's store -------------------------------------------------

# With --listen it has the sockets, too.
manager_start() {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	DAEMON_LOG=$BATS_TEST_TMPDIR/daemon.log
	mkdir "$SHMALLOC_SOCKET"
	mkfifo "$BATS_TEST_TMPDIR/words"
	(
		inherited_close
		exec "$BATS_TEST_DIRNAME/../tools/manager.py" \
		    "$BATS_TEST_TMPDIR/notify" ${1:+"$1" "$SHMALLOC_SOCKET"} \
		    shmallocd --no-config --socket \
		    "$SHMALLOC_SOCKET" --size 64M
	) <"$BATS_TEST_TMPDIR/words" >"$BATS_TEST_TMPDIR/manager.log" \
	    2>"$DAEMON_LOG" &
	DAEMON_PID=
	manager=$!
	exec {manager_in}>"$BATS_TEST_TMPDIR/words"
	HOLDER_INS+=("$manager_in")
	HOLDERS+=("$manager")
	wait_for shmallocctl status
	grep -q '^READY' "$BATS_TEST_TMPDIR/manager.log"
}

systemd_is_known() {
	grep -q systemd <(ldd "$(command -v shmallocd)") ||
	    skip "built without libsystemd"
}

manager_said() {
	grep -q "^$1" "$BATS_TEST_TMPDIR/manager.log"
}

@test "the service manager's store takes the keeper's place" {
	systemd_is_known
	manager_start
	holder_start
	holder_tell alloc 64 100
	pid=$(server_pid)
	# One process: the manager's child.
	[ "$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status")" = "$manager" ]
	kill -KILL "$pid"
	wait_for server_is_not "$pid"
	[ "$(start_mode)" = recovered ]
	state_is "$HOLDER_PID" alive
	[ "$(holder_tell child 64)" = 'done allocated' ]
	pid=$(server_pid)
	echo again >&"$manager_in"
	wait_for server_is_not "$pid"
	[ "$(start_mode)" = warm ]
	[ "$(figure .objects)" = 100 ]
	bytes_add_up
	shmallocctl check
	kill -KILL "$HOLDER_PID"
	wait_for figure_is .objects 0
	# A lock, three sockets, a segment with its pins, the configuration, the
	# events; nothing of the dead.
	echo count >&"$manager_in"
	wait_for manager_said 'count 8$'
	echo stop >&"$manager_in"
	wait "$manager"
	manager_said STOPPING
}

# How often the daemon has said that it lives.
alive() {
	local n

	n=$(grep -c '^alive' "$BATS_TEST_TMPDIR/manager.log") || :
	echo alive >&"$manager_in"
	wait_for alive_was_said "$n"
	sed -n 's/^alive //p' "$BATS_TEST_TMPDIR/manager.log" | tail -n 1
}

alive_was_said() {
	(($(grep -c '^alive' "$BATS_TEST_TMPDIR/manager.log") > $1))
}

alive_is_above() {
	(($(alive) > $1))
}

@test "the watchdog hears from a daemon whose loop turns, and from no other" {
	systemd_is_known
	manager_start
	n=$(alive)
	wait_for alive_is_above "$n"
	pid=$(server_pid)
	kill -STOP "$pid"
	wait_for grep -q '^State:.T' "/proc/$pid/status"
	n=$(alive)
	# As long as three words take.
	sleep 3
	[ "$(alive)" = "$n" ]
	kill -CONT "$pid"
	wait_for alive_is_above "$n"
	echo stop >&"$manager_in"
	wait "$manager"
}

@test "the service manager's sockets are used, and stay, also after a stop" {
	systemd_is_known
	manager_start --listen
	before=$(stat -c %i "$SHMALLOC_SOCKET"/{attach,control,control-ro})
	# The modes are the daemon's.
	[ "$(stat -c %a "$SHMALLOC_SOCKET"/{attach,control,control-ro} | xargs)" \
	    = '666 600 666' ]
	holder_start
	holder_tell alloc 64 100
	pid=$(server_pid)
	kill -KILL "$pid"
	wait_for server_is_not "$pid"
	[ "$(start_mode)" = recovered ]
	state_is "$HOLDER_PID" alive
	pid=$(server_pid)
	echo again >&"$manager_in"
	wait_for server_is_not "$pid"
	[ "$(start_mode)" = warm ]
	[ "$(figure .objects)" = 100 ]
	# The store has no socket: a lock, a segment with its pins, its client
	# with a connection, the configuration, the events.
	echo count >&"$manager_in"
	wait_for manager_said 'count 7$'
	echo stop >&"$manager_in"
	wait "$manager"
	[ "$before" = \
	    "$(stat -c %i "$SHMALLOC_SOCKET"/{attach,control,control-ro})" ]
}

# Who is the first to ask starts it; there is no store, so a keeper is.
@test "a daemon that a socket starts gives its keeper the socket, too" {
	systemd_is_known
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	mkdir "$SHMALLOC_SOCKET"
	(
		inherited_close
		exec systemd-socket-activate -l "$SHMALLOC_SOCKET/attach" \
		    -l "$SHMALLOC_SOCKET/control" -l "$SHMALLOC_SOCKET/other" \
		    --fdname=attach:control:other shmallocd --no-config \
		    --socket "$SHMALLOC_SOCKET" --size 64M
	) >"$BATS_TEST_TMPDIR/daemon.log" 2>&1 &
	keeper=$!
	wait_for [ -S "$SHMALLOC_SOCKET/other" ]
	before=$(stat -c %i "$SHMALLOC_SOCKET"/{attach,control})
	holder_start
	grep "hands over 'other', which is not used" "$BATS_TEST_TMPDIR/daemon.log"
	# It made the one that nobody gave it.
	[ -S "$SHMALLOC_SOCKET/control-ro" ]
	server_kill
	[ "$(start_mode)" = recovered ]
	state_is "$HOLDER_PID" alive
	[ "$before" = "$(stat -c %i "$SHMALLOC_SOCKET"/{attach,control})" ]
	kill -TERM "$keeper"
	wait "$keeper"
	[ "$before" = "$(stat -c %i "$SHMALLOC_SOCKET"/{attach,control})" ]
	[ ! -e "$SHMALLOC_SOCKET/control-ro" ]
}

# ---- Saving ----------------------------------------------------------------------

@test "what was saved at a stop is there again after the next start" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save" --segment web:16M -p web:mode=0640
	shmallocctl tune set decay_ms=2s
	holder_start
	holder_tell alloc 3000 100
	holder_tell publish kept 5000
	holder_tell publish large 3000000
	holders_stop
	allocated=$(figure .bytes.allocated)
	id=$(shmallocctl --json status | jq -r .segment.id)
	daemon_stop
	[ "$(stat -c %a "$save")" = 600 ]
	daemon_start --save "$save" --segment web:16M -p web:mode=0640
	[ ! -e "$save" ]
	[ "$(start_mode)" = warm ]
	[ "$(figure .bytes.allocated)" = "$allocated" ]
	[ "$(figure .objects)" = 2 ]
	[ "$(shmallocctl tune get decay_ms --bytes)" = 2000 ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" != "$id" ]
	[ "$(shmallocctl --json --segment web status | jq .segment.mode)" = \
	    $((0640)) ]
	[ "$(shmallocctl --json status | jq .daemon.restarts)" = 1 ]
	# The contents: the holder wrote them.
	holder_start
	holder_tell withdraw kept
	holder_tell withdraw large
	wait_for figure_is .objects 0
	[ "$(holder_tell alloc 64 100)" = 'done 100' ]
	# It is kept, too.
	server_kill
	[ "$(start_mode)" = recovered ]
}

@test "clients at work are held still for a save, and their own is given back" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --size 1G --save "$save"
	holder_start
	holder_tell alloc 1000 500
	holder_tell publish kept 777
	(
		inherited_close
		exec "$SHMALLOC_BUILD/tests/stress/mix" 100000000 3 \
		    "${SHMALLOC_SEED:-$(date +%s)}"
	) >/dev/null 2>&1 &
	load=$!
	wait_for figure_is '.clients.alive >= 4' true
	sleep 0.5
	kill -TERM "$DAEMON_PID"
	wait "$DAEMON_PID"
	# They go on with the old segment.
	[ "$(holder_tell alloc 64 1000)" = 'done 1000' ]
	pkill -KILL -P "$load" || :
	kill -KILL "$load"
	wait "$load" || :
	daemon_start --size 1G --save "$save"
	[ "$(start_mode)" = warm ]
	wait_for figure_is .clients.alive 0
	shmallocctl check
	bytes_add_up
	shmallocctl roots | grep -q '^kept '
	# Nothing of the holder's, and of the others what they had published.
	[ "$(shmallocctl --json stats --exact --by client |
	    jq '.bytes.cached')" = 0 ]
}

@test "a damaged, cut or foreign file is refused, and stays as it was" {
	local size bad

	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save"
	holder_start
	holder_tell publish kept 500000
	holders_stop
	daemon_stop
	size=$(stat -c %s "$save")
	refused() {
		cp "$bad" "$bad.before"
		run -1 shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
		    --size 64M --save "$bad" 3>&-
		[[ $output == *"--save $bad: $1"* ]]
		[[ $output == *"It is left as it is"* ]]
		cmp "$bad" "$bad.before"
	}
	bad=$BATS_TEST_TMPDIR/bad
	for at in 0 30 60 200 $((size / 2)) $((size - 20)); do
		cp "$save" "$bad"
		printf '\377\376\375' |
		    dd of="$bad" bs=1 seek="$at" conv=notrunc status=none
		refused ""
	done
	for at in 40 100 $((size / 2)) $((size - 1)); do
		head -c "$at" "$save" >"$bad"
		refused "it "
	done
	echo 'no such thing' >"$bad"
	refused "it was not written by --save"
	head -c 100000 /dev/urandom >"$bad"
	refused "it was not written by --save"
	# The good one still is.
	daemon_start --save "$save"
	[ "$(start_mode)" = warm ]
}

@test "a save that cannot be written fails the stop, and harms nothing" {
	daemon_start --save "$BATS_TEST_TMPDIR/absent/cache"
	kill -TERM "$DAEMON_PID"
	status=0
	wait "$DAEMON_PID" || status=$?
	[ "$status" -eq 1 ]
	DAEMON_PID=
	log_has 'cannot write .*absent/cache.new'
	[ ! -e "$SHMALLOC_SOCKET/attach" ]
}

@test "a segment that claims to have more than it has is left out of a save" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save" --segment web:16M
	holder_start web
	holder_tell publish kept 5000
	holders_stop
	client_build scribbler.c
	mkfifo "$BATS_TEST_TMPDIR/in"
	(
		inherited_close
		exec "$BATS_FILE_TMPDIR/scribbler" commit
	) <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" &
	exec {in}>"$BATS_TEST_TMPDIR/in"
	wait_for grep -q committed "$BATS_TEST_TMPDIR/out"
	kill -TERM "$DAEMON_PID"
	status=0
	wait "$DAEMON_PID" || status=$?
	DAEMON_PID=
	exec {in}>&-
	[ "$status" -eq 1 ]
	log_has 'segment default: is damaged, and not saved'
	[ "$(stat -c %s "$save")" -lt 20000000 ]
	# The others are there.
	daemon_start --save "$save" --segment web:16M
	[ "$(shmallocctl --json --segment web stats --exact | jq .objects)" = 1 ]
	[ "$(figure .objects)" = 0 ]
}

@test "nobody is a client of what was read from a file, whatever it says" {
	local real

	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	# Who may not look at root's processes.
	real=$(command -v shmallocd)
	# That of the test is for nobody else.
	SHMALLOC_TEST_DIR=$(mktemp -d)
	mkdir "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/shmallocd" <<-EOF
		#!/bin/sh
		exec setpriv --reuid 60000 --regid 60000 --clear-groups \
		    "$real" "\$@"
	EOF
	chmod +x "$BATS_TEST_TMPDIR/bin/shmallocd"
	chown 60000 "$SHMALLOC_TEST_DIR"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	save=$SHMALLOC_TEST_DIR/cache
	daemon_start --save "$save"
	client_build scribbler.c
	coproc SCRIBBLER { exec "$BATS_FILE_TMPDIR/scribbler" claim $$ 3>&-; }
	read -r -t 20 said <&"${SCRIBBLER[0]}"
	[ "$said" = claimed ]
	kill -KILL "$SCRIBBLER_PID"
	wait_for figure_is .clients.alive 0
	kill -TERM "$DAEMON_PID"
	wait "$DAEMON_PID"
	daemon_start --save "$save"
	log_has 'segment default: 1 clients are known'
	wait_for figure_is '.clients | .alive + .dying' 0
	daemon_stop
}

@test "a file that others may write to is not read" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save"
	daemon_stop
	chmod 660 "$save"
	run -1 timeout 20 shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
	    --save "$save" 3>&-
	[[ $output == *'others may write to it'* ]]
	[ -e "$save" ]
}

@test "a file that is stale after a crash is not read" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save"
	holder_start
	holder_tell publish kept 100
	holders_stop
	daemon_stop
	cp "$save" "$save.old"
	daemon_start --save "$save"
	cp "$save.old" "$save"
	server_kill
	[ "$(start_mode)" = recovered ]
	[ ! -e "$save" ]
}

@test "a file is read for the segments that were not kept of it" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save" --segment web:16M
	holder_start web
	holder_tell publish kept 100
	holders_stop
	daemon_stop
	cp "$save" "$save.old"
	daemon_start --save "$save"
	# As if the start had been killed before it had kept the second.
	shmallocctl segment destroy web --yes
	cp "$save.old" "$save"
	id=$(shmallocctl --json status | jq -r .segment.id)
	server_kill
	[ "$(start_mode)" = recovered ]
	[ "$(shmallocctl --json status | jq -r .segment.id)" = "$id" ]
	[ "$(shmallocctl --json --segment web stats --exact | jq .objects)" = 1 ]
	[ ! -e "$save" ]
}

@test "a start that fails leaves the file for the next" {
	save=$BATS_TEST_TMPDIR/cache
	daemon_start --save "$save"
	holder_start
	holder_tell publish kept 100
	holders_stop
	daemon_stop
	mkdir "$SHMALLOC_SOCKET/attach"
	run -1 timeout 20 shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
	    --save "$save" 3>&-
	rmdir "$SHMALLOC_SOCKET/attach"
	daemon_start --save "$save"
	[ "$(start_mode)" = warm ]
	[ "$(figure .objects)" = 1 ]
}

# ---- Stepped ---------------------------------------------------------------------

# SHMALLOC_SEED repeats a run.
@test "the daemon is killed at instructions of its own work" {
	local kills=${DAEMON_KILLS:-48} steps=8000

	[ -z "${SHMALLOC_CHECK_ALL-}" ] || {
		kills=800
		steps=100000
	}
	daemon_start --size 1G
	"$SHMALLOC_BUILD/tests/daemon/kill" "$DAEMON_PID" "$kills" "$steps" \
	    ${SHMALLOC_SEED-} >&2
}
