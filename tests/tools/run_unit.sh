#!/bin/sh
# Runs unit test programs, as many at once as there are cores; one line each, whole output of those that fail.
# run_unit.sh BUILD PROGRAM...   Writes BUILD/unit.count: "passed failed".
set -u
build=$1
shift
for t in "$@"; do
	rm -f "$t.end"
	echo "$t"
done | xargs -P "$(nproc)" -I T sh -c 'if T >T.log 2>&1; then echo ok; else echo FAIL; fi >T.end'
passed=0
failed=0
for t in "$@"; do
	if [ "$(cat "$t.end")" = ok ]; then
		n=$(grep -c '^\[       OK \]' "$t.log")
		passed=$((passed + n))
		echo "ok   $(basename "$t") ($n)"
	else
		failed=$((failed + 1))
		echo "FAIL $(basename "$t")"
		cat "$t.log"
	fi
done
echo "$passed $failed" >"$build/unit.count"
echo "unit: $passed passed, $failed programs failed"
[ "$failed" -eq 0 ]
