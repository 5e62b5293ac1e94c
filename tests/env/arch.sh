#!/bin/sh
# Instruction selection, read from the object code: the release build for each instruction set must have its cache
# instructions where the source says so, and no others. `arch.sh x86_64` checks one alone.
. "$(dirname "$0")/lib.sh"

if [ $# -eq 0 ]; then
    status=0
    for isa in x86_64 powerpc64le aarch64; do
        result=0
        tests/env/arch.sh $isa || result=$?
        case $result in
            0) ;;
            77) [ $status -ne 0 ] || status=77 ;;
            *) status=1 ;;
        esac
    done
    exit $status
fi

isa=$1 target=$1-unknown-linux-gnu objdump=$1-linux-gnu-objdump
[ -d "$(rustc --print target-libdir --target "$target")" ] ||
    refused "the object code for $isa" "rustup target add $target"
have "$objdump" || [ "$(uname -m)" != "$(echo "$isa" | sed s/powerpc/ppc/)" ] || objdump=objdump
have "$objdump" || skip "the object code for $isa" \
    "install its binutils (Debian: apt-get install binutils-$(echo "$isa" | tr _ -)-linux-gnu)"
cargo build -q --release --locked -p csm --target "$target"
work_dir
# The archive also holds metadata, which is no object file: objdump complains, and goes on.
"$objdump" -drC --no-show-raw-insn "$TARGET/$target/release/libcsm.rlib" >"$WORK/dump" 2>"$WORK/log" || :

room=csm::arch::native

# code FUNCTION: its instructions and relocations.
code() {
    awk -v head="<$1>:" '/^[0-9a-f]+ </ { on = substr($0, index($0, " ") + 1) == head } /^$/ { on = 0 } on' \
        "$WORK/dump" >"$WORK/code"
    [ -s "$WORK/code" ] || fail "$isa: no function $1 in the object code"
}

wrong() {
    cat "$WORK/code" >&2
    fail "$isa: $1"
}

# has FUNCTION INSTRUCTION: it and no other of the cache instructions and barriers of any instruction set.
has() {
    code "$room::$1"
    found=$(awk -F '\t' 'NF > 1 { print $2, $3 }' "$WORK/code" |
        sed -nE -e 's/^(dc|ic|dsb|dmb|isb) +([a-z]+).*/\1 \2/p' \
            -e 's/^hw(sync)/\1/; s/^(cl[a-z]+|[lms]fence|v?movnt[a-z]*|dcb[a-z]+|[a-z]*sync|eieio)( .*)?$/\1/p' |
        sort -u | paste -sd ,)
    [ "$found" = "$2" ] || wrong "$1 must have the instruction $2 and no other; it has: ${found:-none}"
    echo "ok       $isa: $1 has $2"
}

# uses TYPE METHOD FUNCTION UNWANTED: the method refers to the one function and not to the other. Functions are
# plain in calls and mangled, with their length in front, in the names of sections.
uses() {
    code "<$room::$1 as csm::arch::CacheOps>::$2"
    grep -qE "native(::|[0-9]+)$3" "$WORK/code" || wrong "$2 does not use $3"
    ! grep -qE "native(::|[0-9]+)$4" "$WORK/code" || wrong "$2 uses $4"
    echo "ok       $isa: $2 uses $3 and not $4"
}

case $isa in
    x86_64)
        has clwb clwb
        has clflushopt clflushopt
        has clflush clflush
        has mfence mfence
        has stream movntdq
        uses X86 invalidate clflushopt clwb
        uses X86 fence mfence clwb
        ;;
    powerpc64le)
        has dcbst dcbst
        has dcbf dcbf
        has sync sync
        uses Power write_back dcbst dcbf
        uses Power invalidate dcbf dcbst
        uses Power fence sync dcbst
        ;;
    aarch64)
        has dc_cvac 'dc cvac'
        has dc_civac 'dc civac'
        has dsb_sy 'dsb sy'
        uses Arm write_back dc_cvac dc_civac
        uses Arm invalidate dc_civac dc_cvac
        uses Arm fence dsb_sy dc_cvac
        ;;
    *) fail "unknown instruction set $isa" ;;
esac
