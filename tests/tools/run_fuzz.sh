#!/bin/sh
# Fuzzes each target for a while, starting from its corpus: run_fuzz.sh BUILD SECONDS fuzz_x...
set -u
build=$1
seconds=$2
shift 2
failed=0
for t in "$@"; do
	work=$build/work/$t
	mkdir -p "$work"
	if "$build/fuzz/$t" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
	    -artifact_prefix="$build/$t-" "$work" "tests/fuzz/corpus/${t#fuzz_}" >"$build/$t.log" 2>&1; then
		echo "ok   $t $(grep -o 'number_of_executed_units:.*' "$build/$t.log")"
	else
		failed=$((failed + 1))
		echo "FAIL $t"
		tail -n 40 "$build/$t.log"
	fi
done
[ "$failed" -eq 0 ]
