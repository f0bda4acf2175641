#!/bin/sh
# Writes a C file with every migration named on the command line (NNNN_name.sql, in order).
set -eu
echo '#include "coord/migrate.h"'
echo 'const struct migration migrations[] = {'
for f in "$@"; do
	name=$(basename "$f" .sql)
	number=$(expr "$name" : '0*\([0-9][0-9]*\)_')
	printf '\t{ %s, "%s",\n' "$number" "$name"
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/\t  "/' -e 's/$/\\n"/' "$f"
	printf '\t},\n'
done
echo '};'
printf 'const unsigned migrations_count = sizeof(migrations) / sizeof(migrations[0]);\n'
