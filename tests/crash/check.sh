#!/bin/sh
# What power loss leaves of a store: [SEED=n] tests/crash/check.sh build [images] [commits]. See crash_images.c.
# Records a workload, fails the power at every moment of it, and opens what is left. Then the same with programs
# that forget to sync: unless those lose something, the test itself sees nothing. Both kinds of store go through it.
# The last line counts.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
images=${2:-300}
commits=${3:-30}
seed=${SEED:-1}
. "$root/tests/count.sh"

# A disk in memory syncs for nothing; what reaches a real one does not matter, for power only fails on paper.
if [ -w /dev/shm ]; then
    work=$(mktemp -d /dev/shm/tim3-crash-XXXXXX) || exit 2
else
    work=$(mktemp -d) || exit 2
fi
trap 'rm -rf "$work"' EXIT

# A sanitizer's own library wants to be loaded before any other.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"

# record WHAT-TO-SKIP: the store is of the $kind
record ()
{
    rm -rf "$work/store"
    TIM3_CRASH_SKIP=$1 TIM3_CRASH_LOG="$work/log" LD_PRELOAD="$build/bin/tim3-crash-record.so" \
        "$build/bin/tim3-crash-workload" "$kind" "$work/store" "$commits"
}

# try_images OPTIONS...
try_images ()
{
    [ "$kind" = journal ] && set -- --journal "$@"
    "$build/bin/tim3-crash-images" --seed "$seed" "$@" "$work/log" "$work/store" "$work/image"
}

# forgets WHAT-TO-SKIP NAME: must be caught. Where it is a single sync, one image in five hundred shows it, so it goes on
# until one does.
forgets ()
{
    record "$1" && try_images --count $((images * 50)) --expect-loss
    count $? "$kind, caught: $2"
}

# holds
holds ()
{
    record "" && try_images --count "$images" --keep "$build/crash"
    count $? "$kind: every image holds what was acknowledged, and no part of a commit"
}

mkdir -p "$build/crash"
rm -rf "$build"/crash/failed-*
kind=lmdb
holds
forgets data "the data is never synced"
forgets data:$((commits / 2)) "a single sync of the data is left out"
forgets meta "the page that makes a commit count is not synced"
forgets directory "the directory is not synced"

# The zeros of a segment are synced for the sake of their room, and hold nothing.
kind=journal
holds
forgets data "the data is never synced"
forgets data:6 "a single sync of the data is left out"
forgets meta "the page that makes a checkpoint count is not synced"
forgets directory "the directory is never synced"
forgets segment "the directory is not synced after a segment has got its name"
forgets record "records are not synced"
forgets head "the head of a segment is not synced before it has its name"
record prepared && try_images --count 1
count $? "journal: the zeros of a segment need no sync"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
