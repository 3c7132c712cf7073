# Caches as an operator sees and changes them: shmallocctl cache, and the
# daemon's metrics.
load helper

setup_file() {
	client_build cache_scene.c
}

teardown() {
	[ -z "${STOPPED-}" ] || kill -CONT "$STOPPED" 2>/dev/null || :
	daemon_stop
}

scene() {
	"$BATS_FILE_TMPDIR/cache_scene" "$@"
}

# A value of the cache NAME, by its path for jq.
cache_figure() {
	shmallocctl cache stats "$1" --json | jq ".[0]$2"
}

# The JSON of caches on stdin without what changes by itself.
ageless() {
	jq -c 'del(.[].age_oldest_seconds, .[].age_median_seconds)'
}

@test "list has every cache and no other root, by name" {
	daemon_start
	[ "$(shmallocctl cache list --json)" = '[]' ]
	run -0 shmallocctl cache list
	[ -z "$output" ]
	scene two 0 fill 10 100
	scene one 1000000 fill 20 100 get 25
	holder_build
	holder_start
	holder_tell publish other 20000
	run -0 shmallocctl cache list --no-headings
	[ "${#lines[@]}" = 2 ]
	[[ ${lines[0]} =~ ^one\ +20\ +[0-9]+\ +1000000\ +80%\ +20\ +5\ +20\ +0\ +0\ +0$ ]]
	[[ ${lines[1]} =~ ^two\ +10\ +[0-9]+\ +-\ +-\ +0\ +0\ +10\ +0\ +0\ +0$ ]]
	[ "$(shmallocctl cache list --json | jq -c '[.[].cache]')" = \
	    '["one","two"]' ]
	[ "$(shmallocctl stats --json | jq .caches | ageless)" = \
	    "$(shmallocctl cache list --json | ageless)" ]
	# It is not there any more.
	scene one 0 destroy
	[ "$(shmallocctl cache list --json | jq -c '[.[].cache]')" = '["two"]' ]
	scene two 0 destroy
	holder_tell withdraw other
}

@test "stats counts what was done" {
	daemon_start
	# Twice as much as fits.
	scene pages 200000 fill 600 500 get 600 ttl 1 set short lived
	run -0 shmallocctl cache stats pages --json
	jq -e '.[0] | .cache == "pages" and .stores == 601 and
	    .hits + .misses == 600 and .hits > 100 and
	    (.hit_ratio * 600 - .hits | fabs < 0.001) and
	    .evicted.limit > 200 and .evicted.memory == 0 and
	    .evicted.limit + .evicted.place + .expired + .entries == 601 and
	    .used_bytes <= .limit_bytes and .limit_bytes == 200000 and
	    .table_bytes < .used_bytes and .places >= .entries and
	    .aged_entries > 0 and .aged_entries <= .entries and
	    .age_median_seconds <= .age_oldest_seconds and
	    .failed == 0 and .leases == 0' <<<"$output"
	run -0 shmallocctl cache stats
	[[ ${lines[0]} == 'cache pages  made '* ]]
	[[ $output == *"stores 601  failed 0  deletes 0"* ]]
	scene other 0
	run -0 shmallocctl cache stats
	[ "$(grep -c '^cache ' <<<"$output")" = 2 ]
	run -0 shmallocctl cache stats other
	[ "$(grep -c '^cache ' <<<"$output")" = 1 ]
	[[ $output == *'no limit'*'hit ratio -'*'median -'* ]]
	run -5 --separate-stderr shmallocctl cache stats page
	[ -z "$output" ]
	[[ $stderr == *"no cache 'page'; did you mean 'pages'?"* ]]
}

@test "one in 64 look-ups and stores is timed" {
	daemon_start
	# One thread each: no more are begun than are timed at the end.
	scene pages 0 fill 640 100 get 640 take 640
	scene pages 0 fill 63 100 get 63
	shmallocctl cache stats pages --json | jq -e '
	    [.[0].latency[].operation] == ["get", "store"] and
	    .[0].latency[0].count == 20 and .[0].latency[1].count == 10 and
	    (.[0].latency | all(.sampled_every == 64 and .sum_seconds > 0 and
		.p50_seconds <= .p99_seconds and
		.p99_seconds <= .most_seconds and
		([.buckets[].n] | add) == .count))'
	run -0 shmallocctl cache stats pages
	grep -q '^get  *20 ' <<<"$output"
	shmallocctl metrics | grep -qxF \
	    'shmalloc_shared_cache_latency_seconds_count{segment="default",cache="pages",operation="store"} 10'
}

@test "list and stats read the segment while the daemon stands still" {
	local asked

	daemon_start
	scene pages 0 fill 50 100 get 60
	asked=$(shmallocctl cache list --json | ageless)
	STOPPED=$(server_pid)
	kill -STOP "$STOPPED"
	[ "$(shmallocctl cache list --via segment --json | ageless)" = \
	    "$asked" ]
	run -0 shmallocctl cache stats pages --via segment
	[[ $output == *'hit ratio 83.3%'* ]]
}

@test "the metrics have each cache by its name, and promtool nothing to say" {
	daemon_start --segment web:16M
	scene one 1000000 fill 600 2000 get 600
	scene two 0 fill 10 100
	CACHE_SEGMENT=web scene one 0 fill 3 10
	shmallocctl metrics >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ -z "$output" ]
	grep -qx 'shmalloc_shared_cache_stores_total{segment="default",cache="one"} 600' \
	    "$BATS_TEST_TMPDIR/metrics"
	grep -qx 'shmalloc_shared_cache_stores_total{segment="web",cache="one"} 3' \
	    "$BATS_TEST_TMPDIR/metrics"
	grep -qx 'shmalloc_shared_cache_limit_bytes{segment="default",cache="one"} 1000000' \
	    "$BATS_TEST_TMPDIR/metrics"
	grep -qx 'shmalloc_shared_cache_entries{segment="default",cache="two"} 10' \
	    "$BATS_TEST_TMPDIR/metrics"
	evicted=$(cache_figure one .evicted.limit)
	((evicted > 0))
	grep -qxF "shmalloc_shared_cache_evicted_total{segment=\"default\",cache=\"one\",reason=\"limit\"} $evicted" \
	    "$BATS_TEST_TMPDIR/metrics"
	# None of them is a series of threads' caches.
	[ "$(grep -c '^# HELP shmalloc_cache_hits_total' \
	    "$BATS_TEST_TMPDIR/metrics")" = 1 ]
}

@test "get gives a value's bytes, and JSON that says how they are written" {
	daemon_start
	scene pages 0 odd set greeting 'hello "you"' set lies $'\033[2J' \
	    set c1 $'\302\2332J'
	shmallocctl cache get pages 'a\x00b\n\\\xff\xc3\xa4' \
	    >"$BATS_TEST_TMPDIR/value"
	python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))' |
	    cmp - "$BATS_TEST_TMPDIR/value"
	# Printable UTF-8 may stand for itself.
	shmallocctl cache get pages 'a\x00b\n\\\xffä' |
	    cmp - "$BATS_TEST_TMPDIR/value"
	shmallocctl cache get pages 'a\x00b\n\\\xffä' --json |
	    jq -e '.key_encoding == "base64" and .key == "YQBiClz/w6Q=" and
		.value_encoding == "base64" and .bytes == 256 and
		(.value | length) == 344 and .ttl_seconds == null'
	shmallocctl cache get pages greeting --json |
	    jq -e '.key_encoding == "utf-8" and .value == "hello \"you\"" and
		.value_encoding == "utf-8" and .stale == false'
	# A terminal is told nothing that it obeys.
	run -0 script -qec 'shmallocctl cache get pages lies' /dev/null
	[[ $output == '\x1b[2J'* ]]
	run -0 script -qec 'shmallocctl cache get pages c1' /dev/null
	[[ $output == '\xc2\x9b2J'* ]]
	run -0 script -qec 'shmallocctl cache get pages c1 --json' /dev/null
	[[ $output == *'"value": "\u009B2J"'* ]]
	run -0 shmallocctl cache get pages c1 --json
	[[ $output == *$'"value": "\302\2332J"'* ]]
	run -1 --separate-stderr shmallocctl cache get pages nothing
	[ -z "$output" ]
	[[ $stderr == *"the key isn't there"* ]]
}

@test "keys prints what get and delete read, by the pattern that is seen" {
	daemon_start
	scene pages 0 odd fill 20 10 ttl 600000 set 'two words' x
	run -0 shmallocctl cache keys pages
	[ "${#lines[@]}" = 22 ]
	[ "${lines[0]}" = 'a\x00b\n\\\xffä' ]
	while read -r key; do
		shmallocctl cache get pages "$key" >/dev/null
	done < <(shmallocctl cache keys pages)
	run -0 shmallocctl cache keys pages 'key:1?'
	[ "${#lines[@]}" = 10 ]
	run -0 shmallocctl cache keys pages '*\xff*'
	[ "$output" = 'a\x00b\n\\\xffä' ]
	run -0 shmallocctl cache keys pages -n 5
	[ "${#lines[@]}" = 5 ]
	run -1 shmallocctl cache keys pages none
	[ -z "$output" ]
	run -0 shmallocctl cache keys pages --json
	jq -e 'length == 22 and .[0].key_encoding == "base64" and
	    ([.[] | select(.key == "two words")][0] |
		.bytes == 1 and .ttl_seconds > 500 and .ttl_seconds <= 600.1
		and .flags == 0)' <<<"$output"
	run -0 shmallocctl cache keys pages 'two*' -l --no-headings
	[[ $output =~ ^1\ +[0-9.]+\ +[0-9.]+\ +0x0\ two\ words$ ]]
}

@test "looking counts as nothing, and makes no cache" {
	daemon_start
	scene pages 0 fill 3 10
	shmallocctl cache get pages key:1
	shmallocctl cache keys pages
	[ "$(cache_figure pages .hits)" = 0 ]
	local command
	for command in 'get other x' 'keys other' 'delete other x' \
	    'clear other --yes' 'limit other 1M'; do
		# A command is a list of words.
		# shellcheck disable=SC2086
		run -5 --separate-stderr shmallocctl cache $command
		[ -z "$output" ]
		[[ $stderr == *"no cache 'other'"* ]]
	done
	[ "$(shmallocctl roots --json | jq length)" = 1 ]
	run -5 shmallocctl --segment nowhere cache keys pages
}

@test "a root that is no cache is refused" {
	daemon_start
	holder_build
	holder_start
	holder_tell publish other 20000
	run -5 --separate-stderr shmallocctl cache get other x
	[[ $stderr == *'holds no cache'* ]]
	run -5 shmallocctl cache clear other --yes
	holder_tell withdraw other
}

@test "delete takes one entry away, clear all" {
	daemon_start
	scene pages 0 fill 20 10 odd
	run -0 shmallocctl cache delete pages key:7
	[ "$output" = '1 entry deleted' ]
	run -1 shmallocctl cache delete pages key:7
	run -1 shmallocctl cache get pages key:7
	shmallocctl cache delete pages 'a\x00b\n\\\xffä' --json |
	    jq -e '.deleted == "YQBiClz/w6Q=" and
		.deleted_encoding == "base64"'
	[ "$(cache_figure pages .deletes)" = 2 ]
	run -2 shmallocctl cache clear pages </dev/null
	[ "$(cache_figure pages .entries)" = 19 ]
	run -0 shmallocctl cache clear pages --yes --json
	jq -e '.cleared == "pages" and .entries == 19' <<<"$output"
	[ "$(cache_figure pages .entries)" = 0 ]
	run -0 shmallocctl cache keys pages
	[ -z "$output" ]
}

@test "--socket says where also for who attaches" {
	daemon_start
	scene pages 0 fill 1 10
	local dir=$SHMALLOC_SOCKET
	unset SHMALLOC_SOCKET
	[ "$(shmallocctl --socket "$dir" cache keys pages)" = key:0 ]
	# Nor is a daemon started where there is none.
	SHMALLOC_AUTOSTART=1 XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR \
	    run -3 shmallocctl --socket /nowhere cache keys pages
	export SHMALLOC_SOCKET=$dir
}

@test "who may only read looks, and changes nothing" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to become another user"
	daemon_start -p mode=0644
	scene pages 0 fill 5 10
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" \
	    "$SHMALLOC_SOCKET"
	nobody() {
		setpriv --reuid 65534 --regid 65534 --clear-groups \
		    shmallocctl "$@"
	}
	run -0 nobody cache keys pages
	[ "${#lines[@]}" = 5 ]
	run -4 nobody cache delete pages key:1
	run -4 nobody cache clear pages --yes
	run -4 nobody cache limit pages 1M
	[ "$(cache_figure pages .entries)" = 5 ]
}

@test "limit changes what a cache may have, and stores keep to it" {
	daemon_start
	scene pages 0 fill 600 1000
	(($(cache_figure pages .used_bytes) > 1200000))
	run -0 shmallocctl cache limit pages 800K
	[ "$output" = 'limit of cache pages  none -> 819200' ]
	[ "$(cache_figure pages .limit_bytes)" = 819200 ]
	scene pages 0 fill 600 100
	(($(cache_figure pages .used_bytes) <= 819200))
	run -5 --separate-stderr shmallocctl cache limit pages 100K
	[ -z "$output" ]
	[[ $stderr == *'its table alone has'*'(unchanged)'* ]]
	[ "$(cache_figure pages .limit_bytes)" = 819200 ]
	run -0 shmallocctl cache limit pages 0 --json
	jq -e '.cache == "pages" and .limit_bytes == 0 and
	    .before_bytes == 819200' <<<"$output"
	[ "$(cache_figure pages .limit_bytes)" = 0 ]
}

@test "doctor names a cache that has taken all there was" {
	daemon_start --size 16M
	scene greedy 0 fill 400 100000
	(($(cache_figure greedy .evicted.memory) > 100))
	run shmallocctl doctor --json
	jq -e '.findings[] | select(.rule == "unlimited") |
	    .run == "shmallocctl cache limit greedy SIZE"' <<<"$output"
	shmallocctl cache limit greedy 8M
	run shmallocctl doctor --json
	jq -e '[.findings[].rule] | index("unlimited") == null' <<<"$output"
}
