#!/bin/sh
# What power loss leaves of a store: [SEED=n] tests/crash/check.sh build [images] [commits]. See crash_images.c.
# Records a workload, fails the power at every moment of it, and opens what is left. Then the same with programs
# that forget to sync: unless those lose something, the test itself sees nothing. The last line counts.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
images=${2:-400}
commits=${3:-40}
seed=${SEED:-1}
passed=0
failed=0

# A disk in memory syncs for nothing; what reaches a real one does not matter, for power only fails on paper.
if [ -w /dev/shm ]; then
    work=$(mktemp -d /dev/shm/tim3-crash-XXXXXX) || exit 2
else
    work=$(mktemp -d) || exit 2
fi
trap 'rm -rf "$work"' EXIT

# A sanitizer's own library wants to be loaded before any other.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"

# count CODE NAME
count ()
{
    if [ "$1" -eq 0 ]; then
        echo "ok   $2"
        passed=$((passed + 1))
    else
        echo "FAIL $2"
        failed=$((failed + 1))
    fi
}

# record WHAT-TO-SKIP
record ()
{
    rm -rf "$work/store"
    TIM3_CRASH_SKIP=$1 TIM3_CRASH_LOG="$work/log" LD_PRELOAD="$build/bin/tim3-crash-record.so" \
        "$build/bin/tim3-crash-workload" "$work/store" "$commits"
}

# try_images OPTIONS...
try_images ()
{
    "$build/bin/tim3-crash-images" --seed "$seed" "$@" "$work/log" "$work/store/data.mdb" "$work/image"
}

# forgets WHAT-TO-SKIP NAME
forgets ()
{
    record "$1" && try_images --count 1 --expect-loss
    count $? "caught: $2"
}

mkdir -p "$build/crash"
rm -f "$build"/crash/failed-*.mdb
record "" && try_images --count "$images" --keep "$build/crash"
count $? "every image holds what was acknowledged, and no part of a commit"
forgets data "the data is never synced"
forgets data:$((commits / 2)) "a single sync of the data is left out"
forgets meta "the page that makes a commit count is not synced"
forgets directory "the directory is not synced"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
