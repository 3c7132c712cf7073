# The operator's guide: its sessions, against a segment that is in use.
bats_require_minimum_version 1.5.0
load helper

setup_file() {
	holder_build
}

teardown() {
	[ -z "${BUSY-}" ] || kill -KILL "$BUSY"
	daemon_stop
}

# 16 MiB, of which a published cache, a client with holes in what it holds, and
# one that is busy have their parts; one more was killed.
scene() {
	daemon_start --size 16M
	holder_start
	holder_tell publish sessions 4000
	holder_tell alloc 3000 900
	holder_tell alloc 60000 80
	holder_tell sieve
	holder_start
	holder_tell alloc 500 2000
	# Until the end of the test.
	BUSY=$HOLDER_PID
	echo contend 200 1000000000 >&"$HOLDER_IN"
	holder_start
	holder_tell alloc 1000 1000
	kill -KILL "$HOLDER_PID"
	wait_for killed_is_back "$HOLDER_PID"
	holder_start
	holder_tell alloc 200000 200
}

killed_is_back() {
	[ "$(shmallocctl --json clients "$1" | jq -r '.[0].state')" = reclaimed ]
}

@test "the operator's guide shows what the commands print" {
	scene
	run -0 "$BATS_TEST_DIRNAME/../tools/guide.py" ${GUIDE_WRITE:+-w} \
	    "$BATS_TEST_DIRNAME/../../docs/operators-guide.md"
}
