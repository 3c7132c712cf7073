# Attach, then fork: prefork servers, threads, programs, generations.
load helper

setup_file()
{
	client_build fork.c
}

setup()
{
	daemon_start --size 128M
}

teardown()
{
	daemon_stop
}

forks()
{
	"$BATS_FILE_TMPDIR/fork" "$1" >&2
}

@test "each worker of a prefork server is a client of its own" {
	forks prefork
}

@test "what the parent held stays the parent's" {
	forks parents_stay_the_parents
}

@test "a child of a reader is outside" {
	forks reading
}

# In a child that is forked while another thread allocates, malloc() waits for a
# lock that nobody has any more.
malloc_is_sound()
{
	case $CC in
	*sanitize*) skip 'its allocator is not sound in a child of threads' ;;
	esac
}

@test "a child is sound although other threads were inside an allocation" {
	malloc_is_sound
	forks threads_inside
}

@test "threads fork beside each other, and so do their children's threads" {
	malloc_is_sound
	forks threads_fork
}

@test "programs that are run by vfork, posix_spawn or a child get nothing" {
	forks programs
}

@test "a child that never called delays nobody's reclaim, and can call later" {
	forks silent_child
}

@test "a detach in a child that is no client gives nothing away" {
	forks detach_in_child
}

@test "a child of a handler that interrupted a call does nothing to its parent" {
	# So that most of the time is spent in arenas.
	shmallocctl tune set tcache.count=0
	forks handler_forks
}

@test "such a child is told that it has lost the heap, and may attach anew" {
	shmallocctl tune set tcache.count=0
	forks handler_child_looks
}
