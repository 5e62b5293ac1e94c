"""An Arrow IPC stream through a named pipe. The writer writes when a reader opens the pipe: opening pays for all of it."""

import fcntl
import os
import threading

import pyarrow as pa

from peer_base import PrivateWriter, Reader as Base, streamed

F_SETPIPE_SZ = 1031


def path(place, name):
    return f"/tmp/{place}-{name}.fifo"


class Writer(PrivateWriter):
    def put(self, name, source):
        os.mkfifo(path(self.place, name))
        arrow_table = source.arrow(pa)

        def write():
            with open(path(self.place, name), "wb", buffering=0) as pipe:
                with pa.ipc.new_stream(pa.PythonFile(pipe), arrow_table.schema) as writer:
                    writer.write_table(arrow_table)

        self.writing = threading.Thread(target=write, daemon=True)
        self.writing.start()

    def remove(self, name):
        self.writing.join()
        os.unlink(path(self.place, name))


class PipeFile:
    """What pyarrow reads from: Arrow's own files seek, which a pipe cannot. Each buffer is read where it will stay."""

    closed = False

    def __init__(self, name):
        self.file = open(name, "rb", buffering=0)
        fcntl.fcntl(self.file, F_SETPIPE_SZ, 1 << 20)

    def read_buffer(self, nbytes):
        buffer = pa.allocate_buffer(nbytes)
        view, done = memoryview(buffer).cast("B"), 0
        while done < nbytes:
            got = self.file.readinto(view[done:])
            if not got:
                return buffer.slice(0, done)
            done += got
        return buffer

    def read(self, nbytes):
        return self.read_buffer(nbytes).to_pybytes()

    def close(self):
        self.file.close()


class Reader(Base):
    def open(self, name):
        return streamed(pa.ipc.open_stream(pa.PythonFile(PipeFile(path(self.place, name)), "r")))
