#!/bin/sh
# Unit tests that run more than one thread, one per line: they call what starts one, or include a rig that does,
# itself or through another.
set -eu
found='pthread_create|worker_group_new|jobs_new|lookup_new|store_open|backup_new'
for _ in direct through; do
	rigs=$(grep -lE "$found" tests/unit/*.[ch] | sed -n '/test_/!s|.*/\(.*\)\.[ch]$|\1|p' | sort -u | paste -s -d '|')
	found="$found|[\"/]($rigs)\\.h"
done
grep -lE "$found" tests/unit/test_*.c
