#!/bin/sh
# Builds the console into DIR/dist: console.sh DIR
set -eu
PATH="$(sh "$(dirname "$0")/node.sh"):$PATH"
export PATH
cd "$1"
npm ci --no-audit --no-fund
npm run build
