"""The table that is shared: 3 columns, int64, float64 and string, 32 bytes a row, in batches of at most 1 Mi rows.

Written and summed with numpy alone, so that every peer writes and reads the same bytes with the same code, whatever
its Arrow. A row is 8 + 8 bytes, a 4-byte offset and 12 characters.
"""

import numpy as np

ROW_BYTES = 32
CHARS = 12
MAX_BATCH_ROWS = 1 << 20
_PATTERN = np.frombuffer((b"abcdefghijklmnopqrstuvwxyz0123456789" * 64)[:2048], np.uint8)


def batch_rows(size_bytes):
    """Rows of each batch of a table of about `size_bytes`; even numbers."""
    left = size_bytes // ROW_BYTES // 2 * 2
    while left > 0:
        yield min(left, MAX_BATCH_ROWS)
        left -= MAX_BATCH_ROWS


def private(nbytes):
    """Memory of the process's own: what Arrow would allocate."""
    return np.empty(nbytes, np.uint8)


class Source:
    """The columns as numpy arrays in memory that `alloc` gives."""

    def __init__(self, size_bytes, alloc=private):
        self.batches = []
        for rows in batch_rows(size_bytes):
            self.batches.append((alloc(rows * 8).view(np.int64), alloc(rows * 8).view(np.float64),
                                 alloc((rows + 1) * 4).view(np.int32), alloc(rows * CHARS)))

    def fill(self, seed):
        """Writes every byte once."""
        ramp = _ramp()
        start = seed
        for ids, values, offsets, chars in self.batches:
            rows = len(ids)
            np.add(ramp[:rows], start, out=ids)
            np.multiply(ids, 0.25, out=values)
            np.multiply(ramp[:rows + 1], CHARS, out=offsets, casting="unsafe")
            chunk = np.roll(_PATTERN, seed)
            whole = len(chars) // len(chunk) * len(chunk)
            chars[:whole].reshape(-1, len(chunk))[:] = chunk
            chars[whole:] = chunk[:len(chars) - whole]
            start += rows

    def arrow(self, pa):
        """The same memory as an Arrow table, without a copy. The caller keeps `self` alive."""
        def batch(ids, values, offsets, chars):
            rows = len(ids)
            make = pa.Array.from_buffers
            return pa.RecordBatch.from_arrays([
                make(pa.int64(), rows, [None, pa.py_buffer(ids)], null_count=0),
                make(pa.float64(), rows, [None, pa.py_buffer(values)], null_count=0),
                make(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(chars)], null_count=0),
            ], ["id", "value", "name"])
        return pa.Table.from_batches([batch(*columns) for columns in self.batches])


_ramp_cache = []


def _ramp():
    if not _ramp_cache:
        _ramp_cache.append(np.arange(MAX_BATCH_ROWS + 1, dtype=np.int64))
    return _ramp_cache[0]


def first_value(batch):
    return int(np.frombuffer(batch.column(0).buffers()[1], np.int64)[batch.column(0).offset])


def sum_columns(columns):
    """Reads every byte of the columns' chunks: one number that depends on all of them, modulo 2^64."""
    return sum(_sum_chunk(chunk) for column in columns for chunk in getattr(column, "chunks", [column])) % (1 << 64)


def _sum_chunk(chunk):
    rows, at, buffers = len(chunk), chunk.offset, chunk.buffers()
    if len(buffers) == 2:
        if str(chunk.type) == "double":
            return int(np.frombuffer(buffers[1], np.float64)[at:at + rows].sum() * 4)
        return int(np.frombuffer(buffers[1], np.int64)[at:at + rows].sum())
    offsets = np.frombuffer(buffers[1], np.int64 if "large" in str(chunk.type) else np.int32)[at:at + rows + 1]
    offsets.sum()
    chars = np.frombuffer(buffers[2], np.uint8)[int(offsets[0]):int(offsets[-1])]
    return len(chars) + int(chars.view(np.uint64).sum(dtype=np.uint64))
