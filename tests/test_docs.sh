#!/bin/sh
# The generated documents must be what the tables of this build say. tests/test_docs.sh BUILD
set -u
bin=$1/bin
made=$(mktemp)
trap 'rm -f "$made"' EXIT
passed=0
failed=0

# same FILE: what was made must be what FILE holds
same ()
{
    if cmp -s "$1" "$made"; then
        echo "ok   $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1 is stale; run: make docs"
        failed=$((failed + 1))
    fi
}

"$bin/tim3-protocol-doc" > "$made"
same docs/PROTOCOL.md
(cat scripts/config/CONFIG.head.md; "$bin/tim3-router" --list-keys) > "$made"
same docs/CONFIG.md
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
