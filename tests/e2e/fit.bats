# shmallocctl fit: what it says is what then happens.
load helper

setup_file()
{
	holder_build
}

teardown()
{
	daemon_stop
}

# The value at a jq PATH of `fit` with the arguments that follow.
fit_of()
{
	shmallocctl fit --json "${@:2}" | jq -r "$1"
}

@test 'fit is 0 if it would, 1 if not, and says where and why not' {
	daemon_start --size 16M
	holder_start
	holder_tell alloc 1000
	run -0 --separate-stderr shmallocctl fit 10K
	[[ $output == 'yes: 1 of 10240 wanted, '* ]]
	grep -qE '^ +0 +[1-9][0-9]* +1 ' <<<"$output"
	run -1 --separate-stderr shmallocctl fit 10K --count 5000
	[[ $output == 'no: 5000 of 10240 wanted, '* ]]
	[[ $output == *'why: full: '* ]]
	[[ $stderr == *'tune set limit.hard='* ]]
	run -0 shmallocctl tune set limit.hard=128M
	run -0 shmallocctl fit 10K --count 5000
	run -5 shmallocctl --segment nowhere fit 1
	run -2 shmallocctl fit
	run -2 shmallocctl fit 10Q
}

@test 'as many as fit says can be allocated' {
	local foretold got

	daemon_start --size 16M
	holder_start
	for size in 100 20000 700000; do
		foretold=$(fit_of .objects $size)
		got=$(holder_tell alloc $size 1000000)
		[[ $got == 'done '*' full' ]]
		got=${got#done }
		got=${got% full}
		# Tables, and the rest of the last commit.
		((got <= foretold + foretold / 32 + 2))
		((got >= foretold - foretold / 32 - 2))
		run -1 shmallocctl fit $size --count $((foretold / 8 + 8))
		holder_tell free
	done
}

@test 'a fragmented segment is told from a full one' {
	daemon_start --size 16M
	shmallocctl tune set tcache.count=0
	holder_start
	[[ $(holder_tell alloc 1000 1000000) == *' full' ]]
	[ "$(fit_of .reason 64K)" = full ]
	holder_tell sieve
	run -0 shmallocctl fit 1000 --count 1000
	run -1 --separate-stderr shmallocctl fit 64K
	[[ $output == *'why: fragmented: '*' are free'* ]]
	[[ $stderr == *'shmallocctl map'* ]]
	[[ $(holder_tell alloc 64000) == *fragmented ]]
}

@test 'what refuses every such object is named' {
	daemon_start --size 16M
	[ "$(fit_of .reason 1P)" = too_large ]
	shmallocctl tune set limit.client=1M
	[ "$(fit_of .reason 2M)" = quota ]
	[ "$(fit_of .fits 1000)" = true ]
}
