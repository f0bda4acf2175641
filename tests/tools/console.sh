#!/bin/sh
# Builds the console into DIR/dist: console.sh [--stale] DIR
# --stale: only if a source is newer than what is there.
set -eu
if [ "$1" = --stale ]; then
	shift
	index=$1/dist/index.html
	if [ -e "$index" ] && [ -z "$(find "$1" \( -name dist -o -name node_modules \) -prune -o \
	    -type f -newer "$index" -print | head -n 1)" ]; then
		exit 0
	fi
fi
PATH="$(sh "$(dirname "$0")/node.sh"):$PATH"
export PATH
cd "$1"
npm ci --no-audit --no-fund
npm run build
