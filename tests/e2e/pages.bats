# The manual pages: each public function is described, and each page can be read
# without a complaint.
bats_require_minimum_version 1.5.0

setup() {
	man=$SHMALLOC_BUILD/inst/share/man
	[ -d "$man" ] || skip "built without manual pages"
	libraries=("$SHMALLOC_BUILD"/inst/lib/libshmalloc{,-cache}.so)
}

# The page FILE as a reader sees it, in lines that nothing breaks.
page() {
	MANROFFSEQ='' MANWIDTH=2000 man --local-file "$man/$1"
}

@test "each function that the libraries export is on a page, with what it does" {
	page man3/shmalloc.3 >"$BATS_TEST_TMPDIR/shmalloc"
	page man3/shmalloc-cache.3 >"$BATS_TEST_TMPDIR/cache"
	page man3/shmalloc-control.3 >"$BATS_TEST_TMPDIR/control"
	n=0
	for name in $(nm -D --defined-only "${libraries[@]}" |
	    sed -n 's/.* T \(shmalloc_[a-z0-9_]*\).*/\1/p') shmalloc_ptr; do
		case $name in
		shmalloc_cache_*) text=$BATS_TEST_TMPDIR/cache ;;
		shmalloc_control_*) text=$BATS_TEST_TMPDIR/control ;;
		*) text=$BATS_TEST_TMPDIR/shmalloc ;;
		esac
		# Its declaration; after that, and perhaps others', a sentence.
		awk -v name="$name" '
			/;$/ { is_here = 0 }
			index($0, name "(") && !/\.$/ { is_here = has = 1 }
			has && !is_declared && /\.$/ { is_declared = 1 }
			END { exit !is_declared }' "$text" || {
			echo "not described: $name"
			return 1
		}
		# And the way there.
		[ -e "$man/man3/$name.3" ]
		n=$((n + 1))
	done
	[ "$n" -gt 50 ]
}

@test "each error and each flag of the headers is on a page" {
	for name in $(cat "$SHMALLOC_BUILD"/inst/include/shmalloc/*.h |
	    grep -oE '\bSHMALLOC_[A-Z_]+\b' | sort -u |
	    grep -vE '_H$|^SHMALLOC_E$'); do
		page man3/shmalloc.3 | grep -q "$name" ||
		    page man3/shmalloc-cache.3 | grep -q "$name" ||
		    page man3/shmalloc-control.3 | grep -q "$name" || {
			echo "not described: $name"
			return 1
		}
	done
}

@test "each option of the daemon is in its manual" {
	for name in $(shmallocd --help | grep -oE -e '--[a-z-]+' | sort -u); do
		page man8/shmallocd.8 | grep -q -e "$name" || {
			echo "not described: $name"
			return 1
		}
	done
}

@test "each page is formatted without a complaint" {
	n=0
	for file in "$man"/man?/*.?; do
		run -0 --separate-stderr env MANWIDTH=80 man --warnings \
		    --local-file "$file"
		[ -z "$stderr" ] || { echo "$file: $stderr"; return 1; }
		[[ $output == *NAME* || $(cat "$file") == .so* ]]
		n=$((n + 1))
	done
	[ "$n" -gt 50 ]
}
