# Calls that a signal interrupts: jumps, handlers that call, on any stack.
load helper

setup_file()
{
	client_build interrupt.c
}

setup()
{
	daemon_start
}

teardown()
{
	daemon_stop
}

interrupts()
{
	"$BATS_FILE_TMPDIR/interrupt" "$1" >&2
}

@test "after a jump out of a call, calls from deeper frames are served" {
	interrupts deeper_after_jump
}

@test "after a jump, calls of a handler of something else are served" {
	interrupts handler_after_jump
}

@test "a handler that interrupts a call is refused, and disturbs nothing" {
	interrupts call_in_handler
}

@test "so is one on a stack of its own, above or below" {
	interrupts call_in_handler_elsewhere
}

@test "a jump out of a call on the stack for signals leaves nothing refused" {
	interrupts jump_from_elsewhere
}
