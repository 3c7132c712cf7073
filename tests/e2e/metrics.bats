# What values mean: schema, stats --long, Prometheus, the manual page.
load helper

setup_file()
{
	holder_build
	client_build cache_scene.c
}

teardown()
{
	daemon_stop
}

# The series and values of one segment's `metrics`, as name{labels} value.
samples()
{
	shmallocctl metrics "$@" | grep -v '^#'
}

@test 'promtool finds nothing in the metrics of two segments' {
	daemon_start
	shmallocctl segment create two --size 16M
	holder_start
	holder_tell alloc 100 1000
	shmallocctl metrics >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ -z "$output" ]
	for name in default two; do
		grep -q "^shmalloc_segment_size_bytes{segment=\"$name\"} " \
		    "$BATS_TEST_TMPDIR/metrics"
	done
	run -0 samples --segment two
	[[ $output != *default* ]]
}

@test 'the metrics are the values of stats' {
	local path value

	daemon_start
	holder_start
	holder_tell alloc 100 1000
	shmallocctl stats --json >"$BATS_TEST_TMPDIR/stats"
	shmallocctl metrics >"$BATS_TEST_TMPDIR/metrics"
	while read -r series path; do
		value=$(jq "$path" "$BATS_TEST_TMPDIR/stats")
		[ "$value" != 0 ]
		grep -Fqx "$series $value" "$BATS_TEST_TMPDIR/metrics"
	done <<-'END'
	shmalloc_in_use_chunks_bytes{segment="default"} .bytes.in_use_chunks
	shmalloc_peak_allocated_bytes{segment="default"} .peak.allocated
	shmalloc_arena_size_bytes{segment="default",arena="0"} .arenas[0].size_bytes
	shmalloc_clients_alive{segment="default"} .clients.alive
	END
}

@test 'a file for a collector is replaced as a whole, or not at all' {
	local file=$BATS_TEST_TMPDIR/dir/shmalloc.prom

	daemon_start
	mkdir "${file%/*}"
	echo old >"$file"
	run -0 --separate-stderr shmallocctl metrics --textfile "$file"
	[ -z "$output" ]
	promtool check metrics <"$file"
	[ "$(stat -c %a "$file")" = 644 ]
	[ "$(ls -A "${file%/*}")" = shmalloc.prom ]
	run -70 shmallocctl metrics --textfile "$BATS_TEST_TMPDIR/no/where"
	mkdir "$file.d"
	run -70 shmallocctl metrics --textfile "$file.d"
	[ "$(ls -A "${file%/*}")" = $'shmalloc.prom\nshmalloc.prom.d' ]
	run -5 shmallocctl --segment nowhere metrics --textfile "$file"
	promtool check metrics <"$file"
}

# The places of all values of the JSON on stdin, as the schema writes them.
places()
{
	jq -r '[paths(type != "object" and type != "array") |
	    map(if type == "number" then "[]" else "." + . end) |
	    join("") | ltrimstr(".")] | unique | .[]'
}

@test 'the schema has every value of every JSON output' {
	local command

	daemon_start
	holder_start
	holder_tell alloc 100 1000
	holder_tell publish one 100
	"$BATS_FILE_TMPDIR/cache_scene" two 0 fill 10 10 get 20
	for command in status 'stats --exact' clients locks map 'fit 1' 'tune list' \
	    'segment list' roots 'cache list' 'cache get two key:1' 'cache keys two' 'trim --dry-run' 'check' \
	    'tune set decay_ms=1s --dry-run' version; do
		shmallocctl schema --json | jq -r --arg command "$command" '
		    .metrics[] | select(.command as $of |
			$command | startswith($of)) | .path' |
		    sed 's/^\.//' | sort >"$BATS_TEST_TMPDIR/known"
		shmallocctl $command --json | places |
		    sort >"$BATS_TEST_TMPDIR/there"
		[ -s "$BATS_TEST_TMPDIR/there" ]
		run -0 comm -23 "$BATS_TEST_TMPDIR/there" \
		    "$BATS_TEST_TMPDIR/known"
		[ -z "$output" ] || {
			echo "$command: $output"
			return 1
		}
	done
}

@test 'a command that prints no JSON has no schema' {
	run -1 shmallocctl schema clients evict
	run -1 shmallocctl schema completion
	run -0 shmallocctl schema clients
	run -0 shmallocctl schema tune
	[[ $output == *'tune list --json:'*'tune set --json:'* ]]
}

@test 'every series of the metrics is in the schema' {
	daemon_start
	holder_start
	holder_tell alloc 100 1000
	samples | sed 's/{.*//' | sort -u >"$BATS_TEST_TMPDIR/there"
	shmallocctl schema stats --json |
	    jq -r '.metrics[].series | values' | sort -u \
	    >"$BATS_TEST_TMPDIR/known"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/there")" -gt 80 ]
	run comm -23 "$BATS_TEST_TMPDIR/there" "$BATS_TEST_TMPDIR/known"
	# Besides those that describe, and the histogram, of which `schema
	# latency` tells.
	[ -z "$(grep -vE '_info$|_latency_seconds_(bucket|sum|count)$' \
	    <<<"$output")" ]
}

@test 'the manual page has what the schema has' {
	local page=$SHMALLOC_BUILD/man/shmalloc-metrics.7

	# scdoc writes \& before a point, and a backslash before others.
	sed 's/\\&//g; s/\\//g' "$page" >"$BATS_TEST_TMPDIR/page"
	shmallocctl schema --json | jq -r '.metrics[] |
	    select((.command |
		IN("doctor", "version", "cache get", "cache keys")) or
		(.path | startswith("by_")) | not) |
	    (.series | values), .text' | sort -u >"$BATS_TEST_TMPDIR/known"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/known")" -gt 200 ]
	while read -r line; do
		grep -Fq -- "$line" "$BATS_TEST_TMPDIR/page" || {
			echo "not in the page: $line"
			return 1
		}
	done <"$BATS_TEST_TMPDIR/known"
}

@test 'stats --long has a line for every value, with its meaning' {
	daemon_start
	holder_start
	holder_tell alloc 100 1000
	run -0 shmallocctl stats --long
	[[ ${lines[0]} == NAME*VALUE*UNIT*MEANING* ]]
	grep -qE '^arenas\[0\]\.lock\.acquisitions +[1-9][0-9]* count +Times' \
	    <<<"$output"
	grep -qE '^fragmentation\.unusable\[65536\]\.ratio +[0-9.]+ ratio ' \
	    <<<"$output"
	grep -qE '^bytes\.allocated +[0-9]+ bytes +Usable bytes' <<<"$output"
	# No value without a unit.
	[ -z "$(awk 'NF < 4' <<<"$output")" ]
	# The questions themselves change how long those take.
	(($(shmallocctl stats --json | jq 'del(.latency) | [paths(
	    type != "object" and type != "array")] | length') + 1 == \
	    $(grep -vc '^latency' <<<"$output")))
}

@test 'stats by lock is the table of locks, and a list in JSON' {
	daemon_start
	holder_start
	holder_tell alloc 100 1000
	run -0 shmallocctl stats --by lock
	grep -q '^ARENA HOLDER' <<<"$output"
	run -0 shmallocctl stats --by lock --json
	jq -e '.by_lock[0] | .arena == 0 and .acquisitions > 0' <<<"$output"
}
