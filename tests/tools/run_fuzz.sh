#!/bin/sh
# Fuzzes each target for a while, starting from its corpus, as many at once as there are processors:
# run_fuzz.sh BUILD SECONDS fuzz_x...
set -u
if [ "$1" != one ]; then
	build=$1
	seconds=$2
	shift 2
	printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh "$0" one "$build" "$seconds"
	exit
fi
build=$2
seconds=$3
t=$4
scratch=$build/scratch/$t
mkdir -p "$scratch"
if "$build/fuzz/$t" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$build/$t-" "$scratch" "tests/fuzz/corpus/${t#fuzz_}" >"$build/$t.log" 2>&1; then
	echo "ok   $t $(grep -o 'number_of_executed_units:.*' "$build/$t.log")"
else
	printf 'FAIL %s\n%s\n' "$t" "$(tail -n 40 "$build/$t.log")"
	exit 1
fi
