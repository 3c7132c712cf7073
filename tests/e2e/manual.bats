# The output in the manual page shmallocctl(1) is what the program prints: each
# block there that begins with a command is run, and the two are compared with
# every number taken out.
load helper

setup_file()
{
	holder_build
	client_build cache_scene.c
	# Names that a reader can tell apart.
	cp "$HOLDER" "$BATS_FILE_TMPDIR/web"
	cp "$HOLDER" "$BATS_FILE_TMPDIR/worker"
}

teardown()
{
	daemon_stop
}

# What the page's examples are of.
scene()
{
	# One arena: a second one is made when the first is busy just then.
	printf 'tcache.count = 1024\narena.max = 1\n' \
	    >"$BATS_TEST_TMPDIR/90-runtime.conf"
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	DAEMON_LOG=$BATS_TEST_TMPDIR/daemon.log
	mkdir "$SHMALLOC_SOCKET"
	(
		inherited_close
		exec shmallocd --config "$BATS_TEST_TMPDIR/90-runtime.conf" \
		    --socket "$SHMALLOC_SOCKET" --size 64M
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	wait_for shmallocctl status
	export HOLDER=$BATS_FILE_TMPDIR/web HOLDER_LABEL=shop
	holder_start
	holder_tell alloc 1000 400
	holder_tell publish sessions 60000
	export HOLDER=$BATS_FILE_TMPDIR/worker HOLDER_LABEL=mail
	holder_start
	holder_tell alloc 20000 40
	holder_tell alloc 300000
	holder_tell free
	holder_tell alloc 20000 20
}

# And a cache, for the commands that are about one: they come last, so that the
# others' output has nothing of it.
cache_scene()
{
	"$BATS_FILE_TMPDIR/cache_scene" pages 1048576 ttl 600000 \
	    fill 2000 500 get 2500 odd set greeting 'Good morning'
}

# The words of stdin with what differs from run to run taken out: numbers with
# their units, places that only a larger number fills, cells of a map.
shape()
{
	tr -d '\r' | sed -E '
		s/\x1b\[[0-9;]*[A-Za-z]//g
		s@/[^ ]*/90-runtime.conf@FILE@
		s@serves /[^ ]*,@serves DIR,@
		s/[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?([KMGTP]|%|[num]s|[smhd])?/#/g
		s/(^| )-( |$)/\1#\2/g; s/(^| )-( |$)/\1#\2/g
		s/ +/ /g; s/^ //; s/#( #)+/#/g' | tr -s ' \n' '\n' |
	    awk 'length($0) > 2 && /^[%#@cpf.|Xx_-]+$/ { $0 = "CELLS" }
		{ print }'
}

# What COMMAND prints on a terminal of 80 columns, talk included.
on_terminal()
{
	TERM=xterm NO_COLOR=1 script -qec "stty cols 80 rows 24; $1" /dev/null \
	    </dev/null | tr -d '\r'
}

# The commands of the page's blocks, one a line.
commands()
{
	awk '/^```$/ { is_in = !is_in; next }
	    is_in && /^\$ / { print substr($0, 3) }' "$1"
}

# The output of COMMAND in the page.
block()
{
	awk -v command="\$ $2" '
		/^```$/ { is_in = !is_in; is_it = 0; next }
		is_in && /^\$ / { is_it = $0 == command; next }
		is_it { print }' "$1"
}

@test 'the output in the manual page is what the program prints' {
	local page=$BATS_TEST_DIRNAME/../../man/shmallocctl.1.scd
	local command n=0 has_cache=

	scene
	while read -r command; do
		case $command in
		'shmallocctl cache '*)
			[ -n "$has_cache" ] || cache_scene
			has_cache=1
			;;
		esac
		on_terminal "$command" >"$BATS_TEST_TMPDIR/is"
		block "$page" "$command" >"$BATS_TEST_TMPDIR/said"
		diff <(shape <"$BATS_TEST_TMPDIR/said") \
		    <(shape <"$BATS_TEST_TMPDIR/is") || {
			echo "$command prints:"
			cat "$BATS_TEST_TMPDIR/is"
			return 1
		}
		n=$((n + 1))
	done < <(commands "$page")
	((n >= 25))
}

@test 'every command but those of scripts has its output there' {
	local page=$BATS_TEST_DIRNAME/../../man/shmallocctl.1.scd
	local command

	while read -r command; do
		grep -q "^\\$ shmallocctl $command" "$page" || {
			echo "no output of $command"
			return 1
		}
	done < <(shmallocctl help | awk '
		/^$/ { part++ }
		part == 1 && /^  / {
			line = substr($0, 3, 16)
			sub(/ +$/, "", line)
			if (line !~ /^(completion|help|clients evict)/)
				print line
		}')
}
