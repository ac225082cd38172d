# count.sh - what the check.sh of each kind of test begins with: counters, and how a result is counted and told.
passed=0
failed=0

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
