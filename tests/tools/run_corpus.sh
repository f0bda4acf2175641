#!/bin/sh
# Runs every fuzz driver over its corpus as an ordinary test: run_corpus.sh BUILD fuzz_x...
set -u
build=$1
shift
failed=0
for t in "$@"; do
	dir=tests/fuzz/corpus/${t#fuzz_}
	n=$(find "$dir" -type f | wc -l)
	if [ "$n" -gt 0 ] && find "$dir" -type f -print0 | xargs -0 "$build/fuzz/$t" >"$build/fuzz/$t.log" 2>&1; then
		echo "ok   $t ($n inputs)"
	else
		failed=$((failed + 1))
		echo "FAIL $t"
		cat "$build/fuzz/$t.log"
	fi
done
[ "$failed" -eq 0 ]
