# The Python package: built by pip as python/README.md says, and used by real
# processes, which are killed.  What its tests check is in python/tests; each
# removes the caches it made, so nothing may be left when they have ended.

bats_require_minimum_version 1.5.0
load helper

# The system's Python, for whose version Debian's modules are.  Sources are
# copied, for a build writes beside them.
setup_file() {
	export PYTHON=$BATS_FILE_TMPDIR/venv/bin/python
	export PYTHONDONTWRITEBYTECODE=1

	has_sanitizer && return
	cp -r "$BATS_TEST_DIRNAME/../../python" "$BATS_FILE_TMPDIR/python"
	# What pip has built in the source folder: of other sources, maybe.
	rm -rf "$BATS_FILE_TMPDIR/python/build"
	/usr/bin/python3 -m venv --system-site-packages \
	    "$BATS_FILE_TMPDIR/venv"
	cd "$BATS_FILE_TMPDIR"
	PATH=$BATS_FILE_TMPDIR/venv/bin:$PATH PIP_NO_INDEX=1 CFLAGS="-O1 -g \
	    -Wall -Wextra -Wshadow -Wconversion -Wcast-qual \
	    -Wmissing-prototypes -Werror" \
	    sh -ec "$(install_command)" >&2
}

# A sanitizer wants to be in the program from its start, which is Python.
has_sanitizer() {
	[[ $CC == *-fsanitize* ]]
}

setup() {
	! has_sanitizer || skip 'Python has no sanitizer'
}

# The one in the README.
install_command() {
	grep -x 'pip install .*' "$BATS_TEST_DIRNAME/../../python/README.md"
}

teardown() {
	daemon_stop
}

# Run the tests of a module, or one class of them, of python/tests.
python_tests() {
	daemon_start --size 64M
	cd "$BATS_FILE_TMPDIR/python/tests"
	"$PYTHON" -X dev -W error -m unittest "$@" >&2 3>&-
	wait_for figure_is .objects 0
	[ "$(figure .bytes.in_use_chunks)" = 0 ]
}

@test "python: each error has a class, what is public a docstring" {
	python_tests test_api.Words test_api.Unreachable
}

@test "python: a cache is a mapping of bytes, and refuses what is none" {
	python_tests test_api.Mapping
}

@test "python: conditions, numbers, ends, serializers, limits, threads" {
	python_tests test_api.Storing
}

@test "python: a view stays as it is while its key is replaced and deleted" {
	python_tests test_view.View
}

@test "python: views are released by other threads, and end with their own" {
	python_tests test_view.Threads
}

@test "python: a parent's views are not the child's" {
	python_tests test_view.Forks
}

@test "python: multiprocessing by fork, spawn and forkserver" {
	python_tests test_process.Multiprocessing
}

@test "python: workers are killed while others compare every byte" {
	python_tests test_process.Prefork
}

@test "python: memoize computes once, and again if the loader is killed" {
	python_tests test_process.Memoize
}

@test "python: gunicorn's workers are killed while pages are served" {
	python_tests test_gunicorn
}

@test "python: no object, shared memory or descriptor is left" {
	python_tests test_memory
}

@test "python: the README's session is what happens" {
	python_tests test_readme
}

@test "python: a replaced daemon is an error, and a new cache works" {
	daemon_start --size 64M --no-keeper
	coproc "$PYTHON" -c '
import shmalloc
cache = shmalloc.Cache("gone")
cache["a"] = b"1"
print("ready", flush=True)
input()
error = None
while not error:
    try:
        cache["a"] = bytes(1 << 20)
    except shmalloc.Error as caught:
        error = caught
print(type(error).__name__, flush=True)
again = shmalloc.Cache("gone")
again["a"] = b"2"
print(again["a"], flush=True)
again.destroy()
' 3>&-
	read -r line <&"${COPROC[0]}"
	[ "$line" = ready ]
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" || true
	daemon_start --size 64M --no-keeper
	echo >&"${COPROC[1]}"
	read -r line <&"${COPROC[0]}"
	[ "$line" = GoneError ]
	read -r line <&"${COPROC[0]}"
	[ "$line" = "b'2'" ]
	wait "$COPROC_PID"
}

@test "python: the stubs say what the module has" {
	command -v mypy || skip 'no mypy'
	cd "$BATS_TEST_TMPDIR"
	"$PYTHON" -m mypy -p shmalloc >&2
	"$PYTHON" -m mypy.stubtest shmalloc._shmalloc >&2
}

# As it is compiled for Python before 3.11, and with sanitizers.
@test "python: sanitizers find nothing, nor does it need the stable ABI" {
	local flags='-g -O1 -fsanitize=address,undefined'

	cp -r "$BATS_FILE_TMPDIR/python" "$BATS_TEST_TMPDIR/python"
	cd "$BATS_TEST_TMPDIR/python"
	sed -i 's/^IS_STABLE = (/IS_STABLE = (False and /' setup.py
	CFLAGS="$flags -fno-sanitize-recover" LDFLAGS=$flags \
	    "$PYTHON" setup.py -q build_ext --inplace >&2
	ls shmalloc/_shmalloc.cpython-*.so
	daemon_start --size 64M
	cd tests
	# Of what Python itself leaves at its end there is no end.
	LD_PRELOAD="$($CC -print-file-name=libasan.so) \
	    $($CC -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHON_KILLS=10 \
	    PYTHONPATH=$BATS_TEST_TMPDIR/python \
	    "$PYTHON" -W error -m unittest test_api.Mapping test_api.Storing \
	    test_view test_process.Prefork test_process.Memoize >&2 3>&-
}
