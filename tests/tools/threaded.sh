#!/bin/sh
# Unit tests that run more than one thread, one per line: they call what starts one, or include a rig that does.
set -eu
starts='pthread_create|worker_group_new|jobs_new|lookup_new|store_open|backup_new'
rigs=$(grep -lE "$starts" tests/unit/*.[ch] | sed -n '/test_/!s|.*/\(.*\)\.[ch]$|\1|p' | sort -u | paste -s -d '|')
grep -lE "$starts|[\"/]($rigs)\.h" tests/unit/test_*.c
