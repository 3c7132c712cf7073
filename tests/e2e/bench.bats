# The benchmark: each of its workloads runs, and none takes a heap for good that
# mixes up its objects.  Nothing here looks at a time.

bats_require_minimum_version 1.5.0

setup_file() {
	[[ $CC != *-fsanitize* ]] || skip 'no heap is measured under a sanitizer'
	make -s -C "$SHMALLOC_BUILD" bench/bench bench/growth >&2
}

# bench with short cells; its rows are in $rows.
bench() {
	rows=$BATS_TEST_TMPDIR/rows.csv
	SHMALLOCD=$SHMALLOC_BUILD/server/shmallocd \
	    "$SHMALLOC_BUILD/bench/bench" -r 1 -t 0.01 -T 60 "$@" \
	    >"$rows" 2>"$rows.log"
}

# The column NAME of the rows, behind workload, heap and workers.
column() {
	awk -F, -v name="$1" '
		/^#/ { next }
		/^workload,/ { for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ print $1, $2, $4, $at[name] }' "$rows"
}

# A distribution of the folder FOLDER/kvcache_reg, small.
distribution_make() {
	mkdir -p "$1/kvcache_reg"
	echo '{"valSizeRange": [100, 1000, 20000],
	    "valSizeRangeProbability": [50, 45, 5]}' >"$1/kvcache_reg/sizes.json"
	echo '{"popularityBuckets": [10, 1000, 100000],
	    "popularityWeights": [10, 20, 30]}' >"$1/kvcache_reg/pop.json"
	echo '{"test_config": {"loneGetRatio": 0.1, "keySizeRange": [8, 16, 64],
	    "keySizeRangeProbability": [0.4, 0.6]}}' >"$1/kvcache_reg/config.json"
}

@test "each workload runs with each number of workers that it takes" {
	distribution_make "$BATS_TEST_TMPDIR/folder"
	bench -h shmalloc -p 4,16 -d "$BATS_TEST_TMPDIR/folder"
	[ -z "$(column why | awk '$4 != ""')" ]
	[ "$("$SHMALLOC_BUILD/bench/bench" -l -d "$BATS_TEST_TMPDIR/folder" |
	    grep '^workload' | grep -vc unavailable)" = \
	    "$(column ns | awk '$3 == 16 && $4 > 0' | wc -l)" ]
}

@test "memory is measured where live bytes are counted" {
	bench -h shmalloc,glibc -w churn,phase_shift,pair64 -p 2
	[ "$(column live_bytes | awk '$4 > 0 { print $1, $2 }' | sort | xargs)" = \
	    'churn glibc churn shmalloc phase_shift glibc phase_shift shmalloc' ]
	[ -z "$(column resident_bytes | awk '/churn|phase/ && !($4 > 1000000)')" ]
}

@test "a heap that gives memory out twice fails the cells that look" {
	echo '#include <stddef.h>
		static char block[64][1 << 20];
		static _Atomic unsigned n;
		void *mi_malloc(size_t size) { (void)size; return block[n++ % 64]; }
		void mi_free(void *at) { (void)at; }' >"$BATS_TEST_TMPDIR/broken.c"
	gcc -shared -fPIC -O2 -o "$BATS_TEST_TMPDIR/libmimalloc.so.2" \
	    "$BATS_TEST_TMPDIR/broken.c"
	distribution_make "$BATS_TEST_TMPDIR/folder"
	LD_LIBRARY_PATH=$BATS_TEST_TMPDIR:$LD_LIBRARY_PATH bench -h mimalloc,glibc \
	    -w larson_succession,mstress,sh6,glibc_thread,phase_shift,kvcache_reg \
	    -p 1,2 -d "$BATS_TEST_TMPDIR/folder"
	column why >&2
	# With more workers it is not tried again.
	[ "$(column why | grep -c '^.* mimalloc 1 wrong content$')" = 6 ]
	[ "$(column why | grep -c ' mimalloc ')" = 6 ]
	[ "$(column ns | awk '$2 == "glibc" && $4 > 0' | wc -l)" = 12 ]
}

@test "the list says why a distribution cannot be had" {
	unset SHMALLOC_WORKLOADS
	local bench=$SHMALLOC_BUILD/bench/bench folder=$BATS_TEST_TMPDIR/folder

	run -0 "$bench" -l
	[[ $output == *'workload kvcache_reg: unavailable: no folder'* ]]
	distribution_make "$folder"
	run -0 "$bench" -l -d "$folder"
	[[ $output == *$'workload kvcache_reg\n'* ]]
	SHMALLOC_WORKLOADS=$folder run -0 "$bench" -l
	[[ $output == *$'workload kvcache_reg\n'* ]]
	[[ $output == *"$folder/graph_cache_follower_assocs/sizes.json: "*'No such file'* ]]
	echo '{"popularityBuckets": [10, 20], "popularityWeights": [10]}' \
	    >"$folder/kvcache_reg/pop.json"
	run -0 "$bench" -l -d "$folder"
	[[ $output == *'kvcache_reg/pop.json: not as many values as weights'* ]]
	echo '{' >"$folder/kvcache_reg/pop.json"
	run -0 "$bench" -l -d "$folder"
	[[ $output == *"workload kvcache_reg: unavailable: $folder/kvcache_reg/pop.json: "* ]]
}

# growth with small points; its rows are in $rows.
growth() {
	rows=$BATS_TEST_TMPDIR/growth.csv
	"$SHMALLOC_BUILD/bench/growth" -r 1 -t 0.01 "$@" >"$rows" 2>"$rows.log"
}

@test "growth has every figure of ours, and the private heap's beside them" {
	SHMALLOCD=$SHMALLOC_BUILD/server/shmallocd \
	    growth -h shmalloc,glibc -o 1000,2000 -c 2,20 -m 64
	cat "$rows" >&2
	# Of five points each: seven figures, of which glibc has two.
	[ "$(awk -F, '/,shmalloc,/ { n += $14 == "" && NF == 14
		for (i = 7; i < 14; i++) figures += $i > 0 }
		END { print n, figures }' "$rows")" = '5 35' ]
	[ "$(awk -F, '/,glibc,/ { n++
		for (i = 7; i < 14; i++) figures += $i > 0 }
		END { print n, figures }' "$rows")" = '5 10' ]
	run -0 "$BATS_TEST_DIRNAME/../../bench/growth-table" "$rows"
	[ "$(grep -c '^| [0-9]' <<<"$output")" = 5 ]
	[[ $output != *nan* ]]
}

@test "a point of growth that fails has a reason, and leaves nothing behind" {
	SHMALLOCD=/bin/false growth -h shmalloc -o 1000 -c '' -m ''
	[[ $(tail -n 1 "$rows") == objects,shmalloc,1000,1,1024,1,,,,,,,,it\ failed* ]]
	grep 'shmallocd did not start' "$rows.log"
	growth -h glibc -o 1000000000000 -c '' -m ''
	[[ $(tail -n 1 "$rows") == *,,,,,,,,not\ enough\ memory ]]
}

@test "the report says what it was made by, and judges each target by the rows" {
	local report=$BATS_TEST_DIRNAME/../../bench/report

	rows=$BATS_TEST_TMPDIR/rows.csv
	{
		echo '# 2026-01-02, 2 cores of X, Linux 6, load average 0.0, by `bench/bench -r 1`'
		echo 'workload,heap,memory,workers,repetition,ns,pairs,faults_per_million,live_bytes,resident_bytes,samples,p50,p99,p99.9,p99.99,why'
		for p in 1 2 4; do
			echo "churn,shmalloc,shared,$p,1,10,9,0,920,1000,9,1,1,1,1,"
			echo "churn,glibc,private,$p,1,20,9,0,920,1000,9,1,1,1,2,"
			echo "churn,jemalloc,private,$p,1,8,9,0,920,1000,9,1,1,2,2,"
			echo "churn,tlsf,shared,$p,1,$((100 * p * p)),9,0,9,9,9,1,1,1,1,"
		done
		echo 'churn,boost,shared,1,1,,,,,,,,,,,too slow: not warm in time'
	} >"$rows"
	run -0 "$report" "$rows"
	[[ $output == *'2026-01-02, 2 cores of X'*'by `bench/bench -r 1`'* ]]
	[[ $output == *'mean against tlsf, P=1: theirs / ours | 10.00 | >= 5 | yes |'* ]]
	[[ $output == *'mean against tlsf, P=2: theirs / ours | 40.00 | >= 50 | no, by a factor of 1.25 |'* ]]
	[[ $output == *'mean against boost, P=1: theirs / ours | not measured | >= 5 | - |'* ]]
	[[ $output == *'each of those rows | 1.25 | <= 1.2 | no, by a factor of 1.04 | 3 of 3 rows above 1.2, the worst: churn, P=1, jemalloc |'* ]]
	[[ $output == *'p99.9 at P=4: ours / the best private heap'*' | 1.00 | <= 1 | yes |'* ]]
	[[ $output == *'p99.99 at P=4: ours / the best private heap'*' | 0.50 | <= 1 | yes |'* ]]
	[[ $output == *'`churn`, P=1: % of resident that is live | 92.00 | >= 93 | no, by a factor of 1.01 |'* ]]
	[[ $output == *'`churn`, P=4: % of resident that is live | 92.00 | >= 91 | yes |'* ]]
	[[ $output == *'| `churn` | 10 / 10 / 10 |'* ]]
}

@test "a sweep compares each setting with the default, and refuses unknown names" {
	local sweep=$BATS_TEST_DIRNAME/../../bench/sweep rows=$BATS_TEST_TMPDIR/rows

	run -0 --separate-stderr "$sweep" "$SHMALLOC_BUILD" -w pair64,churn -p 2 \
	    -r 2 -t 0.01 -o "$rows" tcache.count=0 fastbin.max=256,fastbin.limit=1M
	[[ ${lines[0]} == *'by `bench/sweep BUILD -w pair64,churn '* ]]
	[[ ${lines[4]} =~ ^'| default | '[0-9.]+' ns, '[0-9]+' | '[0-9.]+' ns, '[0-9]+', '[0-9]+' % |'$ ]]
	[[ ${lines[5]} =~ ^'| tcache.count=0 | x '[0-9.]+', ' ]]
	[[ ${lines[6]} =~ ^'| fastbin.max=256 fastbin.limit=1M | x '[0-9.]+', ' ]]
	# Three settings, two workloads, two repetitions.
	[ "$(grep -cv '^#\|^workload,' "$rows")" = 12 ]
	run -2 --separate-stderr "$sweep" "$SHMALLOC_BUILD" -o "$rows" nonsense=1
	[[ $stderr == *"unknown name 'nonsense'"* ]]
}

@test "workers find no wrong byte while a client is killed every 10 ms" {
	bench -h shmalloc_deaths -w mstress,larson_succession,sh6 -p 4 -t 0.1
	[ -z "$(column why | awk '$4 != ""')" ]
	[ "$(column ns | awk '$2 == "shmalloc_deaths" && $4 > 0' | wc -l)" = 3 ]
}
