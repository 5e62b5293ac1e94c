#!/bin/sh
# All tests, in two lanes side by side: what cargo builds, and what C and C++ compilers do; many stages are one
# process after the other, so that one lane alone would leave processors idle. A stage's output comes when it ends; at
# the end there is what passed, failed and was skipped.
# `test.sh STAGE...` runs those alone, one after the other. CSM_NO_SKIP=1: a skipped stage is a failed one.
# CSM_VM=1: the guests of `make test-vm` too, which take some hundred megabytes to download.
. "$(dirname "$0")/lib.sh"
here=tests/env
mkdir -p "$TARGET"
for file in skipped refused summary; do : >"$TARGET/$file"; done
only=" $* "

# stage NAME COMMAND...
stage() {
    name=$1
    shift
    case $only in "  " | *" $name "*) ;; *) return 0 ;; esac
    start=$(date +%s) status=0
    if [ "$only" = "  " ]; then
        "$@" >"$TARGET/$name.log" 2>&1 || status=$?
        { printf '\n== %s\n' "$name"; cat "$TARGET/$name.log"; } >"$TARGET/$name.out"
        cat "$TARGET/$name.out"
        rm "$TARGET/$name.log" "$TARGET/$name.out"
    else
        printf '\n== %s\n' "$name"
        "$@" || status=$?
    fi
    case $status in
        0) result=passed ;;
        77) result=SKIPPED ;;
        *) result=FAILED ;;
    esac
    printf '%-14s %-8s %5d s\n' "$name" "$result" $(($(date +%s) - start)) >>"$TARGET/summary"
}

compiled() {
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
    [ -z "${CSM_VM:-}" ] || stage vm $here/vm.sh
    stage report python3 -m unittest discover -s tests/bench -p 'test_*.py'
    stage bench $here/bench_some.sh
}

rust() {
    stage rust $here/rust.sh
    # Built as the others were, so that it is not built again.
    stage mutants cargo test --workspace --exclude csm-model --locked --all-features --test mutants
    stage model cargo test --release --locked -p csm-model
    stage arch $here/arch.sh
    stage cross-ppc64le $here/cross.sh ppc64le
    stage cross-aarch64 $here/cross.sh aarch64
    stage miri $here/miri.sh
}

if [ "$only" = "  " ]; then
    compiled &
    rust
    wait
else
    rust
    compiled
fi

[ -s "$TARGET/summary" ] || fail "no such stage:$only"
printf '\n== summary\n'
cat "$TARGET/summary" "$TARGET/skipped" "$TARGET/refused"
count() { grep -c " $1 " "$TARGET/summary" || :; }
passed=$(count passed) failed=$(count FAILED) skipped=$(wc -l <"$TARGET/skipped")
if [ -n "${CSM_NO_SKIP:-}" ] && [ "$skipped" -gt 0 ]; then
    echo "CSM_NO_SKIP is set: what was skipped counts as failed"
    failed=$((failed + skipped)) skipped=0
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
