"""Plasma, the object store of Arrow until 11: the writer copies the table into the store's memory, the reader maps it."""

import hashlib
import os
import subprocess

import pyarrow as pa
import pyarrow.plasma as plasma

from lifetime import die_with
from peer_base import PrivateWriter, Reader as Base, streamed, wait_for


def socket(place):
    return f"/tmp/{place}.plasma"


def object_id(name):
    return plasma.ObjectID(hashlib.sha1(name.encode()).digest())


class Writer(PrivateWriter):
    def __init__(self, place, size_bytes):
        super().__init__(place, size_bytes)
        program = os.path.join(os.path.dirname(pa.__file__), "plasma-store-server")
        self.store = subprocess.Popen([program, "-m", str(size_bytes + size_bytes // 8 + (64 << 20)), "-s", socket(place)],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      preexec_fn=die_with(os.getpid()))
        wait_for(socket(place), self.store)
        self.client = plasma.connect(socket(place))

    def put(self, name, source):
        arrow_table = source.arrow(pa)
        measure = pa.MockOutputStream()
        with pa.ipc.new_stream(measure, arrow_table.schema) as writer:
            writer.write_table(arrow_table)
        sink = pa.FixedSizeBufferWriter(self.client.create(object_id(name), measure.size()))
        sink.set_memcopy_threads(os.cpu_count())
        with pa.ipc.new_stream(sink, arrow_table.schema) as writer:
            writer.write_table(arrow_table)
        self.client.seal(object_id(name))

    def remove(self, name):
        self.client.delete([object_id(name)])

    def close(self):
        self.client.disconnect()
        self.store.terminate()
        self.store.wait()


class Reader(Base):
    def __init__(self, place, size_bytes):
        super().__init__(place, size_bytes)
        self.client = plasma.connect(socket(place))

    def open(self, name):
        [buffer] = self.client.get_buffers([object_id(name)])
        return streamed(pa.ipc.open_stream(buffer))
