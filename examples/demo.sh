#!/usr/bin/env bash
# The main job on real data; ./demo builds, then calls this.
#
#   examples/demo.sh BUILD [FOLDER]
#
# BUILD is a build folder in which `make install` was done to BUILD/inst.
# FOLDER: what to serve; without it this machine's documentation and headers.
#
# Prints a line `ok - ...` for each thing that was verified and ends with one
# line alone: N passed, N failed, N skipped.  Exit 0 only if nothing failed.
set -u
build=$(cd "${1:?usage: examples/demo.sh BUILD [FOLDER]}" && pwd) || exit 1
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
if (($# > 1)); then
	root=$2
	below=(.)
else
	root=/usr
	below=(share/common-licenses share/doc include)
fi
export PATH=$build/inst/bin:$build/inst/sbin:$PATH
export LD_LIBRARY_PATH=$build/inst/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset SHMALLOC_AUTOSTART http_proxy
httpd=$build/examples/httpd
connections=16
files_max=1000
bytes_max=$((8 << 20))
folder=$(mktemp -d "${TMPDIR:-/tmp}/shmalloc-demo.XXXXXX") || exit 1
export SHMALLOC_SOCKET=$folder
list=$folder/list
daemon=
server=
load=
n_passed=0
n_failed=0

clean_up()
{
	local pid

	for pid in $load $server $daemon; do
		kill -TERM "$pid" 2>/dev/null
	done
	wait
	rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# ---- Talking ---------------------------------------------------------------------

step()
{
	printf '\n== %s\n' "$1"
}

say()
{
	fmt -w 78 <<<"$*"
}

# Show a command as it would be typed, and what it prints.
show()
{
	printf '$ %s\n' "$*"
	"$@"
}

# verify CLAIM COMMAND...: the claim holds if the command succeeds.
verify()
{
	local claim=$1
	shift
	if "$@"; then
		echo "ok - $claim"
		n_passed=$((n_passed + 1))
	else
		echo "not ok - $claim"
		n_failed=$((n_failed + 1))
	fi
}

give_up()
{
	local log

	echo "demo: $*" >&2
	for log in "$folder"/*.log; do
		[ ! -s "$log" ] || tail -n 20 "$log" >&2
	done
	n_failed=$((n_failed + 1))
	echo "$n_passed passed, $n_failed failed, 0 skipped"
	exit 1
}

# Wait until COMMAND succeeds, 10 seconds at most.
wait_for()
{
	local i

	for ((i = 0; i < 200; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}

# ---- The data --------------------------------------------------------------------

# Write files of the folder, evenly chosen from all, to the list.
list_make()
{
	local part

	for part in "${below[@]}"; do
		(cd "$root" && find "$part" -type f -readable -size +0 \
		    -size -256k ! -name $'*\n*' -printf '%s %p\n') |
		    sed 's| \./| |' | LC_ALL=C sort -k 2
	done >"$list.all" 2>/dev/null
	awk -v n="$(wc -l <"$list.all")" -v most=$files_max -v room=$bytes_max '
		BEGIN { step = n > most ? n / most : 1 }
		NR >= next_one {
			next_one += step
			if ((room -= $1) < 0)
				exit
			sub(/^[0-9]+ /, "")
			print
		}' "$list.all" >"$list"
}

# The list, as paths of URLs.
list_paths()
{
	jq -rR '@uri | gsub("%2F"; "/")' "$list"
}

# The bytes of all files in the list.
list_bytes()
{
	(cd "$root" && tr '\n' '\0' <"$list" | xargs -0 stat -c %s) |
	    awk '{ sum += $1 } END { print sum }'
}

# ---- Daemon and server -----------------------------------------------------------

start_daemon()
{
	echo "\$ shmallocd --no-config --socket $folder --size 128M &"
	shmallocd --no-config --socket "$folder" --size 128M \
	    >"$folder/daemon.log" 2>&1 &
	daemon=$!
	wait_for shmallocctl status || give_up 'the daemon did not start'
}

start_server()
{
	echo "\$ httpd -w 4 -l $((bytes / 2048)) -t 2000 $root &"
	"$httpd" -w 4 -l $((bytes / 2048)) -t 2000 "$root" \
	    >"$folder/url" 2>"$folder/server.log" &
	server=$!
	wait_for test -s "$folder/url" || give_up 'the server did not start'
	read -r url <"$folder/url"
	url=${url%/}
	echo "$url/"
}

get()
{
	curl --silent --show-error --max-time 10 "$@"
}

# ends PID: it ended with status 0.
ends()
{
	kill -TERM "$1" && wait "$1"
}

# ---- Figures ---------------------------------------------------------------------

# A figure of the exact statistics; an arena that is in use makes them wait.
figure()
{
	local i

	for ((i = 0; i < 100; i++)); do
		shmallocctl --json stats --exact 2>/dev/null | jq -e "$1" &&
		    return
		sleep 0.05
	done
	echo unknown
}

# worker COLUMN NUMBER: a figure of a worker of the server.
worker()
{
	get "$url/stats" | awk -v name="$1" -v number="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i }
		$1 == number { print $column; exit }'
}

# All answers of all workers.
answers()
{
	get "$url/stats" | awk '$1 ~ /^[0-9]+$/ { sum += $4 } END { print sum }'
}

answers_are()
{
	test "$(answers)" -ge "$1"
}

# A figure of the cache.
cache()
{
	shmallocctl --json cache stats httpd | jq ".[0].$1"
}

cache_is_within_its_limit()
{
	test "$(cache used_bytes)" -le "$(cache limit_bytes)"
}

# The worker whose answers grew most since BEFORE, by 100 at least.
busiest_since()
{
	paste <(echo "$1") <(get "$url/stats" | head -n 5) | awk '
		$1 ~ /^[0-9]+$/ {
			grown = $(NF / 2 + 4) - $4
			if (grown >= 100 && grown > most) {
				most = grown
				number = $1
			}
		}
		END { print number; exit !number }'
}

# ---- Load ------------------------------------------------------------------------

# In the background, for SECONDS at most.
start_load()
{
	echo "\$ wrk -t$connections -c$connections -d${1}s -s load.lua $url -- $root LIST"
	wrk -t$connections -c$connections -d"${1}s" \
	    -s "$examples/load.lua" "$url" -- "$root" "$list" \
	    >"$folder/load.log" 2>&1 &
	load=$!
}

# End it before its time.
stop_load()
{
	say "Enough; the load is ended, and says what it saw:"
	echo "\$ kill -INT $load"
	kill -INT "$load"
}

# Wait for its end, show what it says, and take its figures.
end_load()
{
	local pid=$load

	load=
	wait "$pid" || give_up 'the load tool failed'
	grep -v '^load: ' "$folder/load.log"
	read -r answers wrong failed moved workers < <(
		sed -n 's/^load: //p' "$folder/load.log" | sed 's/[a-z]*=//g')
	[ -n "${workers-}" ] || give_up 'the load tool said nothing'
	verify "each of $answers answers was the file, byte for byte" \
	    test "$answers" -gt 0 -a "$wrong" -eq 0
}

# ---- The parts that take more than a line ----------------------------------------

first_requests()
{
	local path tag

	path=$(list_paths | head -n 1)
	echo "\$ curl --head $url/$path"
	get --head "$url/$path"
	tag=$(get --head "$url/$path" | tr -d '\r' | sed -n 's/^ETag: //p')
	verify 'a client that has the file is told so, and gets no bytes' \
	    test "$(get -o "$folder/body" -w '%{http_code} %{size_download}' \
	    -H "If-None-Match: $tag" "$url/$path")" = '304 0'
	verify 'no path leads out of the folder' \
	    test "$(get -o "$folder/body" -w '%{http_code}' \
	    --path-as-is "$url/../../../../../../etc/passwd")" = 403
}

reclaimed()
{
	shmallocctl --json clients "$1" |
	    jq -e '.[0].state == "reclaimed"' >/dev/null
}

is_replaced()
{
	test "$(worker starts "$1")" = 2
}

kill_a_worker()
{
	local before number victim

	before=$(get "$url/stats" | head -n 5)
	start_load 30
	wait_for busiest_since "$before" || give_up 'no worker is busy'
	number=$(busiest_since "$before")
	victim=$(worker pid "$number")
	say "Worker $number is the busiest; it is killed now, at whatever" \
	    "instruction it is at:"
	echo "\$ kill -KILL $victim"
	kill -KILL "$victim"
	wait_for reclaimed "$victim" || give_up 'the worker was not noticed'
	show shmallocctl clients "$victim"
	echo "\$ shmallocctl events | grep 'pid $victim'"
	shmallocctl events | grep "pid $victim "
	wait_for is_replaced "$number"
	say "The server says:"
	cat "$folder/server.log"
	before=$(answers)
	wait_for answers_are "$((before + 50000))"
	stop_load
	end_load
	verify "of $moved connections that lost their worker, each lost one \
request at most ($failed)" test "$moved" -gt 0 -a "$failed" -le "$moved"
	verify 'a new worker took the place of the killed one' \
	    is_replaced "$number"
}

extents_grew()
{
	after=$(shmallocctl --json stats | jq .bytes.extents_used)
	((after > before * 2 + 65536))
}

tune_the_running()
{
	local before after

	say "Values above mmap_threshold get pages of their own, which go back" \
	    "to the system when the value goes. It is 128K; from now on, in" \
	    "all workers, it is to be 8K:"
	before=$(shmallocctl --json stats | jq .bytes.extents_used)
	show shmallocctl tune set mmap_threshold=8K || give_up 'tune failed'
	wait_for extents_grew
	echo "bytes in pages of their own: $before before, $after after"
	verify 'the new threshold changed what running workers do' extents_grew
	show shmallocctl tune reset mmap_threshold || give_up 'tune failed'
}

# sums_of FOLDER: a checksum of each file of the list, as it is there.
sums_of()
{
	(cd "$1" && tr '\n' '\0' <"$list" | xargs -0 sha256sum)
}

# Get each file of the list, and compare.
files_are_the_same()
{
	paste -d '\n' <(list_paths | sed "s|.*|url = \"$url/&\"|") \
	    <(jq -rR --arg to "$folder/got/" '"output = \($to + . | @json)"' \
	    "$list") >"$folder/urls"
	get --fail --no-progress-meter --globoff --parallel --create-dirs \
	    --max-time 60 --config "$folder/urls" &&
	    diff <(sums_of "$root") <(sums_of "$folder/got")
}

# ---- The demo --------------------------------------------------------------------

step 'The data'
list_make
n=$(wc -l <"$list")
((n >= 64)) || give_up "only $n files; name a folder that has more"
bytes=$(list_bytes)
say "$n files below $root (${below[*]}), $((bytes >> 10)) KiB in all. A web" \
    "server with four worker processes serves them from one cache, which may" \
    "have half of those bytes: it has to choose what it keeps."

step 'The daemon'
say "shmallocd owns a segment of shared memory, and waits for clients."
start_daemon

step 'Four workers, one cache'
say "The server forks four workers. Each finds answers in the segment, without" \
    "a lock, and sends them from there; what is missing is read by one of" \
    "them, while the others wait for it. What was read 2 seconds ago is read" \
    "again by one of them, while the others go on with the old bytes."
start_server
first_requests

step 'Load'
say "$connections connections ask for files, for some far more often than" \
    "for others (Zipf), and compare every byte with the file on disk."
start_load 3
end_load
verify 'several workers answered, and no request failed' \
    test "$workers" -gt 1 -a "$failed" -eq 0
verify "the cache stayed within its limit ($(cache used_bytes) of \
$(cache limit_bytes) bytes)" cache_is_within_its_limit

step 'One of them is killed'
kill_a_worker

step 'What an operator sees'
say "Under load again:"
start_load 30
show shmallocctl stats || give_up 'stats failed'
show shmallocctl clients
show shmallocctl cache stats || give_up 'cache stats failed'
echo "\$ curl $url/stats"
get "$url/stats"
say "Where it all lies, every byte of it:"
show shmallocctl map --width 64 || give_up 'map failed'

step 'Tuning while everything runs'
tune_the_running
stop_load
end_load

step 'The reckoning'
verify "all $n files came through the cache as they are on disk" \
    files_are_the_same
verify 'the server ended when it was asked to, and its workers with it' \
    ends "$server"
server=
verify 'the structure of the whole segment is sound' show shmallocctl check
echo "\$ httpd -r"
"$httpd" -r || give_up 'the cache could not be removed'
verify 'nothing is left of it' test "$(figure .bytes.allocated)" = 0
verify 'the daemon ended when it was asked to' ends "$daemon"
daemon=

echo
echo "$n_passed passed, $n_failed failed, 0 skipped"
((n_failed == 0))
