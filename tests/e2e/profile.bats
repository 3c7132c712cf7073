# The heap profile, opened by pprof itself.  Shares are estimates: some 700
# samples each, so that a sixth is beyond four standard deviations; and a
# client's draws are the same each time.
load helper

setup_file()
{
	CC="$CC -g" client_build profiled.c
	mv "$BATS_FILE_TMPDIR/profiled" "$BATS_FILE_TMPDIR/fixed"
	CC="$CC -g -no-pie" client_build profiled.c
	mv "$BATS_FILE_TMPDIR/profiled" "$BATS_FILE_TMPDIR/unmoved"
	mv "$BATS_FILE_TMPDIR/fixed" "$BATS_FILE_TMPDIR/profiled"
	client_build interrupt.c
	client_build fork.c
	PPROF=$(HOME=$BATS_FILE_TMPDIR go env GOTOOLDIR)/pprof
	export PPROF
}

setup()
{
	export HOLDER=$BATS_FILE_TMPDIR/profiled
	PROFILE=$BATS_TEST_TMPDIR/heap.pb.gz
}

teardown()
{
	daemon_stop
}

# Go's pprof, which reads nothing of the user's.
pprof()
{
	HOME=$BATS_TEST_TMPDIR PPROF_TMPDIR=$BATS_TEST_TMPDIR "$PPROF" "$@"
}

profile_take()
{
	shmallocctl profile -o "$PROFILE" >&2
}

# How many bytes, or with -sample_index=inuse_objects objects, are below
# FUNCTION: cum FUNCTION [ARGUMENTS OF PPROF]; 0 if it isn't there.
cum()
{
	pprof -top -unit=B -nodefraction=0 -edgefraction=0 "${@:2}" "$PROFILE" \
	    2>"$BATS_TEST_TMPDIR/pprof.err" |
	    awk -v name="$1" '$6 == name { sum = $4 + 0 } END { print sum + 0 }'
}

# Is A within a sixth of B?
near()
{
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b * 5 / 6 && a < b * 7 / 6) }' || {
		echo "$1 is not near $2" >&2
		return 1
	}
}

# Two clients; the second has its calls the other way round.
two_clients()
{
	daemon_start --size 256M -p profile.sample_bytes=16K
	holder_start
	first=$HOLDER_PID
	holder_tell orders 30000 300
	holder_tell sessions 3000 1000
	holder_start
	second=$HOLDER_PID
	holder_tell orders 3000 1000
	holder_tell sessions 60000 150
}

@test 'pprof shows the functions that allocated, and how much' {
	two_clients
	profile_take
	near "$(cum orders_load)" 12000000
	near "$(cum sessions_load)" 12000000
	near "$(cum object_make)" 24000000
	near "$(cum main)" 24000000
	near "$(cum orders_load -sample_index=inuse_objects)" 33000
	near "$(cum sessions_load -sample_index=inuse_objects)" 63000
	# None of the library's own is in it.
	pprof -top "$PROFILE" | grep 'inuse_space'
	[ "$(pprof -raw "$PROFILE" | grep -c libshmalloc)" = 0 ]
}

@test 'its labels part clients and arenas' {
	local arena sum=0

	two_clients
	profile_take
	near "$(cum orders_load -tagfocus="client=^$first profiled")" 9000000
	near "$(cum sessions_load -tagfocus="client=^$first profiled")" 3000000
	near "$(cum orders_load -tagfocus="client=^$second profiled")" 3000000
	near "$(cum sessions_load -tagfocus="client=^$second profiled")" 9000000
	for arena in $(shmallocctl stats --json | jq '.arenas[].id'); do
		((sum += $(cum object_make -tagfocus="arena=^$arena\$"))) || :
	done
	[ "$sum" = "$(cum object_make)" ]
	pprof -tags "$PROFILE" >"$BATS_TEST_TMPDIR/tags"
	grep -q 'client: Total' "$BATS_TEST_TMPDIR/tags"
	grep -q 'arena: Total' "$BATS_TEST_TMPDIR/tags"
}

@test 'what was freed is gone, and what was published outlives its client' {
	two_clients
	holder_tell sell
	profile_take
	near "$(cum orders_load)" 9000000
	[ "$(cum orders_load -tagfocus="client=^$second")" = 0 ]
	holder_tell publish
	kill -KILL "$first" "$second"
	wait_for eval '[ "$(shmallocctl clients --json |
	    jq "[.[] | select(.state == \"reclaimed\")] | length")" = 2 ]'
	profile_take
	[ "$(cum orders_load)" = 0 ]
	# The first one's are gone with it, the second's were given away.
	[ "$(cum object_make -tagfocus="client=^$first")" = 0 ]
	near "$(cum sessions_load -tagfocus="client=^$second")" 9000000
	near "$(cum sessions_load -tagfocus=ownership=published)" 9000000
}

@test 'it outlives the daemon, and takes in programs at fixed addresses' {
	daemon_start --size 256M -p profile.sample_bytes=16K
	HOLDER=$BATS_FILE_TMPDIR/unmoved holder_start
	holder_tell orders 30000 300
	holder_start
	holder_tell sessions 30000 300
	server_kill
	profile_take
	near "$(cum orders_load)" 9000000
	near "$(cum sessions_load)" 9000000
}

@test 'without a rate there is none, which is said' {
	daemon_start
	holder_start
	holder_tell orders 30000 300
	run -1 --separate-stderr shmallocctl profile -o "$PROFILE"
	[[ $stderr == *'the heap profile is off'*'tune set profile.sample_bytes='* ]]
	[ ! -e "$PROFILE" ]
	run -1 --separate-stderr shmallocctl --json profile
	jq -e '.schema == "shmalloc.profile/1" and .sample_bytes == 0 and
	    .taken == 0 and .samples == 0' <<<"$output"
	# As of the next refill, for what is allocated from then on.
	shmallocctl tune set profile.sample_bytes=16K
	holder_tell sessions 60000 150
	run -0 shmallocctl profile -o "$PROFILE"
	[[ $output == "$PROFILE: "*' samples' ]]
	near "$(cum sessions_load)" 9000000
	[ "$(cum orders_load)" = 0 ]
	# What was sampled stays.
	shmallocctl tune set profile.sample_bytes=0
	run -0 --separate-stderr shmallocctl profile -o "$PROFILE"
	[[ $stderr == *'off'* ]]
	near "$(cum sessions_load)" 9000000
}

@test 'it goes to a pipe, and not to a terminal' {
	two_clients
	shmallocctl profile | cat >"$PROFILE"
	near "$(cum object_make)" 24000000
	run -2 script -qec 'shmallocctl profile' /dev/null </dev/null
	[[ $output == *'not for a terminal'*'profile -o FILE'* ]]
	run -70 shmallocctl profile -o "$BATS_TEST_TMPDIR/no/where"
	run -0 shmallocctl --json profile -o "$PROFILE.2"
	jq -e '.samples > 500 and .lost == 0 and .pprof == null' <<<"$output"
	pprof -top "$PROFILE.2" | grep -q orders_load
}

@test 'pprof fetches it over HTTP' {
	local port

	daemon_start --http 127.0.0.1:0 -p profile.sample_bytes=16K
	port=$(sed -n 's/.*http: listening on .*://p' "$DAEMON_LOG" | tail -n 1)
	holder_start
	holder_tell orders 30000 300
	PROFILE=http://127.0.0.1:$port/debug/pprof/heap
	# Else it asks for names there, too, which the daemon doesn't know.
	near "$(cum orders_load -symbolize=local)" 9000000
	[ "$(curl -s -o /dev/null -w '%{http_code} %{content_type}' \
	    "$PROFILE?segment=none")" = '404 text/plain; charset=utf-8' ]
}

@test 'a segment that is full of samples says how many it lost' {
	daemon_start --size 256M -p profile.sample_bytes=1
	holder_start
	holder_tell orders 20000 100
	run -0 --separate-stderr shmallocctl --json profile
	jq -e '.samples > 10000 and .samples + .lost >= 15000' <<<"$output"
	[[ $stderr == *'raise profile.sample_bytes'* ]]
}

@test 'handlers and jumps do no harm while most is sampled' {
	local name

	daemon_start --size 256M -p profile.sample_bytes=64
	for name in deeper_after_jump handler_after_jump call_in_handler \
	    call_in_handler_elsewhere jump_from_elsewhere; do
		"$BATS_FILE_TMPDIR/interrupt" "$name"
	done
	shmallocctl --json profile | jq -e '.taken > 1000'
}

@test 'children of threads that sample are sound' {
	case $CC in
	*sanitize*) skip 'its allocator is not sound in a child of threads' ;;
	esac
	daemon_start --size 256M -p profile.sample_bytes=64
	"$BATS_FILE_TMPDIR/fork" threads_inside
	shmallocctl --json profile | jq -e '.taken > 1000 and .samples == 0'
}
