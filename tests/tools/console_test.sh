#!/bin/sh
# Tests of the console: its pure parts, then build/fairlead with it embedded, in Chromium, with clients that join.
# Installs Chromium and the pinned npm packages first. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
out=build/check
mkdir -p "$out"

fail() { # fail WHAT LOG
	[ -z "$2" ] || tail -n 60 "$2"
	echo "console: $1 failed"
	echo "0 passed, 1 failed"
	exit 1
}

if ! command -v chromium >/dev/null 2>&1; then
	as_root=""
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$out/chromium.log" 2>&1
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium \
		>>"$out/chromium.log" 2>&1 || fail "installing chromium" "$out/chromium.log"
fi
node=$(sh tests/tools/node.sh) || fail "bringing Node" ""
PATH="$node:$PATH"
export PATH NO_COLOR=1
make -s console >"$out/console.build.log" 2>&1 && make -s -j"$(nproc)" all >>"$out/console.build.log" 2>&1 ||
	fail "the build" "$out/console.build.log"
go=$(sh tests/tools/go.sh 2>"$out/go.log") || fail "bringing Go" "$out/go.log"
(cd tests/scenario && GOFLAGS=-buildvcs=false GOTOOLCHAIN=local "$go" build -o ../../build/joinnode ./cmd/joinnode) \
	>"$out/joinnode.log" 2>&1 || fail "building the client" "$out/joinnode.log"

cd web/console
status=0
timeout 300 npm test --silent >"../../$out/console.unit.log" 2>&1 || status=1
timeout 900 npm run e2e --silent >"../../$out/console.e2e.log" 2>&1 || status=1
cd ../..
number() { # number LOG PATTERN: of the last line that has it
	sed -n "$2" "$1" | tail -n 1
}
unit_passed=$(number "$out/console.unit.log" 's/.*Tests.* \([0-9][0-9]*\) passed.*/\1/p')
unit_failed=$(number "$out/console.unit.log" 's/.*Tests.* \([0-9][0-9]*\) failed.*/\1/p')
e2e_passed=$(number "$out/console.e2e.log" 's/^[^a-z]* pass \([0-9][0-9]*\)$/\1/p')
e2e_failed=$(number "$out/console.e2e.log" 's/^[^a-z]* fail \([0-9][0-9]*\)$/\1/p')
passed=$((${unit_passed:-0} + ${e2e_passed:-0}))
failed=$((${unit_failed:-0} + ${e2e_failed:-0}))
if [ "$status" -ne 0 ] || [ -z "$unit_passed" ] || [ -z "$e2e_passed" ]; then
	[ "$failed" -gt 0 ] || failed=1
	grep -A 40 -e 'FAIL' -e ' ✖ ' "$out/console.unit.log" | head -n 100
	grep -A 30 -e '^ *✖ ' "$out/console.e2e.log" | head -n 200
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
