# Tuning that can be undone, kept, and named: --for, revert, diff, save, preset.
load helper

setup_file()
{
	holder_build
}

setup()
{
	RUNTIME=$BATS_TEST_TMPDIR/conf.d/90-runtime.conf
	mkdir "${RUNTIME%/*}"
	: >"$RUNTIME"
	printf 'tcache.count = 100\n[segment other]\nsize = 16M\n' \
	    >"$BATS_TEST_TMPDIR/shmallocd.conf"
}

teardown()
{
	daemon_stop
}

# A daemon that reads the files above.
configured_start()
{
	export SHMALLOC_SOCKET=${SHMALLOC_TEST_DIR:=$BATS_TEST_TMPDIR/run}
	DAEMON_LOG=$BATS_TEST_TMPDIR/daemon.log
	mkdir -p "$SHMALLOC_SOCKET"
	(
		inherited_close
		exec shmallocd --config "$BATS_TEST_TMPDIR/shmallocd.conf" \
		    --config "$RUNTIME" --socket "$SHMALLOC_SOCKET" \
		    --size 64M "$@"
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	wait_for shmallocctl status || {
		cat "$DAEMON_LOG" >&2
		return 1
	}
}

tune()
{
	shmallocctl tune "$@"
}

# The value of a parameter.
value()
{
	shmallocctl tune get "$@"
}

value_is()
{
	[ "$(value "$1")" = "$2" ]
}

@test 'what is set for a time comes back, and says when' {
	daemon_start
	run -0 tune set tcache.count=5 decay_ms=7 --for 1s
	grep -qE '^tcache.count +1024 -> 5 +applied, reverts 20[0-9]{2}-' \
	    <<<"$output"
	value_is tcache.count 5
	run -0 tune list --json
	jq -e '.[] | select(.name == "tcache.count") |
	    .reverts > now - 1 and .reverts_to == 1024' <<<"$output"
	wait_for value_is tcache.count 1024
	wait_for value_is decay_ms 10000
	jq -e '.[] | select(.name == "tcache.count") |
	    .source == "default" and .reverts == null' \
	    <<<"$(tune list --json)"
	grep -q 'tcache.count 5 -> 1024 by its time' "$DAEMON_LOG"
}

@test 'a second time begins anew, with what was there before the first' {
	daemon_start
	tune set tcache.count=5 --for 1h
	tune set tcache.count=6 --for 1s
	wait_for value_is tcache.count 1024
}

@test 'what is set for good, reset or reverted has no time any more' {
	daemon_start
	tune set tcache.count=5 decay_ms=7 top_pad=4K --for 1s
	tune set tcache.count=6
	tune reset decay_ms
	tune set decay_ms=8
	sleep 1.5
	value_is tcache.count 6
	value_is decay_ms 8
	value_is top_pad 131072
}

@test 'a daemon that is killed is followed by one that reverts' {
	daemon_start
	holder_start
	tune set tcache.count=5 --for 2s
	server_kill
	value_is tcache.count 5
	wait_for value_is tcache.count 1024
}

@test 'a time that is none is refused' {
	daemon_start
	run -2 tune set tcache.count=5 --for 0
	run -2 tune set tcache.count=5 --for soon
	run -5 tune set tcache.count=5 --for 400d
	value_is tcache.count 1024
}

@test 'a dry run says what would be, for a time, too' {
	daemon_start
	run -0 tune set tcache.count=5 --for 1h --dry-run
	[[ $output == *'1024 -> 5'*'dry run' ]]
	value_is tcache.count 1024
	run -0 tune diff
	[ -z "$output" ]
}

@test 'revert undoes the last change, and itself' {
	daemon_start
	run -5 --separate-stderr tune revert
	[[ $stderr == *'nothing to revert'* ]]
	tune set tcache.count=5
	tune set tcache.count=6 misuse=warn
	run -0 tune revert --dry-run
	[[ $output == *'6 -> 5'*'dry run'* ]]
	value_is tcache.count 6
	run -0 tune revert
	[[ $output == *'6 -> 5'*'applied'* ]]
	value_is tcache.count 5
	value_is misuse ignore
	tune revert
	value_is tcache.count 6
	value_is misuse warn
	# A change that was refused is none.
	run -5 tune set tcache.count=7 decay_ms=1d
	tune revert
	value_is tcache.count 5
	# A reset can be undone, with the source of what was there.
	tune set top_pad=4K
	tune reset --all
	value_is tcache.count 1024
	tune revert
	value_is tcache.count 5
	[ "$(tune list --json | jq -r '.[] |
	    select(.name == "top_pad") | .source')" = runtime ]
}

@test 'diff shows what a new start would change back' {
	configured_start
	run -0 tune diff
	[ -z "$output" ]
	tune set tcache.count=5 misuse=warn
	tune set decay_ms=7 --for 1h
	run -1 tune diff
	[ "${#lines[@]}" -eq 4 ]
	grep -qE '^tcache.count +100 +5 *$' <<<"$output"
	grep -qE '^misuse +ignore +warn *$' <<<"$output"
	grep -qE '^decay_ms +10000 +7 +until 20' <<<"$output"
	run -1 tune diff --json
	[ "$(jq -r '.[] | select(.name == "tcache.count") |
	    "\(.configured) \(.value)"' <<<"$output")" = '100 5' ]
	tune reset --all
	run -0 tune diff
}

@test 'what is saved is there after a new start, and nothing else' {
	configured_start
	tune set tcache.count=5 misuse=warn limit.client=3M
	tune set decay_ms=7 --for 1h
	shmallocctl --segment other tune set top_pad=8K
	run -0 --separate-stderr tune save
	# Three, one of the other segment, and what that must not inherit.
	[ "$output" = "7 saved in $RUNTIME" ]
	[ "$(grep -vc '^#' "$RUNTIME")" -gt 3 ]
	grep -qx 'tcache.count = 5' "$RUNTIME"
	grep -qx 'limit.client = 3M' "$RUNTIME"
	! grep -q decay_ms "$RUNTIME"
	[ "$(ls "${RUNTIME%/*}")" = "${RUNTIME##*/}" ]
	[ "$(stat -c %a "$RUNTIME")" = 644 ]
	# The administrator's file is as it was.
	[ "$(head -n 1 "$BATS_TEST_TMPDIR/shmallocd.conf")" = \
	    'tcache.count = 100' ]
	daemon_stop
	configured_start
	value_is tcache.count 5
	value_is misuse warn
	value_is limit.client 3145728
	value_is decay_ms 10000
	[ "$(value --segment other top_pad)" = 8192 ]
	# The other one had none of this, though it would inherit it.
	[ "$(value --segment other tcache.count)" = 100 ]
	[ "$(value --segment other misuse)" = ignore ]
	run -0 tune diff
}

@test 'a second save has what there is then' {
	configured_start
	tune set tcache.count=5 misuse=warn
	tune save
	tune reset misuse
	tune set tcache.count=100
	tune save
	! grep -vE '^(#|$)' "$RUNTIME"
	run -0 tune set top_pad=8K --save
	[[ $output == *"2 saved in $RUNTIME" ]]
	grep -qx 'top_pad = 8K' "$RUNTIME"
	run -2 tune set top_pad=8K --save --for 1h
	run -2 tune set top_pad=8K --save --dry-run
}

@test 'what cannot be saved is said' {
	daemon_start
	tune set tcache.count=5
	run -5 --separate-stderr tune save
	[[ $stderr == *'90-runtime.conf'* ]]
	daemon_stop
	configured_start
	shmallocctl segment create third --size 16M
	shmallocctl --segment third tune set tcache.count=5
	run -0 --separate-stderr tune save
	[[ $output == '0 saved '* ]]
	[[ $stderr == *'segment third is in no configuration file'* ]]
	rm -r "${RUNTIME%/*}"
	tune set tcache.count=6
	run -70 --separate-stderr tune save
	[[ $stderr == *"$RUNTIME"* ]]
	value_is tcache.count 6
}

@test 'presets are listed, used, tried and undone' {
	local name words pair

	daemon_start
	run -0 tune preset list
	for name in default throughput memory hardened; do
		grep -qx "$name" <<<"$output"
	done
	for name in throughput memory hardened; do
		run -0 tune preset use $name
		words=$(tune preset list --json | jq -r ".[] |
		    select(.name == \"$name\") | .values")
		[ -n "$words" ]
		# All of it is as if it had been set by hand.
		run -0 tune set $words --dry-run
		for pair in $words; do
			grep -qE "^${pair%%=*} +([^ ]+) -> \\1 " <<<"$output"
		done
	done
	run -0 tune preset use default
	[ "$(tune list --changed --json)" = '[]' ]
	tune preset use memory --for 1s
	value_is tcache.count 64
	wait_for value_is tcache.count 1024
	run -0 tune preset use memory --dry-run
	value_is tcache.count 1024
	tune preset use memory
	tune revert
	value_is tcache.count 1024
}

@test 'a preset changes what a running client does' {
	local before after i

	daemon_start
	holder_start
	holder_tell alloc 64 3000
	holder_tell free
	before=$(figure .bytes.cached)
	tune preset use memory
	for i in 1 2; do
		holder_tell alloc 64 3000
		holder_tell free
	done
	after=$(figure .bytes.cached)
	echo "$before, then $after"
	((before > 200 * 80 && after <= 64 * 80))
}

@test 'a preset that is none, and words that are too few, are wrong usage' {
	daemon_start
	run -2 --separate-stderr tune preset use memry
	[[ $stderr == *"did you mean 'memory'?"* ]]
	run -2 tune preset use
	run -2 tune preset
	run -2 tune preset list memory
	run -2 tune preset lend memory
}
