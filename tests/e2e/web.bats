# The daemon's page, in a browser: see web.py.
load helper

setup_file() {
	holder_build
	client_build cache_scene.c
}

setup() {
	daemon_start --segment web:16M --http 127.0.0.1:0
	port=$(sed -n 's/.*http: listening on .*://p' "$DAEMON_LOG")
}

teardown() {
	daemon_stop
}

scene() {
	"$BATS_FILE_TMPDIR/cache_scene" "$@"
}

# Two clients that hold something, and two caches.
clients_start() {
	holder_start
	holder_tell alloc 1000 300
	holder_tell publish kept 5000
	holder_start
	holder_tell alloc 100000 20
	holder_tell sieve
	scene pages 300000 fill 600 1000 get 600
	scene '<b>bold</b>' 0 fill 10 10
}

# A person's visit: web SCENARIO [ARGUMENT...]
web() {
	# Debian's Python, whichever else is first in PATH.
	/usr/bin/python3 -B "$BATS_TEST_DIRNAME/web.py" \
	    "http://127.0.0.1:$port/" "$@"
}

@test "the page shows what shmallocctl prints" {
	clients_start
	web values
}

@test "columns sort, the legend picks, pause pauses, segments change" {
	clients_start
	web clicks
}

@test "the page fits a phone" {
	clients_start
	web narrow
}

@test "text stands out in light and in dark, and all has a name" {
	clients_start
	web readable
}

@test "the page says that the daemon is gone, and goes on with the next" {
	local pid
	pid=$(server_pid)
	# The keeper's next daemon comes when the keeper goes on.
	kill -STOP "$DAEMON_PID"
	web outage kill -KILL "$pid" kill -CONT "$DAEMON_PID"
}
