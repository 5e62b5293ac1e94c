"""libcsm, from a table in the writer's own memory, which publishing copies in; and, by `Placed`, built in the region."""

import ctypes

import numpy as np
import pyarrow as pa

import csm
import table
from peer_base import PrivateWriter, Reader as Base, streamed

def region_size(size_bytes):
    """Room for the table and what its extents are rounded up by, its descriptor and the region's books."""
    return (size_bytes + size_bytes // 8 + (24 << 20)) >> 21 << 21


class Writer(PrivateWriter):
    options = ""

    def __init__(self, place, size_bytes):
        super().__init__(place, size_bytes)
        self.create(size_bytes)

    def create(self, size_bytes):
        self.uri = f"shm:{self.place}"
        self.region = csm.create(f"{self.uri}?size={region_size(size_bytes)}{self.options}")

    def put(self, name, source):
        if self.region.publish(name, source.arrow(pa).to_reader()) == 0:
            raise SystemExit("nothing was copied, though the table was not in the region")

    def remove(self, name):
        self.region.remove(name)

    def close(self):
        self.region.close()
        csm.destroy(self.uri)


class Placed(Writer):
    """The columns are written where readers will read them."""

    def __init__(self, place, size_bytes):
        self.place, self.size_bytes, self.held = place, size_bytes, []
        self.create(size_bytes)

    def alloc(self, nbytes):
        address = self.region.alloc(nbytes)
        self.held.append((address, nbytes))
        return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), np.uint8)

    def source(self):
        return table.Source(self.size_bytes, self.alloc)

    def put(self, name, source):
        if self.region.publish(name, source.arrow(pa).to_reader()):
            raise SystemExit("something was copied, though the table was in the region")
        for address, nbytes in self.held:
            self.region.free(address, nbytes)
        self.held.clear()


class Reader(Base):
    options = ""

    def __init__(self, place, size_bytes):
        super().__init__(place, size_bytes)
        self.region = csm.Region(f"shm:{place}{self.options}")

    def open(self, name):
        return streamed(self.region.open(name, pa))

    def close(self):
        self.region.close()
