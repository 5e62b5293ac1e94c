#!/bin/sh
# All tests, a stage after the other, and at the end what passed, failed and was skipped.
# `test.sh STAGE...` runs those alone. CSM_NO_SKIP=1: a skipped stage is a failed one.
. "$(dirname "$0")/lib.sh"
here=tests/env
mkdir -p "$TARGET"
: >"$TARGET/skipped"
: >"$TARGET/refused"
only=" $* " summary='' passed=0 failed=0

stage() {
    name=$1
    shift
    case $only in "  " | *" $name "*) ;; *) return 0 ;; esac
    printf '\n== %s\n' "$name"
    start=$(date +%s) status=0
    "$@" || status=$?
    case $status in
        0) passed=$((passed + 1)) result=passed ;;
        77) result=SKIPPED ;;
        *) failed=$((failed + 1)) result=FAILED ;;
    esac
    summary="$summary$(printf '%-14s %-8s %5d s' "$name" "$result" $(($(date +%s) - start)))
"
}

stage rust $here/rust.sh
stage model cargo test --release --locked -p csm-model
stage arch $here/arch.sh
stage cross-ppc64le $here/cross.sh ppc64le
stage cross-aarch64 $here/cross.sh aarch64
# Built as the others were, so that it is not built again.
stage mutants cargo test --workspace --exclude csm-model --locked --all-features --test mutants
stage abi $here/abi.sh
stage c $here/c.sh
stage c-asan $here/c.sh asan
stage cpp-26 $here/cpp.sh arrow
stage cpp-26-asan $here/cpp.sh arrow asan
stage cpp-10 $here/cpp.sh arrow-old
stage install $here/install.sh
stage quickstart $here/quickstart.sh
stage readme $here/readme.py "$OUT/csm"
stage demo $here/demo.sh
stage miri $here/miri.sh

[ -n "$summary" ] || fail "no such stage:$only"
printf '\n== summary\n%s' "$summary"
cat "$TARGET/skipped" "$TARGET/refused"
skipped=$(wc -l <"$TARGET/skipped")
if [ -n "${CSM_NO_SKIP:-}" ] && [ "$skipped" -gt 0 ]; then
    echo "CSM_NO_SKIP is set: what was skipped counts as failed"
    failed=$((failed + skipped)) skipped=0
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
