#!/bin/sh
# The installed package as its users meet it: pkg-config, static linking, CMake's find_package with
# both Arrows; and the tree may be moved after it was installed.
. "$(dirname "$0")/lib.sh"
have pkg-config || skip "the installation tests" "install pkg-config (Debian: apt-get install pkg-config)"
have cmake || skip "the installation tests" "install CMake 3.16 or later (Debian: apt-get install cmake)"
work_dir
install() { MAKEFLAGS='' make --no-print-directory install "$@" >"$WORK/log" 2>&1 || { cat "$WORK/log"; fail "make install $*"; }; }

install DESTDIR="$WORK/package" PREFIX=/usr
! grep -rIl "$WORK" "$WORK/package" || fail "the files above name DESTDIR"

usr=$WORK/usr
install PREFIX="$usr"
export PKG_CONFIG_PATH="$usr/lib/pkgconfig"
for source in c-examples/*.c; do break; done
# shellcheck disable=SC2046 # flags are words
$CC "$source" -o "$WORK/shared" $(pkg-config --cflags --libs csm) -Wl,-rpath,"$usr/lib"
# shellcheck disable=SC2046
$CC "$source" -o "$WORK/static" $(pkg-config --cflags csm) "$usr/lib/libcsm.a" \
    $(pkg-config --static --libs csm | sed 's/-lcsm//')
! readelf -d "$WORK/static" | grep -q 'libcsm' || fail "the static program needs libcsm.so"
timeout 300 "$WORK/shared"
timeout 300 "$WORK/static"

mv "$usr" "$WORK/moved"
for name in arrow arrow-old; do
    arrow=$(fetched $name) || skip "the CMake package with $name" "make the Python package index reachable (see tests/env/fetch.py)"
    cmake -S tests/env/install -B "$WORK/$name" -DCMAKE_PREFIX_PATH="$WORK/moved" -DPyArrow_ROOT="$arrow" \
        -DCSM_SOURCE="$ROOT" >"$WORK/log" 2>&1 &&
        cmake --build "$WORK/$name" -j 2 >>"$WORK/log" 2>&1 || { cat "$WORK/log"; fail "the CMake package with $name"; }
    (cd "$WORK/$name" && ctest --output-on-failure)
done
