# The scripts that complete shmallocctl's words in shells.
load helper

setup_file()
{
	shmallocctl completion bash >"$BATS_FILE_TMPDIR/bash"
	client_build cache_scene.c
}

teardown()
{
	daemon_stop
}

# What bash offers after the words given, the last of which is begun.
offered()
{
	bash -c '
		. "$0"
		complete -p shmallocctl | grep -q "_shmallocctl shmallocctl" ||
		    exit 1
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_shmallocctl
		echo "${COMPREPLY[@]}"' "$BATS_FILE_TMPDIR/bash" shmallocctl "$@"
}

@test 'commands, verbs and options are completed in bash' {
	[ "$(offered sta)" = 'status stats' ]
	[ "$(offered tune se)" = set ]
	[ "$(offered clients ev)" = evict ]
	[ "$(offered stats --ex)" = --exact ]
	[ "$(offered tune set x --dr)" = --dry-run ]
	[ "$(offered status --ex)" = '' ]
	[ "$(offered --j)" = --json ]
	[ "$(offered --socket /nowhere st)" = 'status stats' ]
	[ "$(offered --socket /nowhere tune ge)" = get ]
	[ "$(offered stats --by bi)" = bin ]
	[ "$(offered completion z)" = zsh ]
	[ "$(offered schema seg)" = segment ]
}

@test 'every command of help is offered' {
	local command offered

	offered=" $(offered '') "
	while read -r command; do
		[[ $offered == *" $command "* ]]
	done < <(shmallocctl help | awk '
		/^$/ { part++ }
		part == 1 && /^  / { print $1 }')
}

@test 'names are those of the daemon that is there' {
	[ "$(offered tune get tcache.c)" = '' ]
	daemon_start
	shmallocctl segment create other --size 16M
	[ "$(offered tune get tcache.c)" = tcache.count ]
	[ "$(offered --segment oth)" = other ]
	[ "$(offered segment destroy d)" = default ]
	"$BATS_FILE_TMPDIR/cache_scene" pages 0
	[ "$(offered cache keys p)" = pages ]
}

@test 'paths are completed where an option takes one' {
	mkdir "$BATS_TEST_TMPDIR/dir"
	touch "$BATS_TEST_TMPDIR/file"
	[ "$(offered --socket "$BATS_TEST_TMPDIR/")" = "$BATS_TEST_TMPDIR/dir" ]
	[ "$(offered metrics --textfile "$BATS_TEST_TMPDIR/f")" = \
	    "$BATS_TEST_TMPDIR/file" ]
}

@test 'the shells that are there read their script' {
	local shell

	bash -n "$BATS_FILE_TMPDIR/bash"
	for shell in zsh fish; do
		shmallocctl completion $shell >"$BATS_TEST_TMPDIR/$shell"
		[ "$(wc -l <"$BATS_TEST_TMPDIR/$shell")" -gt 40 ]
		! command -v $shell || $shell -n "$BATS_TEST_TMPDIR/$shell"
	done
	! command -v fish || [ "$(HOME=$BATS_TEST_TMPDIR fish -c "
	    source $BATS_TEST_TMPDIR/fish
	    complete -C 'shmallocctl tune se'" | cut -f 1)" = set ]
	run -2 shmallocctl completion csh
}
