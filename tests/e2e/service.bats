# The systemd units: without fault, no more exposed than is said, and enough for
# what the daemon does, as that user, with those capabilities and system calls.
bats_require_minimum_version 1.5.0
load helper

# What `systemd-analyze security` may say at most, times 10.  The same number
# stands in man/shmallocd.8.scd.
EXPOSURE=25
# What nobody is: the daemon's user, a client's and its group.
DAEMON_UID=60100
CLIENT_UID=60200
CLIENT_GID=60300

setup_file() {
	holder_build
}

setup() {
	units=$SHMALLOC_BUILD/inst/lib/systemd/system
	[ -e "$units/shmallocd.service" ] || skip "built without libsystemd"
}

teardown() {
	daemon_stop
}

setting() {
	sed -n "s/^$1=//p" "$units/shmallocd.service"
}

# ---- What is written ------------------------------------------------------------

@test "systemd finds no fault with the units" {
	run -0 systemd-analyze verify --man=no "$units"/*
	[ -z "$output" ]
}

@test "the service's exposure is not above what the manual says" {
	score=$(systemd-analyze security --offline=true --no-pager \
	    "$units/shmallocd.service" |
	    sed -n 's/.*Overall exposure level.*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p')
	[ "$((10#$score))" -le "$EXPOSURE" ]
	grep -q "calls its exposure ${EXPOSURE%?}.${EXPOSURE: -1} " \
	    "$BATS_TEST_DIRNAME/../../man/shmallocd.8.scd"
}

@test "what must not be set is not" {
	for name in PrivateUsers ProtectProc ProcSubset DynamicUser; do
		[ -z "$(setting "$name")" ]
	done
	# What is told must be what is there.
	[ "$(setting FileDescriptorStoreMax)" = \
	    "$(setting Environment | sed -n 's/FDSTORE=//p')" ]
}

@test "each socket unit is of the file that it is named for" {
	for name in attach control control-ro; do
		unit=$units/shmallocd-$name.socket
		[ "$name" != attach ] || unit=$units/shmallocd.socket
		grep -qx "ListenStream=/run/shmalloc/$name" "$unit"
		grep -qx "FileDescriptorName=$name" "$unit"
		grep -qx 'Service=shmallocd.service' "$unit"
	done
}

# ---- What is done with it -------------------------------------------------------

# Start the daemon as a user of its own, with the unit's capabilities but WITHOUT,
# and a segment of the client's that a group may read.
service_start() {
	local name caps=-all without=$1 bin=$BATS_TEST_TMPDIR/bin

	[ "$(id -u)" -eq 0 ] || skip "needs root to be other users"
	shift
	for name in $(setting AmbientCapabilities); do
		name=${name#CAP_}
		[ "$name" = "$without" ] || caps+=,+${name,,}
	done
	# What is here may be out of that user's reach.
	mkdir -p "$bin" "$BATS_TEST_TMPDIR/run"
	[ -e "$bin/daemon" ] || cp "$(type -P shmallocd)" "$bin/daemon"
	cat >"$bin/shmallocd" <<-END
		#!/bin/sh
		exec setpriv --reuid $DAEMON_UID --regid $DAEMON_UID \
		    --clear-groups --no-new-privs --bounding-set=$caps \
		    --inh-caps=$caps --ambient-caps=$caps $bin/daemon "\$@"
	END
	chmod +x "$bin/shmallocd"
	chmod o+x "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" \
	    "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/*
	chown "$DAEMON_UID:$DAEMON_UID" "$BATS_TEST_TMPDIR/run"
	PATH=$bin:$PATH daemon_start --no-keeper --segment theirs:8M \
	    -p theirs:owner=$CLIENT_UID -p theirs:group=$CLIENT_GID \
	    -p theirs:mode=0640 "$@"
}

# Attach as USER and GROUP with wire.py's ARGUMENTS, do what WORD says.
attach_once() {
	WIRE_UID=$1 WIRE_GID=$2 timeout 20 \
	    "$BATS_TEST_DIRNAME/../tools/wire.py" attach "$SHMALLOC_SOCKET" \
	    segment=theirs "${@:4}" <<<"$3"
}

# Start a client of theirs in the background; $client is its PID, $client_in
# where it hears words.
client_start() {
	local fifo=$BATS_TEST_TMPDIR/client.in

	rm -f "$fifo"
	mkfifo "$fifo"
	(
		inherited_close
		export WIRE_UID=$CLIENT_UID WIRE_GID=$CLIENT_GID
		exec "$BATS_TEST_DIRNAME/../tools/wire.py" attach \
		    "$SHMALLOC_SOCKET" segment=theirs
	) <"$fifo" >"$BATS_TEST_TMPDIR/client.out" 2>&1 &
	client=$!
	HOLDERS+=("$client")
	exec {client_in}>"$fifo"
	HOLDER_INS+=("$client_in")
	echo map >&"$client_in"
	wait_for grep -q '^done' "$BATS_TEST_TMPDIR/client.out"
}

state_is() {
	[ "$(shmallocctl --json --segment theirs clients "$client" |
	    jq -r ".[0].state")" = "$1" ]
}

@test "as its unit says, the daemon serves other users and their segments" {
	service_start none --save "$BATS_TEST_TMPDIR/run/saved"
	run -0 attach_once 60001 "$CLIENT_GID" write read_only=1
	[[ $output == "error 0 fds 2 "*"writable: no way"* ]]
	run -0 attach_once "$CLIENT_UID" "$CLIENT_GID" write
	[[ $output == "error 0 fds 2 "*"writable: store"* ]]
	client_start
	run -0 shmallocctl --segment theirs clients evict "$client" --yes
	wait_for state_is reclaimed
	# One that becomes another program is seen not to have it mapped.
	client_start
	echo exec >&"$client_in"
	wait_for state_is reclaimed
	kill -KILL "$client"
	# One at work is held still for a save.
	client_start
	kill -TERM "$DAEMON_PID"
	wait "$DAEMON_PID"
	DAEMON_PID=
	kill -KILL "$client"
	[ -s "$BATS_TEST_TMPDIR/run/saved" ]
}

@test "CAP_CHOWN: without it there is no segment of another user" {
	run service_start CHOWN
	[ "$status" -ne 0 ]
	grep 'theirs' "$BATS_TEST_TMPDIR/daemon.log"
}

@test "CAP_DAC_READ_SEARCH: without it nobody reads another user's segment" {
	service_start DAC_READ_SEARCH
	run -0 attach_once 60001 "$CLIENT_GID" write read_only=1
	[[ $output != "error 0 "* ]]
	run -0 attach_once "$CLIENT_UID" "$CLIENT_GID" write
	[[ $output == "error 0 fds 2 "* ]]
}

@test "CAP_KILL: without it another user's client is not evicted" {
	service_start KILL
	client_start
	run -4 shmallocctl --segment theirs clients evict "$client" --yes
	state_is alive
}

@test "CAP_SYS_PTRACE: without it an orphan is kept, and a save left out" {
	service_start SYS_PTRACE --save "$BATS_TEST_TMPDIR/run/saved"
	client_start
	echo exec >&"$client_in"
	wait_for state_is orphaned
	kill -KILL "$client"
	wait_for state_is reclaimed
	client_start
	kill -TERM "$DAEMON_PID"
	status=0
	wait "$DAEMON_PID" || status=$?
	[ "$status" -eq 1 ]
	DAEMON_PID=
	kill -KILL "$client"
}

# Its system calls, from strace, against what systemd lets through.
@test "the daemon makes no system call that its unit refuses" {
	[[ $CC != *sanitize* ]] || skip "sanitizers make calls of their own"
	trace=$BATS_TEST_TMPDIR/trace
	save=$BATS_TEST_TMPDIR/saved
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/shmallocd" <<-END
		#!/bin/sh
		exec strace -f -qq -c -U name -o "$trace" "$(type -P shmallocd)" "\$@"
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/shmallocd"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH daemon_start --no-keeper --save "$save" \
	    --http "unix:$BATS_TEST_TMPDIR/http"
	curl -sf --unix-socket "$BATS_TEST_TMPDIR/http" \
	    http://localhost/metrics >/dev/null
	holder_start
	holder_tell alloc 64 1000
	holder_tell alloc 400000 10
	shmallocctl stats --exact
	shmallocctl map
	shmallocctl check --repair
	shmallocctl segment create other --size 8M
	shmallocctl segment destroy other --yes
	shmallocctl tune set decay_ms=1
	shmallocctl trim
	kill -KILL "$HOLDER_PID"
	wait_for figure_is .objects 0
	holder_start
	pid=$(server_pid)
	kill -HUP "$pid"
	wait_for grep -q 'read again' "$DAEMON_LOG"
	kill -TERM "$pid"
	wait "$DAEMON_PID"
	DAEMON_PID=
	allowed=$(for set in $(setting SystemCallFilter); do
		[[ $set == @* ]] || { echo "$set"; continue; }
		systemd-analyze --no-pager syscall-filter |
		    awk -v set="$set" '
			/^[^ ]/ { group = $1 }
			/^    [a-z@]/ { member[group] = member[group] " " $1 }
			function expand(name,  list, n, i) {
				if (name !~ /^@/) { print name; return }
				n = split(member[name], list, " ")
				for (i = 1; i <= n; i++)
					expand(list[i])
			}
			END { expand(set) }'
	done | sort -u)
	[ "$(wc -w <<<"$allowed")" -gt 100 ]
	used=$(awk '$1 ~ /^[a-z_0-9]+$/ && $1 != "syscall" && $1 != "total" { print $1 }' "$trace" |
	    sort -u)
	# exec is systemd's own.
	[ "$(wc -w <<<"$used")" -gt 20 ]
	refused=$(comm -13 <(echo "$allowed") <(echo "$used"))
	echo "refused: $refused"
	[ -z "$refused" ]
}
