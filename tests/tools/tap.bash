# Counting test results in TAP.  Sourced by ./check and by its own tests.

# Set passed, failed and skipped from the TAP in FILE, of a producer that ended
# with STATUS.  Nothing counts as passed that did not say so: no result at all
# is a failure, and so is a bad status which no "not ok" explains.
tap_count()
{
	local file=$1 status=$2

	read -r passed failed skipped < <(awk '
		/^not ok/ { failed++; next }
		tolower($0) ~ /^ok .*# *skip/ { skipped++; next }
		/^ok( |$)/ { passed++ }
		END { print passed + 0, failed + 0, skipped + 0 }' "$file")
	if ((failed == 0 && (status != 0 || passed + skipped == 0))); then
		failed=1
	fi
}

# Print "ok - TITLE" or "not ok - TITLE" by the exit status of COMMAND, whose
# output goes to standard error.
tap_run()
{
	local title=$1 status=0

	shift
	"$@" >&2 || status=$?
	((status == 0)) || printf 'not '
	printf 'ok - %s\n' "$title"
	return "$status"
}
