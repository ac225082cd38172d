#!/bin/bash
# test_purity.sh - the cores, and what they share, call nothing that is not pure: no socket, file, clock, random
# number, environment, thread or output. What each object file needs from elsewhere must be on the list below.
#
#   tests/test_purity.sh BUILD_FOLDER
#
# It also tries itself: an object that does call such things must be found out.
set -u
build=${1:?"usage: $0 BUILD_FOLDER (the one that make was given)"}
passed=0
failed=0

cores="router/core router/registry router/standings router/lives router/event_log router/subscribers coordinator/core lock_manager/core
       token_manager/core state_manager/core mock_usda/core"
shared="agent/host agent/hold agent/kept agent/page agent/publisher agent/registrar agent/rules agent/due agent/waiters
        agent/outbox agent/cause base/amount base/bytes base/address base/loopback base/result store/store store/store_view"

# memory and text; formatting into memory; hashing and MACs; what a compiler puts in by itself (checks, sanitizers);
# exit, which uthash calls when memory is used up. Of TIM3 itself: everything that these objects define.
allowed='^(mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp|cpy|ncpy|chr|rchr|spn|cspn|str)|stpcpy|rawmemchr
|(v?snprintf)|malloc|calloc|realloc|free|exit|ato[il]|strto(l|ul|ll|ull)|bsearch|qsort
|crypto_generichash(_blake2b_salt_personal)?|crypto_verify_32|sodium_memzero|XXH64|XXH3_64bits(_withSeed)?
|__(memcpy|memmove|memset|strcpy|strncpy|stpcpy|strcat|v?snprintf)_chk|__stack_chk_fail|__isoc(99|23)_strto[a-z]+
|__(asan|ubsan|tsan|sanitizer)_.*|_GLOBAL_OFFSET_TABLE_|__(u?div|u?mod|mul)ti3|__u?divmodti4|__ctype_b_loc)$'
allowed=$(printf %s "$allowed" | tr -d '\n')

pass () { passed=$((passed + 1)); echo "ok   $1"; }
fail () { failed=$((failed + 1)); echo "FAIL $1"; }

# Names that an object needs and does not define, but those on the list and those that the pure objects define.
impure ()
{
    nm -u "$1" | awk '{print $NF}' | sed 's/@.*//' | grep -Ev "$allowed" | grep -vxF -f "$defined"
}

check ()
{
    local object=$1 name=$2 symbols
    if [ ! -f "$object" ]; then
        fail "$name: $object is not there; build it first (make)"
        return
    fi
    symbols=$(impure "$object" | tr '\n' ' ')
    if [ -n "$symbols" ]; then
        fail "$name calls ${symbols% }: a core may not; have the shell do it, or add it to $0 if it is pure"
    else
        pass "$name"
    fi
}

objects=
for name in $cores; do
    objects="$objects $build/obj/$name.o"
done
for name in $shared; do
    objects="$objects $build/obj/common/$name.o"
done
for file in "$build"/obj/common/wire/*.o; do
    objects="$objects $file"
done

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
defined=$scratch/defined
# tim3_panic is how a core that is broken dies, and the one thing that it may call in log.c
{ nm --defined-only -g $objects 2>/dev/null | awk 'NF == 3 {print $3}'; echo tim3_panic; } | sort -u >"$defined"

for object in $objects; do
    name=${object#"$build"/obj/}
    check "$object" "${name%.o}"
done

# Each of these, in an object of its own, must be found.
try ()
{
    printf '%s\n' "$2" >"$scratch/try.c"
    if ! "${CC:-cc}" -w -O2 -c "$scratch/try.c" -o "$scratch/try.o"; then
        fail "cannot compile the trial with $1"
    elif [ "$(impure "$scratch/try.o" | tr '\n' ' ')" = "$1 " ]; then
        pass "finds a call of $1"
    else
        fail "does not find a call of $1"
    fi
}
try socket 'int socket (int, int, int); int f (void) { return socket (1, 2, 3); }'
try clock_gettime 'int clock_gettime (int, void *); int f (void *t) { return clock_gettime (0, t); }'
try getenv 'char *getenv (const char *); char *f (void) { return getenv ("A"); }'
try random 'long random (void); long f (void) { return random (); }'
try printf 'int printf (const char *, ...); int f (int a) { return printf ("%d", a); }'
try zmq_send 'int zmq_send (void *, void *, long, int); int f (void *s) { return zmq_send (s, s, 1, 0); }'
try tim3_log 'void tim3_log (int, const char *, const char *, ...); void f (void) { tim3_log (0, "a", "b"); }'
try tim3_fatal 'void tim3_fatal (int, const char *, ...); void f (void) { tim3_fatal (0, "a"); }'
try tim3_store_open_lmdb 'void *tim3_store_open_lmdb (void); void *f (void) { return tim3_store_open_lmdb (); }'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
