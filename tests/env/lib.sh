# shellcheck shell=sh disable=SC2034,SC2086 # variables for those who source this; flags are words
# Sourced by the scripts beside it: where things are, and how a stage of the tests reports.
# A stage exits with 0 (passed), 77 (cannot run here: it called `skip`) or anything else (failed).

set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT"
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
OUT=$TARGET/release
: "${CC:=cc}" "${CXX:=c++}"

have() { command -v "$1" >/dev/null 2>&1; }
fail() { echo "$(basename "$0"): $1" >&2; exit 1; }

# skip WHAT HOW_TO_ENABLE
skip() {
    echo "SKIPPED: $1. To enable: $2" | tee -a "$TARGET/skipped"
    exit 77
}

# refused WHAT HOW_TO_ENABLE: as skip, for Rust toolchains and components, which are not always to be had:
# listed, but no failure where nothing may be skipped.
refused() {
    echo "SKIPPED, NO TOOLCHAIN: $1. To enable: $2" | tee -a "$TARGET/refused"
    exit 77
}

# fetched NAME: the path of something that fetch.py provides, or the stage is skipped.
fetched() {
    python3 tests/env/fetch.py "$1" 2>"$TARGET/fetch.log" && return
    tail -n 1 "$TARGET/fetch.log" >&2
    return 77
}

work_dir() {
    WORK=$(mktemp -d "$TARGET/work.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
}

SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# A sanitizer that is not really on passes everything: each must stop a program that is wrong.
# prove_sanitizers COMPILER
prove_sanitizers() {
    printf '%s\n' '#include <limits.h>' '#include <stdlib.h>' \
        'int main(int argc, char **argv) {' \
        '    (void)argv; char *p = (char *)malloc((size_t)argc);' \
        '    if (argc == 1) return p[argc];' \
        '    int most = INT_MAX - 2; return most + argc > 0; }' >"$WORK/wrong.c"
    "$1" $SANITIZE -w "$WORK/wrong.c" -o "$WORK/wrong" ||
        skip "ASan and UBSan with $1" "install the compiler's sanitizer libraries (Debian: apt-get install libasan8 libubsan1)"
    "$WORK/wrong" 2>&1 | grep -q 'AddressSanitizer: heap-buffer-overflow' || fail "ASan is not on"
    "$WORK/wrong" 1 2 2>&1 | grep -q 'signed integer overflow' || fail "UBSan is not on"
}

# run_programs COMPILE LINK SOURCE...: compiles each program and runs it without arguments, which
# makes it check itself, on each of $SCHEMES.
SCHEMES=shm
run_programs() {
    compile=$1 link=$2 passed=0 failed=0 unable=0
    shift 2
    for source; do
        [ -e "$source" ] || continue
        program=$WORK/$(basename "${source%.*}")
        $compile "$source" -o "$program" $link || { failed=$((failed + 1)); echo "FAILED   $source"; continue; }
        schemes=$SCHEMES
        # There a thread gives signs of life, and a child inherits the lock of ASan's allocator that it may hold at the fork:
        # one run in thirty hangs in the allocator. (Other allocators mend their locks at a fork.)
        case $compile in *-fsanitize=address*) ! grep -q 'fork()' "$source" || schemes=shm ;; esac
        for scheme in $schemes; do
            # There a thread gives signs of life, and after a fork the leak checker cannot stop it: it says so, and guesses.
            status=0 leaks=1
            [ "$scheme" = shm ] || leaks=0
            ASAN_OPTIONS=detect_leaks=$leaks CSM_TEST_SCHEME=$scheme timeout -k 5 300 "$program" >"$WORK/log" 2>&1 || status=$?
            case $status in
                0) passed=$((passed + 1)); echo "ok       $source, $scheme:" ;;
                77) unable=$((unable + 1)); echo "SKIPPED  $source: $(tail -n 1 "$WORK/log")" | tee -a "$TARGET/skipped" ;;
                *) failed=$((failed + 1)); echo "FAILED   $source, $scheme: (status $status)"; tail -n 60 "$WORK/log" ;;
            esac
        done
        rm -f "$WORK/log" "$program"
    done
    echo "$passed passed, $failed failed, $unable skipped"
    [ "$failed" -eq 0 ] && [ $((passed + unable)) -gt 0 ]
}
