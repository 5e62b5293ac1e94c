#!/bin/sh
# The library's own tests and the conformance suite on another instruction set, run by user-mode emulation: real cache
# instructions, on one coherent machine. It shows that they run and keep the data, not that they are enough.
# cross.sh ppc64le|aarch64
. "$(dirname "$0")/lib.sh"
case ${1:-} in
    ppc64le) isa=powerpc64le package=ppc64el cpu=power9 ;;
    aarch64) isa=aarch64 package=arm64 cpu=neoverse-n1 ;;
    *) fail "cross.sh ppc64le|aarch64" ;;
esac
target=$isa-unknown-linux-gnu qemu=qemu-$1-static gcc=$isa-linux-gnu-gcc
[ -d "$(rustc --print target-libdir --target "$target")" ] ||
    refused "the tests on $1" "rustup target add $target"
if ! have "$qemu" || ! have "$gcc" || [ ! -d "/usr/$isa-linux-gnu/lib" ]; then
    skip "the tests on $1" "install the emulator, the compiler and its C library (Debian: apt-get install \
qemu-user-static gcc-${gcc%-gcc} libc6-dev-$package-cross)"
fi

name=$(echo "$target" | tr a-z- A-Z_)
export "CARGO_TARGET_${name}_LINKER=$gcc" "CARGO_TARGET_${name}_RUNNER=$qemu"
# For the emulator, also when a test starts itself again as a peer: where the system's libraries are, and what to be.
export QEMU_LD_PREFIX="/usr/$isa-linux-gnu" QEMU_CPU="$cpu" CSM_TEST_RUNNER="$qemu"
# An emulated program without any optimization takes longer to run than this one to build.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0

# One link of each profile that needs instructions, and each line size, says what there is to say about a processor.
# The emulator has no get_mempolicy and does not pass MADV_DONTDUMP on: "memory is what was asked for" and "memory is
# nobody else's" cannot pass. To an ioctl that it does not know it says ENOSYS, where the two tests of failing calls expect
# a kernel's ENOTTY. Great numbers of names, garbage and seeds say nothing about an instruction set.
echo "not under emulation: the cases on NUMA memory and core dumps, failing ioctls, and very many names"
unset CSM_SEEDS CSM_GARBAGE
run() {
    cargo test --tests --locked -p csm -p csm-conformance --target "$target" --no-fail-fast "$@" \
        --skip "memory is" --skip "very many names" \
        --skip every_failing_call_is_reported --skip a_container_or_group_that_does_not_open
}
cargo test --tests --locked -p csm -p csm-conformance --target "$target" --no-run
work_dir
# In two halves at once, each of which is mostly one process after the other: the simulated link, and the rest.
run -- incoherent --skip incoherent-gc --skip lender-64 --skip lc-128 >"$WORK/log" 2>&1 &
half=$! status=0
run -- --skip incoherent --skip shm:: || status=$?
wait $half || status=$?
cat "$WORK/log"
exit $status
