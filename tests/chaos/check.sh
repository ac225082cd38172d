#!/bin/sh
# The share of the chaos tests in make check: [SEED=n] tests/chaos/check.sh build. The tools' own tests, and a run in
# which every kind of fault that is possible here strikes once. The last line counts.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
export TIM3_BIN="$build/bin"
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
. "$root/tests/count.sh"

# tests FILE: runs those of a file, and adds up
tests ()
{
    /usr/bin/python3 "$root/tests/chaos/$1" > "$out" 2>&1
    grep -Ev '^[0-9]+ passed, [0-9]+ failed$' "$out"
    passed=$(($(grep -c '^ok ' "$out") + passed))
    failed=$(($(grep -c '^FAIL ' "$out") + failed))
    grep -Eq '^[0-9]+ passed, [0-9]+ failed$' "$out" || count 1 "$1 ended without a count"
}

tests test_checker.py
tests test_clock.py

/usr/bin/python3 "$root/tests/chaos/chaos.py" --seconds 0 --rate 400 --seed "${SEED:-1}"
count $? "every kind of fault strikes once, and all that was answered is so"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
