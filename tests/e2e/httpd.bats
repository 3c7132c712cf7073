# The example server, examples/httpd.c: what it answers, and what is left when
# its workers are killed and its clients are slow.
load helper

examples=$BATS_TEST_DIRNAME/../../examples

# As the guide says.
setup_file() {
	client_build cache_lease.c
	# CC and pkg-config's answer are lists of words.
	# shellcheck disable=SC2046,SC2086
	$CC -std=gnu17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
	    -I "$examples/.." -o "$BATS_FILE_TMPDIR/httpd" "$examples"/httpd*.c \
	    $(pkg-config --cflags --libs shmalloc-cache libevent)
}

setup() {
	root=$BATS_TEST_TMPDIR/www
	got=$BATS_TEST_TMPDIR/got
	mkdir "$root"
	unset http_proxy
}

teardown() {
	[ -z "${slow-}" ] || exec {slow}>&-
	[ -z "${server-}" ] || kill "$server" 2>/dev/null || :
	[ -z "${server_first-}" ] || kill "$server_first" 2>/dev/null || :
	daemon_stop
}

# Serve $root, with the arguments given; its URL is in $url.
serve() {
	[ -n "${DAEMON_PID-}" ] || daemon_start
	rm -f "$BATS_TEST_TMPDIR/url"
	(
		inherited_close
		exec "$BATS_FILE_TMPDIR/httpd" "$@" "$root"
	) >"$BATS_TEST_TMPDIR/url" 2>"$BATS_TEST_TMPDIR/server.log" &
	server=$!
	wait_for test -s "$BATS_TEST_TMPDIR/url"
	read -r url <"$BATS_TEST_TMPDIR/url"
}

# End it; all must have ended well, and nothing be left but the cache.
serve_end() {
	kill -TERM "$server"
	wait "$server"
	server=
}

get() {
	curl -sS --path-as-is --max-time 30 "$@"
}

status_of() {
	get -o "$got" -w '%{http_code}' "$@"
}

# file NAME BYTES
file() {
	head -c "$2" /dev/urandom >"$root/$1"
}

# The sum of a column of the workers' counters.
counted() {
	get "${url}stats" | awk -v name="$1" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i }
		NR > 1 && $1 ~ /^[0-9]+$/ { sum += $column }
		END { print sum + 0 }'
}

counted_is() {
	[ "$(counted "$1")" = "$2" ]
}

# A figure of the cache.
cached() {
	shmallocctl --json cache stats httpd | jq ".[0]$1"
}

@test "files come as they are: empty, copied, in place, and past the cache" {
	local len

	serve -t 0 -m 1024
	for len in 0 1 4096 4097 100000 $((1 << 20)) $(((1 << 20) + 1)); do
		file "$len" "$len"
		for _ in miss hit hit; do
			get --fail -o "$got" "$url$len"
			cmp "$root/$len" "$got"
		done
	done
	counted_is reads 6
	counted_is hits 12
	counted_is in_place 6
	counted_is uncached 3
	[ "$(cached .entries)" = 6 ]
}

@test "names may have any bytes, and their ending is the type" {
	serve
	file 'a b%41&ü.html' 100
	mkdir "$root/folder"
	file folder/plain 100
	get --fail -o "$got" -w '%{content_type}' \
	    "${url}a%20b%2541%26%C3%BC.html" >"$BATS_TEST_TMPDIR/type"
	cmp "$root/a b%41&ü.html" "$got"
	[ "$(cat "$BATS_TEST_TMPDIR/type")" = 'text/html; charset=utf-8' ]
	get --fail -o "$got" "${url}folder/plain"
	cmp "$root/folder/plain" "$got"
}

@test "HEAD gives what GET does, without the bytes" {
	local head

	serve
	file f 5000
	get --head "${url}f" >"$got"
	grep -q $'^Content-Length: 5000\r$' "$got"
	head=$(grep '^ETag: ' "$got")
	[ "$(get -D - -o "$got" "${url}f" | grep '^ETag: ')" = "$head" ]
}

@test "who has the file is told so; who has another version gets it" {
	local tag

	serve -t 1
	file f 5000
	tag=$(get --head "${url}f" | tr -d '\r' | sed -n 's/^ETag: //p')
	[ "$(status_of -H "If-None-Match: $tag" "${url}f")" = 304 ]
	[ "$(status_of -H "If-None-Match: \"x\", $tag" "${url}f")" = 304 ]
	[ "$(status_of -H 'If-None-Match: *' "${url}f")" = 304 ]
	[ "$(status_of -H 'If-None-Match: "x"' "${url}f")" = 200 ]
	file f 5001
	is_new() { [ "$(status_of -H "If-None-Match: $tag" "${url}f")" = 200 ]; }
	wait_for is_new
	cmp "$root/f" "$got"
}

@test "what is no file, or lies outside, is refused" {
	serve
	file inside 10
	echo secret >"$BATS_TEST_TMPDIR/outside"
	ln -s inside "$root/in"
	ln -s ../outside "$root/out"
	ln -s "$root/inside" "$root/absolute"
	mkdir "$root/folder"
	mkfifo "$root/fifo"
	[ "$(status_of "${url}in")" = 200 ]
	[ "$(status_of "${url}folder/../inside")" = 200 ]
	for path in nosuch folder fifo '' inside/x "$(printf '%0300d' 0)"; do
		[ "$(status_of "$url$path")" = 404 ]
	done
	for path in out absolute ../outside %2e%2e/outside folder/../../outside \
	    ../www/inside; do
		[ "$(status_of "$url$path")" = 403 ]
	done
	[ "$(status_of "${url}inside%00")" = 400 ]
	[ "$(status_of -X POST "${url}inside")" = 405 ]
	[ "$(status_of -X DELETE "${url}inside")" = 405 ]
	# None of that is in the cache, and each is looked for again.
	[ "$(cached .entries)" = 2 ]
	file nosuch 10
	[ "$(status_of "${url}nosuch")" = 200 ]
}

@test "a changed file is seen when its time is over, without that never" {
	serve -t 100
	file f 5000
	get -o "$got" "${url}f"
	file f 6000
	is_new() { get -o "$got" "${url}f" && cmp "$root/f" "$got"; }
	wait_for is_new
	serve_end

	"$BATS_FILE_TMPDIR/httpd" -r
	serve -t 0
	get -o "$got" "${url}f"
	cp "$root/f" "$BATS_TEST_TMPDIR/old"
	file f 7000
	for _ in 1 2 3 4 5 6 7 8; do
		get -o "$got" "${url}f"
		cmp "$BATS_TEST_TMPDIR/old" "$got"
	done
}

@test "of many who ask for a file at once one reads it" {
	local i

	serve -t 0
	file f 1000000
	for ((i = 0; i < 40; i++)); do
		printf 'url = %sf\noutput = %s.%d\n' "$url" "$got" "$i"
	done >"$BATS_TEST_TMPDIR/urls"
	get --fail -Z --parallel-max 40 -K "$BATS_TEST_TMPDIR/urls" 2>&1
	for ((i = 0; i < 40; i++)); do
		cmp "$root/f" "$got.$i"
	done
	counted_is reads 1
	counted_is hits 39
}

@test "who holds a lease and doesn't go on delays the others, but not for ever" {
	local holder

	serve -t 0
	file f 5000
	mkfifo "$BATS_TEST_TMPDIR/in"
	(
		inherited_close
		exec "$BATS_FILE_TMPDIR/cache_lease" httpd f
	) <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/held" &
	holder=$!
	exec {slow}>"$BATS_TEST_TMPDIR/in"
	wait_for grep -q held "$BATS_TEST_TMPDIR/held"
	for _ in 1 2; do
		get --fail -o "$got" "${url}f"
		cmp "$root/f" "$got"
	done
	counted_is uncached 2
	# The lease of the dead is nobody's.
	kill -KILL "$holder"
	wait "$holder" || :
	for _ in 1 2; do
		get --fail -o "$got" "${url}f"
		cmp "$root/f" "$got"
	done
	counted_is uncached 2
	counted_is reads 3
	counted_is hits 1
}

@test "the cache outlives the server, until it is removed" {
	serve -t 0
	file f 50000
	get -o "$got" "${url}f"
	serve_end
	serve -t 0
	get -o "$got" "${url}f"
	cmp "$root/f" "$got"
	counted_is reads 1
	run -1 "$BATS_FILE_TMPDIR/httpd" -r
	[[ $output == *"process $(worker_pids | head -n 1) serves"* ]]
	counted_is reads 1
	serve_end
	"$BATS_FILE_TMPDIR/httpd" -r
	wait_for figure_is .objects 0
	[ "$(shmallocctl --json roots | jq length)" = 0 ]
}

@test "a server of another folder doesn't answer with this one's files" {
	local first=$root second=$BATS_TEST_TMPDIR/second url_first

	mkdir "$second"
	serve -t 0
	file f 5000
	get -o "$got" "${url}f"
	url_first=$url
	server_first=$server
	root=$second
	serve -t 0
	file f 5000
	for _ in 1 2 3; do
		get --fail -o "$got" "${url}f"
		cmp "$second/f" "$got"
		get --fail -o "$got" "${url_first}f"
		cmp "$first/f" "$got"
	done
	serve_end
	server=$server_first
	serve_end
	server_first=
	[ "$(cached .entries)" = 1 ]
}

# Files for load.lua, more than a cache of 1 MiB holds, and their list.
load_files() {
	local i

	for ((i = 1; i <= 100; i++)); do
		file "$i" $((i * 337))
		echo "$i"
	done >"$BATS_TEST_TMPDIR/list"
}

# Until load_end, a minute at most.
load_start() {
	wrk -t8 -c8 -d60s -s "$examples/load.lua" "$url" -- "$root" \
	    "$BATS_TEST_TMPDIR/list" >"$BATS_TEST_TMPDIR/load" 3>&- &
	load=$!
}

load_end() {
	kill -INT "$load"
	wait "$load"
}

loaded() {
	sed -n "s/^load:.* $1=\([0-9]*\).*/\1/p" "$BATS_TEST_TMPDIR/load"
}

worker_pids() {
	get "${url}stats" | awk '$1 ~ /^[0-9]+$/ { print $2 }'
}

@test "a worker killed under load costs the requests that it had in hand" {
	local load victim pids=

	serve -l 1024 -t 200
	load_files
	load_start
	for _ in 1 2 3; do
		answers_grow 500
		# Whoever answers this one is at work.
		victim=$(get --head "${url}1" | tr -d '\r' |
		    sed -n 's/^X-Worker: //p')
		kill -KILL "$victim"
		pids+=" $victim"
		wait_for killed_is_replaced "$victim"
	done
	answers_grow 500
	load_end
	cat "$BATS_TEST_TMPDIR/load" "$BATS_TEST_TMPDIR/server.log" >&2
	[ "$(loaded answers)" -gt 500 ]
	[ "$(loaded wrong)" = 0 ]
	[ "$(loaded failed)" -le "$(loaded moved)" ]
	for victim in $pids; do
		grep -q "(process $victim) was killed by signal 9" \
		    "$BATS_TEST_TMPDIR/server.log"
	done
	serve_end
	"$BATS_FILE_TMPDIR/httpd" -r
	wait_for figure_is .objects 0
	[ "$(figure .bytes.in_use_chunks)" = 0 ]
}

# Wait until N more answers were given.
answers_grow() {
	local from

	from=$(counted answers)
	answers_are_more() { [ "$(counted answers)" -ge "$1" ]; }
	wait_for answers_are_more $((from + $1))
}

killed_is_replaced() {
	local pids

	pids=$(worker_pids)
	[ "$(wc -w <<<"$pids")" = 4 ] && ! grep -qx "$1\|0" <<<"$pids"
}

@test "a slow reader holds no memory back, and gets its bytes in the end" {
	local i port

	serve -w 1 -t 0 -l 12288 -m 8192
	file big $((8 << 20))
	for ((i = 1; i <= 30; i++)); do
		file "$i" $((1 << 20))
	done
	get -o "$got" "${url}big"
	port=${url##*:}
	exec {slow}<>"/dev/tcp/127.0.0.1/${port%/}"
	printf 'GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' \
	    >&"$slow"
	# Nothing of it is read yet, and the worker is outside again.
	wait_for counted_is copied 1
	for ((i = 1; i <= 30; i++)); do
		get -o "$got" "$url$i"
	done
	# Evicted, and free: beside the cache's 12 MiB at most one batch waits.
	[ "$(cached .evicted.limit)" -ge 19 ]
	[ "$(figure .bytes.pending)" -lt $((4 << 20)) ]
	[ "$(figure .bytes.allocated)" -lt $((16 << 20)) ]
	sed '1,/^\r$/d' <&"$slow" | cmp - "$root/big"
}

@test "slow readers beyond what may be copied for them are cut off" {
	local i port fds=()

	serve -w 1 -t 0 -m 16384
	file big $((15 << 20))
	file small 100000
	get -o "$got" "${url}big"
	port=${url##*:}
	for ((i = 0; i < 8; i++)); do
		exec {slow}<>"/dev/tcp/127.0.0.1/${port%/}"
		fds+=("$slow")
		printf 'GET /big HTTP/1.0\r\n\r\n' >&"$slow"
	done
	wait_for counted_is copied 8
	# It serves on, and some of them got less than they asked for.
	get -o "$got" "${url}small"
	cmp "$root/small" "$got"
	for slow in "${fds[@]}"; do
		timeout 30 cat <&"$slow" | wc -c
		exec {slow}>&-
	done >"$BATS_TEST_TMPDIR/lens"
	slow=
	cat "$BATS_TEST_TMPDIR/lens" >&2
	[ "$(awk '$1 > 15 * 1048576' "$BATS_TEST_TMPDIR/lens" | wc -l)" -ge 3 ]
	[ "$(awk '$1 < 15 * 1048576' "$BATS_TEST_TMPDIR/lens" | wc -l)" -ge 1 ]
}

@test "a server that is killed leaves no worker, and no client" {
	local pids

	serve
	file f 5000
	get -o "$got" "${url}f"
	pids=$(worker_pids)
	kill -KILL "$server"
	wait "$server" || :
	server=
	is_gone() { ! kill -0 $pids; }
	# Words.
	# shellcheck disable=SC2086
	wait_for is_gone
	no_client() {
		[ "$(shmallocctl --json clients |
		    jq '[.[] | select(.state == "alive")] | length')" = 0 ]
	}
	wait_for no_client
	"$BATS_FILE_TMPDIR/httpd" -r
	wait_for figure_is .objects 0
}

@test "bad arguments, a port that is taken and no daemon are errors" {
	local httpd=$BATS_FILE_TMPDIR/httpd

	serve
	port=${url##*:}
	run -2 "$httpd"
	run -2 "$httpd" -r "$root"
	run -2 "$httpd" -z "$root"
	run -2 "$httpd" -w 65 "$root"
	[[ $output == *'-w 65: not a number from 1 to 64'* ]]
	run -2 "$httpd" -p -1 "$root"
	run -1 "$httpd" "$root/nosuch"
	[[ $output == *'No such file'* ]]
	run -1 "$httpd" -p "${port%/}" "$root"
	[[ $output == *"port ${port%/}: Address already in use"* ]]
	SHMALLOC_SOCKET=$root run -1 "$httpd" "$root"
	[[ $output == *'attach: no daemon answers'* ]]
}
