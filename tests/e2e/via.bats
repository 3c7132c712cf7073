# shmallocctl --via segment: what is seen while the daemon does not answer.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	[ -z "${STOPPED-}" ] || kill -CONT "$STOPPED" 2>/dev/null || :
	[ -z "${GONE-}" ] || DAEMON_PID=
	daemon_stop
}

# Have the daemon stand still.
server_stop()
{
	STOPPED=$(server_pid)
	kill -STOP "$STOPPED"
}

via()
{
	shmallocctl "$@" --via segment
}

@test 'the segment says what the daemon would' {
	local path asked seen

	daemon_start
	shmallocctl segment create two --size 16M
	holder_start
	holder_tell alloc 1000 500
	holder_tell publish it 60000
	# What the timer commits ahead is there.
	sleep 0.5
	asked=$(shmallocctl stats --json)
	server_stop
	seen=$(via stats --json)
	for path in .bytes.allocated .bytes.committed .activity.allocs \
	    .clients.alive '.segment | del(.created)' .arenas .bins .peak .fragmentation; do
		diff <(jq -c "$path" <<<"$asked") <(jq -c "$path" <<<"$seen")
	done
	jq -e '.bytes.allocated > 500000 and .clients.alive == 1 and
	    .daemon.pid == null and .exact == false' <<<"$seen"
	run -0 via status
	[[ $output == 'default: ok  up ?'*'clients 1  pid ?' ]]
	run -0 via stats
	grep -q '^ARENA' <<<"$output"
	run -0 via segment list --no-headings
	[ "${#lines[@]}" -eq 2 ]
	[ "$(via tune list --json | jq length)" -gt 15 ]
	via metrics | promtool check metrics
	[ "$(via --segment two status --json | jq -r .segment.name)" = two ]
	run -5 shmallocctl --segment nowhere status --via segment
}

@test 'it is live: what clients do meanwhile is seen' {
	daemon_start
	holder_start
	server_stop
	holder_tell alloc 20000 50
	wait_for eval '(($(via stats --json | jq .activity.allocs) >= 50))'
	holder_tell free
	run -0 via stats --watch 0.1 --count 2 --json
	[ "${#lines[@]}" -eq 2 ]
}

@test 'what only the daemon can answer is refused' {
	daemon_start
	run -3 --separate-stderr via stats --exact
	[[ $stderr == *'only the daemon can answer that'* ]]
	run -3 via stats --by client
	# Nothing is changed by it, whoever asks.
	run -2 via tune set tcache.count=1
	[ "$(shmallocctl tune get tcache.count)" = 1024 ]
}

@test 'it is there while the daemon ends again and again' {
	local i

	daemon_start
	holder_start
	holder_tell alloc 1000 100
	# Each short life makes the next start wait longer.
	for i in 1 2 3 4; do
		kill -KILL "$(server_pid)" || :
		run -0 via status
	done
	wait_for shmallocctl status
	[ "$(figure .objects)" = 100 ]
}

@test 'without a keeper, or with both gone, it is 3' {
	daemon_start --no-keeper
	[ ! -e "$SHMALLOC_SOCKET/keeper" ]
	run -3 --separate-stderr via stats
	[[ $stderr == *'no keeper'* ]]
	daemon_stop
	daemon_start
	[ -S "$SHMALLOC_SOCKET/keeper" ]
	server_stop
	kill -KILL "$DAEMON_PID" "$STOPPED"
	wait "$DAEMON_PID" || :
	GONE=1
	run -3 via stats
}

@test 'a daemon that takes over has it from its own keeper' {
	local old

	daemon_start
	old=$DAEMON_PID
	shmallocctl segment create two --size 16M
	daemon_start --takeover
	wait "$old"
	server_stop
	run -0 via --segment two status
}

@test 'whoever may not look may not look here, either' {
	daemon_start -p monitor_group=root
	chmod 755 "$BATS_TEST_TMPDIR" "$SHMALLOC_SOCKET"
	[ "$(stat -c '%a %G' "$SHMALLOC_SOCKET/keeper")" = '660 root' ]
	run -4 setpriv --reuid 65534 --regid 65534 --clear-groups \
	    shmallocctl status --via segment
	# The role counts, and not only the file's mode.
	chmod 666 "$SHMALLOC_SOCKET/keeper"
	run -4 setpriv --reuid 65534 --regid 65534 --clear-groups \
	    shmallocctl status --via segment
	run -0 via status
}

@test 'those who come and say nothing are few, and do not stay' {
	daemon_start
	python3 - "$SHMALLOC_SOCKET/keeper" 3>&- <<-'END' &
	import socket, sys, time
	all = []
	for i in range(6):
	    s = socket.socket(socket.AF_UNIX)
	    s.connect(sys.argv[1])
	    all.append(s)
	# The keeper closes those that are too many, the onlookers the others.
	for s in all:
	    assert s.recv(1) == b""
	END
	local peers=$!
	wait "$peers"
	run -0 via status
	run -0 shmallocctl status
}
