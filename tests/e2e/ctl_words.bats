# shmallocctl without a daemon: its words, its help and its exit codes.
load helper

setup()
{
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/nobody
	unset XDG_RUNTIME_DIR
}

teardown()
{
	daemon_stop
}

# The first words of every command that `help` lists.
commands()
{
	shmallocctl help | awk '
		/^$/ { part++ }
		part == 1 && /^  / {
			line = substr($0, 3, 16)
			sub(/ +$/, "", line)
			print line
		}'
}

@test 'no command is wrong usage' {
	run --separate-stderr -2 shmallocctl
	[ -z "$output" ]
	[[ $stderr == *'which command?'* ]]
}

@test 'an unknown command gets a suggestion' {
	run --separate-stderr -2 shmallocctl stauts
	[ -z "$output" ]
	[[ $stderr == *"did you mean 'status'?"* ]]
	run --separate-stderr -2 shmallocctl tune lsit
	[[ $stderr == *"did you mean 'tune list'?"* ]]
	run --separate-stderr -2 shmallocctl qwertz
	[[ $stderr != *'did you mean'* ]]
}

@test 'an unknown option gets a suggestion' {
	run --separate-stderr -2 shmallocctl stats --exat
	[[ $stderr == *"did you mean '--exact'?"* ]]
	run --separate-stderr -2 shmallocctl --jsno stats
	[[ $stderr == *"did you mean '--json'?"* ]]
}

@test 'an option of another command is wrong usage' {
	run -2 shmallocctl status --exact
	run -2 shmallocctl stats --yes
	run -2 shmallocctl tune get x --all
}

@test 'values of options are checked before anybody connects' {
	run -2 shmallocctl stats --by nobody
	run -2 shmallocctl stats --watch 0
	run -2 shmallocctl stats --watch x
	run -2 shmallocctl stats --watch 1 --count 0
	run -2 shmallocctl stats --count 1
	run -2 shmallocctl stats --long --by arena
	run -2 shmallocctl map --width 7
	run -2 shmallocctl map --width -1
	run -2 shmallocctl map --arena x
	run -2 shmallocctl segment create x --size 1X
	run -2 shmallocctl segment create x --size 64M --mode 9
	run -2 shmallocctl segment create x --size 64M --mode 07777
	run -2 shmallocctl stats --json=1
	run -2 shmallocctl --socket
}

@test 'words that are too few, too many or of no sense are wrong usage' {
	run -2 shmallocctl status now
	run -2 shmallocctl clients 1 2
	run -2 shmallocctl clients init
	run -2 shmallocctl clients 0
	run -2 shmallocctl clients evict
	run -2 shmallocctl clients evict 0
	run -2 shmallocctl clients evict init
	run -2 shmallocctl locks 1
	run -2 shmallocctl tune get
	run -2 shmallocctl tune set
	run -2 shmallocctl tune set decay_ms
	run -2 shmallocctl tune set =1
	run -2 shmallocctl tune reset
	run -2 shmallocctl tune reset decay_ms --all
	run -2 shmallocctl segment create
	run -2 shmallocctl segment create x
	run -2 shmallocctl cache get x
	run -2 shmallocctl cache limit x large
	run -2 shmallocctl cache get x 'a\q'
	run -2 shmallocctl cache delete x 'a\x0'
	run -2 shmallocctl help nothing
	run -2 shmallocctl help stats exact
	run -2 shmallocctl schema nothing
	run -2 shmallocctl schema stats exact
}

@test 'a verb may come behind options' {
	daemon_start
	run -0 shmallocctl tune --segment default set --dry-run decay_ms=1
	[[ $output == decay_ms*'-> 1'*'dry run' ]]
	run -0 shmallocctl tune --segment=default --json get decay_ms
	[[ $output == '{'* ]]
	run -0 shmallocctl segment --json list
	jq -e '.[0].name == "default"' <<<"$output"
	# Their own options, and no others.
	run -2 --separate-stderr shmallocctl tune --dry-run get decay_ms
	[[ $stderr == *"no option '--dry-run' here"* ]]
	run -2 --separate-stderr shmallocctl tune --json sett decay_ms=1
	[[ $stderr == *"no command 'tune sett'"*"'tune set'"* ]]
	run -2 --separate-stderr shmallocctl tune --segment default set
	[[ $stderr == *'usage: shmallocctl tune set NAME=VALUE'* ]]
	run -2 --separate-stderr shmallocctl tune --jsn set decay_ms=1
	[[ $stderr == *"'--jsn'"*"'--json'"* ]]
	run -1 shmallocctl clients --json evict 1 --yes
}

@test 'what destroys needs --yes when there is nobody to ask' {
	run --separate-stderr -2 shmallocctl segment destroy x </dev/null
	[[ $stderr == *'--yes'* ]]
	run --separate-stderr -2 shmallocctl roots --remove x </dev/null
	[[ $stderr == *'--yes'* ]]
	run --separate-stderr -2 shmallocctl cache clear x </dev/null
	[[ $stderr == *'--yes'* ]]
}

@test 'every command but version and help says 3 when no daemon answers' {
	local words=(status stats 'top -n 1' clients 'clients evict 1' locks latency map
	    events 'latency --reset' 'fit 1' 'tune diff' 'tune revert'
	    'tune save' 'tune preset use memory'
	    'tune list' 'tune get x'
	    'tune set x=1' 'tune reset --all' trim 'segment list'
	    'segment create x --size 1M' 'segment destroy x --yes' roots
	    'roots --remove x --yes' metrics 'cache list' 'cache stats'
	    'cache get x y' 'cache keys x' 'cache delete x y'
	    'cache clear x --yes' 'cache limit x 1M')
	local word

	for word in "${words[@]}"; do
		run --separate-stderr -3 shmallocctl $word
		[ -z "$output" ]
		[[ $stderr == *"there is no socket $SHMALLOC_SOCKET/control"* ]]
	done
	run -0 --separate-stderr shmallocctl version
	[[ $output == 'shmallocctl '* ]]
}

@test 'check says 8 when it could not run, whatever the reason' {
	run --separate-stderr -8 shmallocctl check
	[ -z "$output" ]
	[[ $stderr == *'no socket'* ]]
	run --separate-stderr -8 shmallocctl check --nonsense
	[[ $stderr == *'--nonsense'* ]]
	run -8 shmallocctl check now
	run -0 shmallocctl check --help
}

@test 'a socket that nobody listens on is told from one that is not there' {
	mkdir "$SHMALLOC_SOCKET"
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$SHMALLOC_SOCKET/control"
	run --separate-stderr -3 shmallocctl status
	[[ $stderr == *'nobody listens on any more'* ]]
}

@test 'the sockets are where --socket, the variables or the system say' {
	run --separate-stderr -3 shmallocctl --socket /nowhere status
	[[ $stderr == *' /nowhere/control'* ]]
	run --separate-stderr -3 shmallocctl status --socket /nowhere
	[[ $stderr == *' /nowhere/control'* ]]
	unset SHMALLOC_SOCKET
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR
	run --separate-stderr -3 shmallocctl status
	[[ $stderr != *"$XDG_RUNTIME_DIR/shmalloc/control"* ]]
	mkdir "$XDG_RUNTIME_DIR/shmalloc"
	run --separate-stderr -3 shmallocctl status
	[[ $stderr == *" $XDG_RUNTIME_DIR/shmalloc/control"* ]]
}

@test 'a path that no socket can have is refused' {
	run --separate-stderr -2 shmallocctl --socket \
	    "/$(printf 'x%.0s' {1..120})" status
	[[ $stderr == *'too long'* ]]
}

@test 'a daemon that does not speak the protocol is an error, not a hang' {
	mkdir "$SHMALLOC_SOCKET"
	python3 - "$SHMALLOC_SOCKET/control" 3>&- <<-'END' &
	import socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.bind(sys.argv[1])
	s.listen()
	for answer in (b"\xff\xff\xff\xff", b"\x03\0\0\0\xff\xff\xff",
	               b"\0\0\0\0", b""):
	    c, _ = s.accept()
	    c.recv(4096)
	    c.sendall(answer)
	    c.close()
	END
	local server=$!
	wait_for test -S "$SHMALLOC_SOCKET/control"
	run -70 shmallocctl status
	run -70 shmallocctl status
	run -70 shmallocctl status
	run -3 shmallocctl status
	wait "$server"
}

@test 'help names every command, and each has help of its own' {
	local command n=0

	while read -r command; do
		run -0 shmallocctl help $command
		[[ $output == "usage: shmallocctl $command"* ]]
		run -0 shmallocctl $command --help
		[[ $output == "usage: shmallocctl $command"* ]]
		n=$((n + 1))
	done < <(commands)
	((n == $(commands | wc -l) && n >= 16))
}

@test 'help fits into 80 columns' {
	local command

	run -0 shmallocctl help
	((${#lines[@]} > 20))
	[ -z "$(awk 'length > 80' <<<"$output")" ]
	while read -r command; do
		run -0 shmallocctl help $command
		[ -z "$(awk 'length > 80' <<<"$output")" ]
	done < <(commands)
}

@test 'the manual page has every command and every option' {
	local page=$BATS_TEST_DIRNAME/../../man/shmallocctl.1.scd
	local command option

	(($(commands | wc -l) >= 16))
	while read -r command; do
		grep -q "^\*${command%% *}" "$page"
		grep -q "^\*$command\*" "$page"
	done < <(commands)
	for option in $(commands | while read -r command; do
		shmallocctl help $command
	done | grep -o -- '--[a-z-]*' | sort -u); do
		grep -q -- "\*$option\*" "$page"
	done
}

@test '--version and version agree' {
	run -0 shmallocctl --version
	local first=$output
	run -0 --separate-stderr shmallocctl version
	[ "$output" = "$first" ]
	run -0 --separate-stderr shmallocctl version --json
	[ "$(jq -r .shmallocctl <<<"$output")" = "${first#shmallocctl }" ]
	[ "$(jq .shmallocd <<<"$output")" = null ]
}

@test 'output that cannot be written is an error' {
	[ -e /dev/full ] || skip 'no /dev/full'
	run -70 sh -c 'shmallocctl help >/dev/full'
}
