#!/bin/sh
# The simulator's part of the tests: tests/sim/check.sh build [seeds]. Some hundred seeds, a few of them twice,
# and three planted bugs that have to be caught. The last line counts.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 2
seeds=${2:-300}
. "$root/tests/count.sh"

"$build/bin/tim3-sim" --from "${FROM:-1}" --seeds "$seeds" --demand
count $? "$seeds seeds break no rule, and reach every kind of fault"
"$build/bin/tim3-sim" --from 700000 --seeds 20 --twice --quiet
count $? "the same seed goes the same way"
for canary in 1 7 16; do
    STARTS=1 "$root/tests/sim/canaries" "$build" "$canary" > /dev/null
    code=$?
    what=$(sed -n "s/^    C ($canary, \"[a-z_]*\", \"\(.*\)\").*/\1/p" "$root/common/base/canary.h")
    count "$code" "caught: $what"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
