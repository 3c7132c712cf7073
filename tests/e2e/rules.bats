# The alarms for Prometheus.
bats_require_minimum_version 1.5.0
load helper

RULES=$BATS_TEST_DIRNAME/../../docs/shmalloc.rules.yml

setup_file() {
	holder_build
}

teardown() {
	daemon_stop
}

@test "promtool takes the alarms" {
	run -0 promtool check rules "$RULES"
	[[ $output == *'9 rules found'* ]]
}

@test "alarms are raised for what they name, and for nothing else" {
	sed "s|RULES|$RULES|" "$BATS_TEST_DIRNAME/rules_test.yml" \
	    >"$BATS_TEST_TMPDIR/test.yml"
	promtool test rules "$BATS_TEST_TMPDIR/test.yml"
}

@test "each series and label of the alarms is there" {
	local name

	daemon_start
	holder_start
	holder_tell alloc 100 1000
	shmallocctl metrics >"$BATS_TEST_TMPDIR/metrics"
	grep -oE 'shmalloc_[a-z_]+' <(grep 'expr:' "$RULES") | sort -u \
	    >"$BATS_TEST_TMPDIR/names"
	(($(wc -l <"$BATS_TEST_TMPDIR/names") >= 9))
	while read -r name; do
		grep -qE "^$name\{.*segment=|^$name(\{| )" \
		    "$BATS_TEST_TMPDIR/metrics" || {
			echo "no series $name"
			return 1
		}
	done <"$BATS_TEST_TMPDIR/names"
	grep -q '^shmalloc_failures_total{segment="default",reason="full"}' \
	    "$BATS_TEST_TMPDIR/metrics"
	grep -q '^shmalloc_arena_info{segment="default",arena="0",state="ok"} 1' \
	    "$BATS_TEST_TMPDIR/metrics"
}
