#!/bin/sh
# Replays the fuzz targets without a fuzzer, for make check: the inputs that once failed, and seeded mutations of the
# seeds. tests/fuzz/check.sh BUILD [MUTATIONS [SEED]]. What fails is left in BUILD/fuzz/. Ends with a count.
set -u
build=$1
most=${2:-2000}
seed=${3:-1}
replay=$build/bin/tim3-fuzz-replay
here=$(dirname "$0")
out=$build/fuzz/replay.log
passed=0
failed=0

# attempt NAME COMMAND...: one test
attempt ()
{
    name=$1
    shift
    if "$@" > "$out" 2>&1; then
        passed=$((passed + 1))
    else
        echo "FAIL $name (exit $?)"
        tail -n 3 "$out"
        failed=$((failed + 1))
    fi
}

[ -x "$replay" ] || {
    echo "there is no $replay; build it with: make fuzz-replay"
    echo "0 passed, 1 failed"
    exit 1
}
mkdir -p "$build/fuzz"
for target in $("$replay" list); do
    count=$most
    case $target in
    router | coordinator | lock_manager | token_manager | state_manager | mock_usda) count=$((most / 2)) ;;
    esac
    attempt "$target: seeds and $count mutations, seed $seed; input in $build/fuzz/$target.input" \
        "$replay" mutate "$target" "$count" "$seed" "$build/fuzz/$target.input"
    for file in "$here/regressions/$target"-*; do
        [ -f "$file" ] && attempt "$file" "$replay" files "$target" "$file"
    done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
