#!/bin/sh
# The binary interface: the header stands alone, the library exports what ffi/libcsm.map lists (the
# golden list) and nothing else, the header declares the same, nothing but libc is needed, and the
# stripped library keeps its size.
# shellcheck disable=SC1091,SC2086 # flags are words
. "$(dirname "$0")/lib.sh"
have "$CC" || skip "the ABI tests" "install a C compiler (Debian: apt-get install gcc)"
work_dir
library=$OUT/libcsm.so.0 most_bytes=2097152

echo '#include "csm.h"
#include "csm.h"' >"$WORK/twice.c"
strict="-fsyntax-only -Wall -Wextra -Wpedantic -Werror -Iinclude"
$CC $strict -std=c11 "$WORK/twice.c" || fail "csm.h does not compile alone as C11"
$CXX $strict -std=c++17 -x c++ "$WORK/twice.c" || fail "csm.h does not compile alone as C++17"

# Each line: SYMBOL@@VERSION.
awk '/\{/ { version = $1 } /^ *csm_[a-z0-9_]+;$/ { sub(/;/, ""); print $1 "@@" version }' ffi/libcsm.map |
    LC_ALL=C sort >"$WORK/map"
nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort >"$WORK/exported"
diff -u --label ffi/libcsm.map --label "exported by libcsm.so" "$WORK/map" "$WORK/exported" ||
    fail "the exported symbols are not those of ffi/libcsm.map"

# What the preprocessor leaves of the header, without its includes' lines.
$CC -E -Iinclude "$WORK/twice.c" | awk '/^#/ { ours = /csm\.h"/; next } ours' | tr '\n' ' ' | tr ';' '\n' |
    grep -v typedef | sed -n 's/.*[ *]\(csm_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort >"$WORK/declared"
sed 's/@@.*//' "$WORK/map" | diff -u --label include/csm.h --label ffi/libcsm.map "$WORK/declared" - ||
    fail "csm.h does not declare what ffi/libcsm.map lists"

readelf -d "$library" | grep -q 'SONAME.*\[libcsm\.so\.0\]' || fail "the soname is not libcsm.so.0"
needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | tr '\n' ' ')
[ "$needed" = "libc.so.6 " ] || fail "libcsm.so needs more than libc: $needed"

strip -o "$WORK/stripped" "$library"
bytes=$(wc -c <"$WORK/stripped")
[ "$bytes" -le "$most_bytes" ] || fail "stripped libcsm.so has $bytes bytes, more than $most_bytes"
echo "$(wc -l <"$WORK/map") symbols, $bytes bytes stripped"
