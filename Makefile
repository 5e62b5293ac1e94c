# libcsm: what can be done here, a line each. The work is done by cargo and by tests/env/*.sh.
#
#   make                 the libraries and the commands, in <target>/release
#   make demo            C++ loads a table into shared memory, Rust and C read it in place
#   make test            everything that can run here; says what was skipped and how to enable it
#   make test-vm         in guests with real kernels: VFIO, devdax, CXL, ocxl (CSM_VM_ONLY=NAME...)
#   make mutants         leaves out one step of the protocols after the other: who notices?
#   make bench           libcsm beside its peers: <target>/bench/report.md; QUICK=1 in 5 minutes, ONLY="share;query"
#   make lint            formatting, clippy, documentation, and that include/csm.h is up to date
#   make header          writes include/csm.h anew from ffi/
#   make install         PREFIX=/usr/local LIBDIR=$(PREFIX)/lib DESTDIR=
#   make clean           what was built; make distclean: also what was downloaded

PREFIX     ?= /usr/local
override PREFIX := $(abspath $(PREFIX))
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CARGO      ?= cargo
export CC CXX

TARGET  := $(abspath $(or $(CARGO_TARGET_DIR),target))
OUT     := $(TARGET)/release
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
SO      := libcsm.so.0
HEADER  := $(CARGO) run -q --locked --manifest-path ffi/Cargo.toml --example header

.PHONY: all rust demo test test-vm mutants bench lint header install clean distclean

all: $(OUT)/libcsm.so

# One after the other: built together, the library would get the features that the command asks for.
rust:
	$(CARGO) build --release --locked -p csm-ffi
	$(CARGO) build --release --locked -p csm-tools

$(OUT)/libcsm.a: rust ;

# The shared library is the static one, linked here so that it has a soname and versioned symbols,
# exports nothing but csm_*, and needs libc alone.
$(OUT)/$(SO): $(OUT)/libcsm.a ffi/libcsm.map
	$(CC) -shared -o $@ -Wl,-soname,$(SO) -Wl,--version-script=ffi/libcsm.map \
	    -Wl,--whole-archive $< -Wl,--no-whole-archive -Wl,--gc-sections -Wl,--no-undefined \
	    -Wl,--as-needed -Wl,-z,relro,-z,now -static-libgcc -lpthread -ldl -lm

$(OUT)/libcsm.so: $(OUT)/$(SO)
	ln -sf $(SO) $@

demo: all
	tests/env/demo.sh

test: all
	tests/env/test.sh

test-vm: all
	tests/env/vm.sh || [ $$? -eq 77 ]

mutants:
	$(CARGO) test --locked -p csm-mutants

bench: all
	tests/env/bench.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc -p csm --no-deps --all-features --locked
	$(HEADER) | diff -u include/csm.h - || { echo "include/csm.h is out of date: make header" >&2; exit 1; }

header:
	$(HEADER) >include/csm.h.new
	mv include/csm.h.new include/csm.h

install: all
	install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(INCLUDEDIR)/csm $(LIBDIR)/pkgconfig $(LIBDIR)/cmake/csm)
	install -m 755 $(OUT)/csm $(OUT)/csm-bringup $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/csm.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 cpp-arrow-glue/include/csm/*.hpp $(DESTDIR)$(INCLUDEDIR)/csm
	install -m 644 $(OUT)/libcsm.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(OUT)/$(SO) $(DESTDIR)$(LIBDIR)/libcsm.so.$(VERSION)
	ln -sf libcsm.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SO)
	ln -sf $(SO) $(DESTDIR)$(LIBDIR)/libcsm.so
	install -m 644 cpp-arrow-glue/cmake/FindPyArrow.cmake $(DESTDIR)$(LIBDIR)/cmake/csm
	for file in pkgconfig/csm.pc cmake/csm/csmConfig.cmake cmake/csm/csmConfigVersion.cmake; do \
	    sed -e 's|@VERSION@|$(VERSION)|' -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	        -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' cpp-arrow-glue/cmake/$${file##*/}.in \
	        >$(DESTDIR)$(LIBDIR)/$$file || exit 1; \
	done

clean:
	[ ! -d $(TARGET) ] || find $(TARGET) -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} +

distclean:
	rm -rf $(TARGET)
