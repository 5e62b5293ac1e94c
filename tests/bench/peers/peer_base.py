"""What the peers' writers have in common: the table in the process's own memory, kept from round to round."""

import table


class PrivateWriter:
    def __init__(self, place, size_bytes):
        self.place = place
        self._source = table.Source(size_bytes)

    def source(self):
        return self._source

    def close(self):
        pass


class Reader:
    def __init__(self, place, _size_bytes):
        self.place = place

    def close(self):
        pass


def streamed(reader):
    """The first batch of a RecordBatchReader, and what gives the others."""
    return reader.read_next_batch(), lambda: list(reader)


def wait_for(path, process, seconds=20):
    """Until a server has made its socket. With a deadline: a server that died is an error, not a wait."""
    import os
    import time
    deadline = time.monotonic() + seconds
    while not os.path.exists(path):
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with status {process.returncode}")
        if time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"{process.args[0]} made no socket {path} in {seconds} s")
        time.sleep(0.001)
