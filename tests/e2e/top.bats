# shmallocctl top: rounds of text, and the screen in a real terminal (tmux).
load helper

setup_file()
{
	holder_build
}

setup()
{
	export TERM=xterm-256color LC_ALL=C.UTF-8
	unset NO_COLOR TMUX
	TERMINAL=$BATS_TEST_TMPDIR/tmux
}

teardown()
{
	[ ! -S "$TERMINAL" ] || tmux -S "$TERMINAL" kill-server
	daemon_stop
}

# Start `top` with the options given in a terminal of $1 columns, $2 lines.
screen_start()
{
	tmux -S "$TERMINAL" -f /dev/null new-session -d -x "$1" -y "$2" \
	    "shmallocctl top --delay 0.2 ${*:3} 2>$BATS_TEST_TMPDIR/err; \
		echo ended \$?; exec cat" 3>&-
	wait_for screen_has 'shmallocctl top'
}

# Close that terminal; the next one has a name of its own.
screen_end()
{
	tmux -S "$TERMINAL" kill-server
	TERMINAL+=+
}

screen()
{
	tmux -S "$TERMINAL" capture-pane -p "$@"
}

screen_has()
{
	screen | grep -qE -- "$1"
}

screen_has_not()
{
	! screen_has "$1"
}

keys()
{
	tmux -S "$TERMINAL" send-keys "$@"
}

# Two holders, the second with more.
holders_start()
{
	holder_start
	holder_tell alloc 1000 100
	holder_start
	holder_tell alloc 1000 2000
}

@test 'without a terminal it prints rounds of text' {
	daemon_start
	holders_start
	run -0 --separate-stderr shmallocctl top --batch -n 2 --delay 0.1
	[ "$(grep -c '^segment default  up ' <<<"$output")" -eq 2 ]
	[ "$(grep -c '^ARENA STATE ' <<<"$output")" -eq 2 ]
	# Rates are known from the second on.
	[ "$(grep -c '^a second: alloc -' <<<"$output")" -eq 1 ]
	[ "$(grep -c '^a second: alloc [0-9]' <<<"$output")" -eq 1 ]
	[ -z "$stderr" ]
	run -0 shmallocctl top -n 1 </dev/null
	grep -q '^ARENA STATE' <<<"$output"
}

@test 'a round is sorted by the column that is named' {
	local few many

	daemon_start
	holder_start
	few=$HOLDER_PID
	holder_tell alloc 1000 100
	holder_start
	many=$HOLDER_PID
	holder_tell alloc 1000 2000
	run -0 shmallocctl top -n 1 --by client --no-headings
	[ "$(awk '$2 == "holder" { print $1 }' <<<"$output")" = \
	    "$many"$'\n'"$few" ]
	run -0 shmallocctl top -n 1 --by bin --sort requested
	grep -q '^BIN SIZE ' <<<"$output"
	run -2 shmallocctl top -n 1 --sort nothing
	run -2 shmallocctl top --json
	run -2 shmallocctl top -n 0
	run -2 shmallocctl top -n
}

@test 'the rates are what happened between two rounds' {
	daemon_start
	holder_start
	shmallocctl top -n 2 --delay 2 >"$BATS_TEST_TMPDIR/out" 3>&- &
	wait_for grep -q '^ARENA' "$BATS_TEST_TMPDIR/out"
	holder_tell alloc 100 20000
	wait $!
	# More than nothing: 20 000 of them in two seconds.
	grep -qE '^a second: alloc [1-9][0-9]{3,} ' "$BATS_TEST_TMPDIR/out"
}

@test 'the screen shows the arenas, and what keys do' {
	daemon_start
	holders_start
	screen_start 80 24
	wait_for screen_has '^ ARENA STATE .*USEDv'
	screen_has '^limit \[=+ *\] +[0-9]+%'
	screen_has '^q end  h help'
	# Nothing is wider than the screen.
	[ -z "$(screen | awk 'length > 80')" ]
	keys c
	wait_for screen_has "^ +PID COMMAND .*HELDv"
	wait_for screen_has "^ *$HOLDER_PID holder "
	keys l
	wait_for screen_has '^ ARENA HOLDER .*BUSY/Sv'
	keys b
	wait_for screen_has '^ BIN +SIZE .*ALLOC/Sv'
	keys a
	wait_for screen_has 'by arena'
	keys '>'
	wait_for screen_has 'FREEv'
	keys '<' '<' '<'
	wait_for screen_has 'STATEv'
	keys r
	wait_for screen_has 'STATE\^'
	keys h
	wait_for screen_has '^r +the other way round'
	keys h
	wait_for screen_has_not '^r +the other way round'
	keys +
	wait_for screen_has 'every 0.1s'
	keys q
	wait_for screen_has '^ended 0'
}

@test 'the order of the rows is that of the column' {
	daemon_start
	holders_start
	screen_start 100 24 --by client
	wait_for screen_has "^ *$HOLDER_PID holder "
	[ "$(screen | awk '$2 == "holder" { print $1; exit }')" = "$HOLDER_PID" ]
	keys r
	wait_for eval '[ "$(screen | awk "\$2 == \"holder\" { print \$1 }" |
	    tail -n 1)" = "$HOLDER_PID" ]'
}

@test 'a pause stops the figures, and space looks' {
	daemon_start
	holder_start
	screen_start 80 24 --by client
	keys p
	wait_for screen_has PAUSED
	holder_tell alloc 1000 5000
	sleep 0.5
	screen_has "^ *$HOLDER_PID holder +alive +0 "
	keys ' '
	wait_for screen_has "^ *$HOLDER_PID holder +alive +4\.[0-9]M "
	screen_has PAUSED
}

@test 'it follows the size of the terminal' {
	daemon_start
	holders_start
	screen_start 60 15
	wait_for screen_has '^ ARENA STATE'
	screen_has_not 'LOCK/S'
	[ -z "$(screen | awk 'length > 60')" ]
	tmux -S "$TERMINAL" resize-window -x 200 -y 50
	wait_for screen_has 'LOCK/S +BUSY/S +PEAK'
	[ "$(screen | wc -l)" -eq 50 ]
	screen | tail -n 1 | grep -q '^q end'
	tmux -S "$TERMINAL" resize-window -x 20 -y 3
	wait_for eval '[ "$(screen | wc -l)" -eq 3 ]'
	tmux -S "$TERMINAL" resize-window -x 80 -y 24
	wait_for screen_has '^ ARENA STATE'
	keys q
	wait_for screen_has '^ended 0'
}

@test 'it has colours, but no background, or none' {
	daemon_start --size 4M
	holders_start
	screen_start 80 24
	wait_for eval 'screen -e | grep -q "limit \[.\[3[0-9]m"'
	# No colour of a background.
	! screen -e | grep -q "$(printf '\033')\[4[0-8]"
	keys q
	wait_for screen_has '^ended 0'
	screen_end
	screen_start 80 24 --no-color
	wait_for screen_has '^ ARENA'
	! screen -e | grep -qE "$(printf '\033')\[3[0-8]"
	screen_end
	NO_COLOR=1 screen_start 80 24
	wait_for screen_has '^ ARENA'
	! screen -e | grep -qE "$(printf '\033')\[3[0-8]"
}

@test 'it waits for a daemon that is away, and goes on' {
	daemon_start
	holders_start
	screen_start 80 24
	wait_for screen_has '^ ARENA'
	kill -STOP "$DAEMON_PID"
	kill -KILL "$(server_pid)"
	wait_for screen_has 'no answer'
	kill -CONT "$DAEMON_PID"
	wait_for screen_has '^q end'
	wait_for screen_has '^ ARENA'
}

@test 'without a daemon, and with a terminal that cannot, it says so' {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/nobody
	run -3 shmallocctl top
	daemon_start
	tmux -S "$TERMINAL" -f /dev/null new-session -d -x 80 -y 24 \
	    "TERM=nothing shmallocctl top; echo ended \$?; exec cat" 3>&-
	wait_for screen_has 'use --batch'
	wait_for screen_has '^ended 70'
}
