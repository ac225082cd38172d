#!/bin/sh
# The generated documents must be what the tables of this build say.
set -u
bin=$1/bin
passed=0
failed=0

# same FILE: standard input is what FILE must hold
same ()
{
    if diff -u "$1" - > /dev/null; then
        echo "ok   $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1 is stale; run: make docs"
        failed=$((failed + 1))
    fi
}

"$bin/tim3-protocol-doc" | same docs/PROTOCOL.md
(cat scripts/config/CONFIG.head.md; "$bin/tim3-router" --list-keys) | same docs/CONFIG.md
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
