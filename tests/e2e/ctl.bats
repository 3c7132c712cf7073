# shmallocctl with a daemon and clients: every command's text, JSON and codes.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	daemon_stop
}

# The value at a jq PATH of the statistics.
stat_of()
{
	shmallocctl stats --exact --json | jq -r "$1"
}

# Is the byte identity exact?
identity_holds()
{
	shmallocctl stats --exact --json | jq -e '
		.segment.size_bytes == ([.bytes | .in_use_chunks, .cached,
		    .pending, .free_binned, .free_fast, .free_top,
		    .extents_used, .extents_free, .metadata, .unused] | add)'
}

@test 'status is one line, and 0 while the segment is up' {
	daemon_start --size 64M
	run -0 --separate-stderr shmallocctl status
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == 'default: ok  up '*'started cold'* ]]
	[[ $output == *" of 67108864 used"*"pid $(server_pid)"* ]]
	[ -z "$stderr" ]
	run -0 shmallocctl status --json
	[ "$(jq -r .schema <<<"$output")" = shmalloc.status/1 ]
	# Its parent is the keeper.
	[ "$(awk '/^PPid:/ { print $2 }' \
	    "/proc/$(jq .daemon.pid <<<"$output")/status")" = "$DAEMON_PID" ]
	[ "$(jq .segment.limit_bytes <<<"$output")" = 67108864 ]
}

@test 'a segment that does not exist is rejected, and the message names it' {
	daemon_start
	for word in status stats clients locks latency map 'tune list' trim \
	    roots; do
		run -5 --separate-stderr shmallocctl --segment nowhere $word
		[ -z "$output" ]
		[[ $stderr == *nowhere* ]]
	done
	run -8 shmallocctl --segment nowhere check
}

@test 'the JSON of stats has the keys that were promised' {
	daemon_start
	run -0 shmallocctl stats --json
	jq -e '.schema == "shmalloc.stats/1" and .exact == false and
	    (.time | type) == "number" and
	    (.daemon | has("version") and has("pid") and
		has("uptime_seconds") and has("start_mode")) and
	    (.segment | has("name") and has("size_bytes") and
		has("limit_bytes") and has("reserved_bytes") and
		has("layout") and has("created")) and
	    (.bytes | [has("requested", "allocated", "in_use_chunks",
		"cached", "pending", "free_binned", "free_fast", "free_top",
		"extents_used", "extents_free", "metadata", "active",
		"resident", "retained", "unused")] | all) and
	    (.failures | [has("full", "fragmented", "quota", "too_large",
		"reader")] | all) and
	    (.clients | has("alive") and has("reclaimed_total")) and
	    (.recoveries | [has("locks", "clients", "chunks", "bytes")] |
		all) and
	    (.arenas[0] | [has("id", "state", "size_bytes", "used_bytes",
		"cached_bytes", "free_bytes", "largest_free_bytes")] | all)
	    ' <<<"$output"
	[ "$(stat_of .exact)" = true ]
}

@test 'stats show what a client holds, and that it comes back' {
	daemon_start
	holder_start
	local before
	before=$(stat_of .bytes.allocated)
	holder_tell alloc 1000 500
	(($(stat_of .bytes.allocated) >= before + 500000))
	(($(stat_of .objects) >= 500))
	identity_holds
	run -0 shmallocctl stats
	[[ ${lines[0]} == 'shmalloc '*"segment default  pid $(server_pid)"* ]]
	[[ ${lines[1]} == 'clients 1 (1 alive)'* ]]
	[[ ${lines[2]} == ARENA*SIZE*USED*STATE ]]
	holder_tell free
	[ "$(stat_of .bytes.allocated)" = "$before" ]
	identity_holds
}

@test 'a fragmented arena is called so, with a hint that can be followed' {
	# One arena: the daemon's look into it may send the client elsewhere.
	daemon_start --size 128M -p tcache.count=0 -p arena.max=1
	holder_start
	# 2016 bytes each, 1040 in a region of 2 MiB: no top is left.
	holder_tell alloc 2000 $((29 * 1040))
	run -0 --separate-stderr shmallocctl stats
	[ -z "$stderr" ]
	holder_tell sieve
	run -0 --separate-stderr shmallocctl stats
	[[ $output == *' fragmented'* ]]
	[[ $stderr == 'hint: arena 0 cannot serve 65536 although '* ]]
	[[ $stderr == *'`shmallocctl map --arena 0`' ]]
	run -0 shmallocctl map --arena 0
	[ "$(stat_of '.arenas[0].state')" = fragmented ]
	[ "$(stat_of '.arenas[0].unusable_ratio > 0.8')" = true ]
	[ "$(stat_of '.fragmentation.unusable |
	    map(select(.size_bytes == 64))[0].ratio < 0.1')" = true ]
	identity_holds
}

@test 'crumbs between objects are no fragmented arena, nor is one with room' {
	daemon_start --size 128M -p tcache.count=0 -p arena.max=1
	holder_start
	# Just less than a mebibyte, all of it in pieces of 2 KiB.
	holder_tell alloc 2000 1040
	holder_tell sieve
	holder_tell alloc 2000 20
	[ "$(stat_of '.arenas[0].unusable_ratio')" = 1 ]
	[ "$(stat_of '.arenas[0].state')" = ok ]
	holder_tell alloc 2000 $((29 * 1040 - 540))
	holder_tell sieve
	shmallocctl tune set frag.reference_size=2000
	[ "$(stat_of '.arenas[0].unusable_ratio < 0.5')" = true ]
	[ "$(stat_of '.arenas[0].state')" = ok ]
	shmallocctl tune set frag.reference_size=4K
	[ "$(stat_of '.arenas[0].state')" = fragmented ]
}

@test 'stats by bin and by client have a line for each' {
	daemon_start
	holder_start
	holder_tell alloc 100 10
	run -0 --separate-stderr shmallocctl stats --exact --by bin
	[[ $output == *BIN*SIZE*ALLOCS*FREES*MISSES*LIVE* ]]
	run -0 --separate-stderr shmallocctl stats --by client
	[[ $output == *PID*COMMAND*STATE*HELD* ]]
	grep -q "^ *$HOLDER_PID " <<<"$output"
	run -0 shmallocctl stats --by client --json
	[ "$(jq '.by_client[0].pid' <<<"$output")" = "$HOLDER_PID" ]
	[ "$(shmallocctl stats --exact --json |
	    jq '[.bins[].live] | add >= 10')" = true ]
}

@test 'bins say what was allocated and freed of a size, and what a cache had' {
	local bin='.bins[] | select(.size_bytes == 112)'

	daemon_start
	holder_start
	holder_tell alloc 100 3000
	holder_tell free
	holder_tell alloc 100 500
	holder_tell sieve
	# A miss tells what came before it.
	holder_tell alloc 100 3000
	holder_tell free
	holders_stop
	wait_for figure_is "$bin.allocs" 6500
	run -0 shmallocctl stats --json
	jq -e "$bin | .frees == 6500 and .cache_hits + .cache_misses == 6500 and
	    .cache_misses > 0 and .cache_misses < 650" <<<"$output"
}

@test 'watch prints an object a line, as often as count says' {
	daemon_start
	run -0 shmallocctl stats --json --watch 0.01 --count 3
	[ "${#lines[@]}" -eq 3 ]
	for line in "${lines[@]}"; do
		jq -e '.schema == "shmalloc.stats/1"' <<<"$line"
	done
	run -0 shmallocctl stats --watch 0.01 --count 2
	[ "$(grep -c '^shmalloc ' <<<"$output")" -eq 2 ]
}

@test 'clients lists who is there, and after a death what came back' {
	daemon_start
	HOLDER_LABEL='worker 7' holder_start
	holder_tell alloc 1000 100
	run -0 shmallocctl clients
	[[ ${lines[0]} == *PID*USER*COMMAND*LABEL*STATE*HELD*CHUNKS*CACHED* ]]
	[[ ${lines[1]} == *"$HOLDER_PID"*holder*'worker 7'*alive* ]]
	run -0 shmallocctl clients "$HOLDER_PID" --json
	[ "$(jq length <<<"$output")" -eq 1 ]
	(($(jq '.[0].held_bytes' <<<"$output") >= 50000)) # it lags
	kill -KILL "$HOLDER_PID"
	wait_for sh -c "shmallocctl clients $HOLDER_PID --json |
	    jq -e '.[0].state == \"reclaimed\"'"
	run -0 shmallocctl clients "$HOLDER_PID" --json
	(($(jq '.[0].reclaimed_bytes' <<<"$output") >= 100000))
	(($(jq '.[0].reclaimed_chunks' <<<"$output") >= 100))
	[ "$(stat_of .clients.alive)" = 0 ]
	[ "$(stat_of .clients.reclaimed_total)" = 1 ]
	identity_holds
}

@test 'a PID that is no client is no' {
	daemon_start
	run -1 --separate-stderr shmallocctl clients 1
	[ -z "$output" ]
	[[ $stderr == *'no client has the PID 1'* ]]
	run -1 --separate-stderr shmallocctl clients 1 --json
	[ "$output" = '[]' ]
	run -0 --separate-stderr shmallocctl clients --json
	[ "$output" = '[]' ]
}

@test 'a terminal gets no escapes from a client that calls itself some' {
	daemon_start
	HOLDER_LABEL=$'\033[2Jx\377' holder_start
	run -0 shmallocctl clients
	[[ $output != *$'\033'* ]]
	shmallocctl clients --json | jq -e '.[0].label | length > 0'
}

@test 'the map classifies every byte and always has its legend' {
	daemon_start
	holder_start
	holder_tell alloc 4000 200
	holder_tell publish cache 5000
	run -0 shmallocctl map --ascii
	[[ $output == *'arena 0'*'a cell is '* ]]
	for class in owned shared cached pending fastbin free top tail \
	    'used extent' 'free extent' unused metadata; do
		[[ $output == *" $class "* ]]
	done
	[ -z "$(tr -d '\n -~' <<<"$output")" ]
	run -0 shmallocctl map --json
	jq -e '([.legend[].bytes] | add) == ([.arenas[].size_bytes] | add)' \
	    <<<"$output"
	jq -e '.cell_bytes as $cell | .arenas | all(
	    (.cells | length) == ((.size_bytes + $cell - 1) / $cell | floor))' \
	    <<<"$output"
	run -0 shmallocctl map --arena 0 --width 16 --ascii
	[ "$(shmallocctl map --arena 0 --json | jq '.arenas | length')" = 1 ]
	run -5 shmallocctl map --arena 999
}

@test 'tune list shows value, default and source of every parameter' {
	daemon_start
	run -0 shmallocctl tune list
	[[ ${lines[0]} == NAME*VALUE*DEFAULT*SOURCE ]]
	local name
	for name in mmap_threshold trim_threshold top_pad fastbin.max \
	    fastbin.limit tcache.count tcache.max decay_ms arena.max \
	    limit.hard limit.client; do
		grep -q "^$name " <<<"$output"
	done
	run -0 shmallocctl tune list --json
	jq -e 'all(has("name", "value", "default", "min", "max", "unit",
	    "source", "effect", "description"))' <<<"$output"
	run -0 shmallocctl tune list -l
	[[ $output == *'How long a free page stays resident'* ]]
}

@test 'tune set changes, says from what to what, and reset undoes' {
	daemon_start
	run -0 shmallocctl tune set decay_ms=2s top_pad=256K
	[[ ${lines[0]} == 'decay_ms '*'10000 -> 2000 '*applied ]]
	[[ ${lines[1]} == 'top_pad '*'131072 -> 262144 '*applied ]]
	[ "$(shmallocctl tune get decay_ms)" = 2000 ]
	run -0 shmallocctl tune list --changed --json
	[ "$(jq -r 'map(.name + " " + .source) | join(",")' <<<"$output")" = \
	    'top_pad runtime,decay_ms runtime' ]
	run -0 shmallocctl tune reset decay_ms
	[[ $output == 'decay_ms '*'2000 -> 10000 '*applied ]]
	run -0 shmallocctl tune reset --all --json
	[ "$(jq -r '.[0].name' <<<"$output")" = top_pad ]
	[ "$(shmallocctl tune list --changed --json)" = '[]' ]
}

@test 'tune set --dry-run changes nothing' {
	daemon_start
	run -0 shmallocctl tune set decay_ms=2s --dry-run
	[[ $output == 'decay_ms '*'10000 -> 2000 '*'dry run' ]]
	[ "$(shmallocctl tune get decay_ms)" = 10000 ]
	run -5 shmallocctl tune set decay_ms=2h --dry-run
}

@test 'a value out of range is rejected with the range, all or nothing' {
	daemon_start
	run -5 --separate-stderr shmallocctl tune set mmap_threshold=1K
	[ -z "$output" ]
	[ "$stderr" = 'shmallocctl: mmap_threshold: 1K is below the minimum 4K (unchanged)' ]
	run -5 --separate-stderr \
	    shmallocctl tune set decay_ms=5s mmap_threshold=2M
	[[ $stderr == *'mmap_threshold: 2M is above the maximum 1M'* ]]
	[ "$(shmallocctl tune get decay_ms)" = 10000 ]
	run -5 --separate-stderr shmallocctl tune set decay_ms=soon
	[[ $stderr == *decay_ms*soon* ]]
	run -5 --separate-stderr shmallocctl tune set misuse=explode
	[[ $stderr == *misuse*explode* ]]
}

@test 'an unknown parameter gets a suggestion' {
	daemon_start
	run -2 --separate-stderr shmallocctl tune set mmap_treshold=256K
	[[ $stderr == *"did you mean 'mmap_threshold'?"* ]]
	run -2 --separate-stderr shmallocctl tune get decay
	[[ $stderr == *"did you mean 'decay_ms'?"* ]]
	run -2 --separate-stderr shmallocctl tune reset xyzzy
	[[ $stderr != *'did you mean'* ]]
}

@test 'words are the values of parameters that have words' {
	daemon_start
	run -0 shmallocctl tune set misuse=warn
	[[ $output == 'misuse '*'ignore -> warn '*applied ]]
	[ "$(shmallocctl tune get misuse)" = warn ]
}

@test 'trim gives back what is free, and says so before with --dry-run' {
	daemon_start -p decay_ms=1h
	holder_start
	holder_tell alloc 100000 200
	holder_tell free
	local could
	could=$(shmallocctl trim --dry-run --json | jq .bytes)
	((could > 0))
	(($(shmallocctl trim --json | jq .bytes) > 0))
	(($(shmallocctl trim --dry-run --json | jq .bytes) < could))
	run -0 shmallocctl trim
	[[ $output == *'given back to the system' ]]
	run -5 shmallocctl trim --arena 999
}

@test 'check is clean, in text and in JSON' {
	daemon_start
	holder_start
	holder_tell alloc 100 1000
	run -0 --separate-stderr shmallocctl check
	[[ $output == 'clean: '* ]]
	run -0 shmallocctl check --json
	jq -e '.schema == "shmalloc.check/1" and .left == 0 and
	    .findings == []' <<<"$output"
}

@test 'check says 4 and what it found when a client damaged the segment' {
	daemon_start
	holder_start
	holder_tell alloc 5000 10
	holder_tell scribble
	DAMAGED=1
	run -4 --separate-stderr shmallocctl check
	[[ $output == *'arena 0: I'*' left' ]]
	run -4 --separate-stderr shmallocctl check --json
	jq -e '.left > 0 and (.findings | length) > 0' <<<"$output"
}

@test 'segments are created, used apart, and destroyed' {
	daemon_start
	run -0 shmallocctl segment create other --size 32M --mode 0640
	run -5 --separate-stderr \
	    shmallocctl segment create other --size 32M
	[[ $stderr == *other* ]]
	run -0 shmallocctl segment list
	[[ ${lines[0]} == NAME*SIZE*USED*LIMIT*CLIENTS*MODE*OWNER*GROUP ]]
	[[ $output == *default*other* || $output == *other*default* ]]
	run -0 shmallocctl segment list --json
	[ "$(jq -c 'map(select(.name == "other")) |
	    .[0] | [.limit_bytes, .mode]' <<<"$output")" = '[33554432,416]' ]
	holder_start other
	holder_tell alloc 1000 10
	[ "$(shmallocctl --segment other clients --json | jq length)" = 1 ]
	[ "$(shmallocctl clients --json | jq length)" = 0 ]
	run -5 --separate-stderr shmallocctl segment destroy other --yes
	run -0 shmallocctl segment destroy other --yes --force
	run -5 --separate-stderr shmallocctl segment destroy other --yes
	[ "$(shmallocctl segment list --json | jq length)" = 1 ]
}

@test 'a segment name that makes no sense is rejected' {
	daemon_start
	run -5 shmallocctl segment create '' --size 32M
	run -5 shmallocctl segment create 'a/b' --size 32M
	run -5 shmallocctl segment create "$(printf 'x%.0s' {1..64})" --size 32M
	run -5 shmallocctl segment create small --size 1
	[ "$(shmallocctl segment list --json | jq length)" = 1 ]
}

@test 'roots are listed, and removed only when they hold nothing' {
	daemon_start
	[ "$(shmallocctl roots --json)" = '[]' ]
	holder_start
	holder_tell publish cache 5000
	run -0 shmallocctl roots
	[[ ${lines[0]} == NAME*SLOT*OBJECT*SIZE ]]
	[[ ${lines[1]} == cache\ * ]]
	(($(shmallocctl roots --json | jq '.[0].size_bytes') >= 5000))
	run -5 --separate-stderr shmallocctl roots --remove cache --yes
	holder_tell withdraw cache
	run -0 shmallocctl roots --remove cache --yes
	[ "$(shmallocctl roots --json)" = '[]' ]
	run -5 --separate-stderr shmallocctl roots --remove cache --yes
}

@test 'a reader that stays inside is seen' {
	daemon_start
	holder_start
	holder_tell enter
	local pid=$HOLDER_PID
	holder_start
	holder_tell publish x 100
	holder_tell withdraw x
	holder_tell publish x 100
	holder_tell withdraw x
	(($(shmallocctl clients "$pid" --json | jq '.[0].reader_lag') > 0))
	(($(stat_of .bytes.pending) > 0))
}

@test 'version names both programs' {
	daemon_start
	run -0 shmallocctl version
	[[ ${lines[0]} == 'shmallocctl '* ]]
	[[ ${lines[1]} == 'shmallocd '*'protocol 1  layout 1' ]]
	jq -e '.shmallocd.protocol == 1' < <(shmallocctl version --json)
}

@test 'headings are left out with --no-headings' {
	daemon_start
	run -0 shmallocctl tune list --no-headings
	[[ ${lines[0]} != NAME* ]]
	run -0 shmallocctl segment list --no-headings
	[[ ${lines[0]} == default* ]]
}

@test 'on a terminal sizes are for people, with --bytes in bytes' {
	daemon_start
	run -0 script -qec 'shmallocctl segment list --no-color' /dev/null
	[[ $output == *' 64M '* ]]
	run -0 script -qec 'shmallocctl segment list --bytes' /dev/null
	[[ $output == *' 67108864 '* ]]
}

@test 'colours are for terminals that want them' {
	daemon_start
	export TERM=xterm
	run -0 script -qec 'shmallocctl status' /dev/null
	[[ $output == *$'\033[32m'* ]]
	run -0 script -qec 'NO_COLOR=1 shmallocctl status' /dev/null
	[[ $output != *$'\033['* ]]
	run -0 script -qec 'shmallocctl status --no-color' /dev/null
	[[ $output != *$'\033['* ]]
	run -0 script -qec 'TERM=dumb shmallocctl status' /dev/null
	[[ $output != *$'\033['* ]]
	run -0 shmallocctl status
	[[ $output != *$'\033['* ]]
}

@test 'who may not use control gets control-ro, and 4 for what changes' {
	[ "$(id -u)" -eq 0 ] || skip 'needs root to become another user'
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR"
	daemon_start
	chmod 755 "$SHMALLOC_SOCKET"
	as_nobody()
	{
		setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
	}
	run -0 as_nobody shmallocctl status
	run -0 as_nobody shmallocctl stats
	run -4 --separate-stderr as_nobody shmallocctl tune set decay_ms=1s
	[[ $stderr == *'control-ro'* ]]
	run -4 as_nobody shmallocctl trim
	run -4 as_nobody shmallocctl segment create x --size 32M
	run -4 as_nobody shmallocctl segment destroy default --yes
	run -8 as_nobody shmallocctl check --repair
	[ "$(shmallocctl tune get decay_ms)" = 10000 ]
}

@test 'while the daemon is killed and away the answer is 3' {
	daemon_start --no-keeper
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" || :
	DAEMON_PID=
	run -3 --separate-stderr shmallocctl status
	[[ $stderr == *'nobody listens'* ]]
	run -8 shmallocctl check
	daemon_start
	run -0 shmallocctl status
}
