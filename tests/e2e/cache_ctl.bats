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
