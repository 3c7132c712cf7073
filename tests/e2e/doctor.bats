# shmallocctl doctor, on segments in good and in bad health.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	daemon_stop
}

# The rules that find something.
findings()
{
	shmallocctl doctor --json | jq -r '.findings[].rule'
}

@test 'in good health it is 0 and one line' {
	daemon_start
	holder_start
	holder_tell alloc 1000 100
	run -0 --separate-stderr shmallocctl doctor
	[[ $output == 'ok: '*' rules, nothing found' ]]
	[ -z "$stderr" ]
	run -0 shmallocctl doctor --json
	jq -e '.schema == "shmalloc.doctor/1" and .level == "ok" and
	    .rules > 10 and .findings == []' <<<"$output"
}

@test 'a misuse is a warning with evidence, meaning and a command' {
	daemon_start
	holder_start
	holder_tell alloc 1000
	holder_tell twice
	run -1 --separate-stderr shmallocctl doctor
	[ "${lines[0]}" = 'warning: misuse' ]
	[[ ${lines[1]} == '    found: 1 double or invalid frees'* ]]
	[[ ${lines[2]} == '    means: '* ]]
	[[ $output == *'    run: shmallocctl tune set misuse=warn check.level=1' ]]
	# What it says to run can be run, and is seen then.
	shmallocctl tune set misuse=warn check.level=1
	[ "$(findings)" = $'misuse\ndebugging' ]
}

@test 'a full segment is critical, and no more when the limit is raised' {
	daemon_start --size 16M
	holder_start
	[[ $(holder_tell alloc 1000 1000000) == *' full' ]]
	run -2 shmallocctl doctor
	[ "${lines[0]}" = 'critical: full' ]
	shmallocctl tune set limit.hard=8G
	run -0 shmallocctl doctor
}

@test 'fragmentation is found where it hurts' {
	daemon_start --size 32M
	shmallocctl tune set tcache.count=0
	holder_start
	[[ $(holder_tell alloc 1000 1000000) == *' full' ]]
	holder_tell sieve
	# Quick statistics look at so many pieces only.
	[ "$(findings)" = fragmentation ]
	run -1 shmallocctl doctor
	[[ $output == *'fit 65536'* ]]
	shmallocctl tune set limit.hard=1G
	[ "$(findings)" = '' ]
}

@test 'a reader who holds retired memory back is named' {
	local reader

	daemon_start
	holder_start
	holder_tell enter
	reader=$HOLDER_PID
	holder_start
	for i in 1 2 3 4 5 6 7 8; do
		holder_tell publish name 1000000
		holder_tell withdraw name
	done
	wait_for eval '[ "$(findings)" = readers ]'
	run shmallocctl doctor
	((status == 1 || status == 2))
	[[ $(shmallocctl doctor --json) == *"process $reader has been reading"* ]]
}

@test 'a damaged arena is critical' {
	DAMAGED=1
	daemon_start
	holder_start
	holder_tell alloc 1000 100
	holder_tell scribble
	shmallocctl check || :
	run -2 shmallocctl doctor
	[[ $output == 'critical: damage'* ]]
	[[ $output == *'shmallocctl check --repair'* ]]
	holder_tell mend
}

@test 'what kept it from running is 3' {
	daemon_start
	run -3 shmallocctl --segment nowhere doctor
	run -3 shmallocctl --socket /nowhere doctor
	run -3 shmallocctl doctor now
	run -3 shmallocctl doctor --nonsense
	run -0 shmallocctl doctor --help
}
