#!/bin/sh
# Everything that can fail, in order of cost; the last line is "N passed, N failed".
# CHECK="lint unit" runs only those stages. Installs what the tests need first.
set -u
cd "$(dirname "$0")/../.."
passed=0
failed=0
out=build/check
mkdir -p "$out"
stages=${CHECK:-lint unit cases asan tsan clang fuzz scenario tsan-scenario console}
jobs=$(nproc)

result() { # result NAME PASSED FAILED
	passed=$((passed + $2))
	failed=$((failed + $3))
	echo "== $1: $2 passed, $3 failed ($(($(date +%s) - began)) s)"
}

build_or_fail() { # build_or_fail NAME make-arguments...
	name=$1
	shift
	if make -s -j"$jobs" "$@" >"$out/$name.build.log" 2>&1; then
		return 0
	fi
	tail -n 60 "$out/$name.build.log"
	result "$name (build)" 0 1
	return 1
}

unit_stage() { # unit_stage NAME SANITIZER
	san=$2
	dir=build${san:+/$san}
	if ! build_or_fail "$1" SAN="$san" unit-build; then
		return
	fi
	make -s SAN="$san" unit >"$out/$1.log" 2>&1
	grep -v '^ok ' "$out/$1.log"
	read -r p f <"$dir/unit.count"
	result "$1" "$p" "$f"
	[ "$san" = tsan ] && return
	if make -s -j"$jobs" SAN="$san" corpus >"$out/$1.corpus.log" 2>&1; then
		result "$1 (fuzz corpora)" "$(grep -c '^ok ' "$out/$1.corpus.log")" 0
	else
		grep -A 30 '^FAIL' "$out/$1.corpus.log"
		result "$1 (fuzz corpora)" "$(grep -c '^ok ' "$out/$1.corpus.log")" \
			"$(grep -c '^FAIL' "$out/$1.corpus.log")"
	fi
}

lint_stage() {
	if make -s lint >"$out/lint.log" 2>&1; then
		result lint 1 0
	else
		cat "$out/lint.log"
		result lint 0 1
	fi
}

# The policy engine against captured cases, which are kept beside the repository, or where POLICY_CASES says.
cases_stage() {
	cases=${POLICY_CASES:-../shared/cases/policy}
	if [ ! -f "$cases/compare.py" ]; then
		echo "== policy cases: not here; POLICY_CASES=DIR names them"
		return
	fi
	build_or_fail cases build/policy-case || return
	python3 "$cases/compare.py" --run build/policy-case --optional "$cases" >"$out/cases.log" 2>&1
	p=$(sed -n 's/^total *\([0-9]*\) of [0-9]* pass$/\1/p' "$out/cases.log")
	n=$(sed -n 's/^total *[0-9]* of \([0-9]*\) pass$/\1/p' "$out/cases.log")
	[ -n "$n" ] && [ "$p" = "$n" ] || cat "$out/cases.log"
	result "policy cases" "${p:-0}" "$((${n:-1} - ${p:-0}))"
}

# The other compiler: it must be free of warnings too.
clang_stage() {
	if build_or_fail clang CC=clang BUILD=build/clang all; then
		result clang 1 0
	fi
}

go_scenarios() { # go_scenarios LOG arguments of go test...
	log=$1
	shift
	(cd tests/scenario && GOFLAGS=-buildvcs=false GOTOOLCHAIN=local "$go" test -count=1 -timeout 20m -v \
		-parallel 6 "$@" .) >"$log" 2>&1
}

# Scenarios measure real time on machines that others may use too. At most three that failed get a second
# run, alone; what passes then is counted as passed and named as unsteady, with its first failure shown.
second_look() { # sets f, u
	failures=$(sed -n 's/^--- FAIL: \([^ ]*\) .*/\1/p' "$out/scenario.log")
	u=0
	[ "$f" -le 3 ] && [ -n "$failures" ] && ! grep -q '^panic' "$out/scenario.log" || return 0
	for name in $failures; do
		if go_scenarios "$out/scenario.$name.log" -run "^$name\$"; then
			echo "UNSTEADY: $name failed beside the others and passed alone"
			u=$((u + 1))
		fi
	done
	f=$((f - u))
}

scenario_stage() {
	if ! build_or_fail scenario all fault; then
		return
	fi
	go=$(sh tests/tools/go.sh 2>"$out/go.log") || { cat "$out/go.log"; result scenario 0 1; return; }
	if go_scenarios "$out/scenario.log"; then
		status=0
	else
		status=1
	fi
	p=$(grep -c '^--- PASS' "$out/scenario.log")
	f=$(grep -c '^--- FAIL' "$out/scenario.log")
	if [ "$status" -ne 0 ]; then
		[ "$f" -gt 0 ] || f=1
		grep -B 2 -A 60 -e '--- FAIL' -e '^panic' "$out/scenario.log" | head -n 400
		tail -n 20 "$out/scenario.log"
		second_look
		p=$((p + u))
	fi
	grep -e '--- SKIP' -e 'the kernel cannot run' -A 3 "$out/scenario.log"
	if [ -n "${CI:-}" ] && [ "$(grep -c -e '--- SKIP' "$out/scenario.log")" -gt \
		"$(grep -c 'the kernel cannot run' "$out/scenario.log")" ]; then
		echo "a scenario was skipped, which may not happen in CI"
		f=$((f + 1))
	fi
	result scenario "$p" "$f"
}

# Scenarios with many threads at work, against a server built with ThreadSanitizer; it ends with 66
# where it has found a race, which a scenario reports as an end that was not clean.
tsan_scenario_stage() {
	if ! build_or_fail tsan-scenario SAN=tsan build/tsan/fairlead; then
		return
	fi
	go=$(sh tests/tools/go.sh 2>"$out/go.log") || { cat "$out/go.log"; result tsan-scenario 0 1; return; }
	if (cd tests/scenario && FAIRLEAD_BIN="$PWD/../../build/tsan/fairlead" FAIRLEAD_SANITIZED=1 \
		TSAN_OPTIONS="exitcode=66 history_size=4" GOFLAGS=-buildvcs=false GOTOOLCHAIN=local \
		"$go" test -count=1 -timeout 10m -v -run "$tsan_scenarios" ./...) >"$out/tsan-scenario.log" 2>&1; then
		status=0
	else
		status=1
	fi
	p=$(grep -c '^--- PASS' "$out/tsan-scenario.log")
	f=$(grep -c '^--- FAIL' "$out/tsan-scenario.log")
	if grep -q 'WARNING: ThreadSanitizer' "$out/tsan-scenario.log"; then
		f=$((f + 1))
	fi
	if [ "$status" -ne 0 ] || [ "$f" -gt 0 ]; then
		[ "$f" -gt 0 ] || f=1
		grep -A 60 -e 'WARNING: ThreadSanitizer' "$out/tsan-scenario.log" | head -n 200
		grep -B 2 -A 20 -e '--- FAIL' -e '^panic' "$out/tsan-scenario.log" | head -n 200
	fi
	result tsan-scenario "$p" "$f"
}

# All fuzz targets with libFuzzer, FUZZ_TOTAL_S seconds divided among them.
fuzz_stage() {
	if ! command -v clang >/dev/null 2>&1; then
		echo "== fuzz: skipped, there is no clang"
		return
	fi
	n=$(find tests/fuzz -name 'fuzz_*.c' | wc -l)
	total=${FUZZ_TOTAL_S:-$([ -n "${CI:-}" ] && echo 120 || echo 45)}
	each=$(((total + n - 1) / n))
	if ! build_or_fail fuzz SAN=fuzz fuzz-build; then
		return
	fi
	make -s fuzz FUZZ_SECONDS="$each" >"$out/fuzz.log" 2>&1
	grep -A 40 '^FAIL' "$out/fuzz.log"
	result "fuzz ($each s each)" "$(grep -c '^ok ' "$out/fuzz.log")" "$((n - $(grep -c '^ok ' "$out/fuzz.log")))"
}

tsan_scenarios='^Test(JoinAndReachThroughRelay|ManyStreams|KillInMidStorm|InterruptWithManyStreams|RelayWithOfficialClient|DERPOverWebSocket|Hostile)$'
# The console in a real browser, in front of the real server and real clients.
console_stage() {
	sh tests/tools/console_test.sh >"$out/console.log" 2>&1
	status=$?
	counts=$(tail -n 1 "$out/console.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	p=${counts% *}
	f=${counts#* }
	if [ -z "$counts" ] || [ "$status" -ne 0 ]; then
		tail -n 120 "$out/console.log"
		[ "${f:-0}" -gt 0 ] || f=1
	fi
	result console "${p:-0}" "${f:-0}"
}

began=$(date +%s)
sh tests/tools/deps.sh check || { echo "0 passed, 1 failed"; exit 1; }
for stage in $stages; do
	case $stage in
	lint) lint_stage ;;
	unit) unit_stage unit "" ;;
	cases) cases_stage ;;
	asan) unit_stage asan asan ;;
	tsan) unit_stage tsan tsan ;;
	clang) clang_stage ;;
	fuzz) fuzz_stage ;;
	scenario) scenario_stage ;;
	tsan-scenario) tsan_scenario_stage ;;
	console) console_stage ;;
	*) echo "no stage $stage" >&2; failed=$((failed + 1)) ;;
	esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
