"""libcsm from Python: ctypes over csm.h, tables by the Arrow C stream interface. As much of it as the benchmarks need."""

import ctypes
import os

_P, _U64 = ctypes.c_void_p, ctypes.c_uint64


class _Error(ctypes.Structure):
    _fields_ = [("struct_size", _U64), ("status", ctypes.c_int32), ("sys_errno", ctypes.c_int32),
                ("message", ctypes.c_char * 488)]


class _Publish(ctypes.Structure):
    _fields_ = [("struct_size", _U64), ("replace", ctypes.c_uint32), ("seal", ctypes.c_uint32)]


class _Published(ctypes.Structure):
    _fields_ = [(name, _U64) for name in ("struct_size", "rows", "batches", "bytes_in_place", "bytes_copied",
                                          "descriptor_bytes", "bytes_sealed", "generation")]


class _Stream(ctypes.Structure):
    _fields_ = [(name, _P) for name in ("get_schema", "get_next", "get_last_error", "release", "private_data")]


class CsmError(Exception):
    pass


_lib = ctypes.CDLL(os.environ.get("CSM_LIBRARY", "libcsm.so.0"))
for _name in ("csm_ctx_new", "csm_region_create", "csm_region_open", "csm_region_close", "csm_region_destroy",
              "csm_table_publish_stream", "csm_table_open", "csm_table_stream", "csm_table_close", "csm_table_remove",
              "csm_heap_alloc", "csm_heap_free"):
    getattr(_lib, _name).restype = ctypes.c_int32


def _call(name, *arguments):
    error = _Error(struct_size=ctypes.sizeof(_Error))
    if getattr(_lib, name)(*arguments, ctypes.byref(error)):
        raise CsmError(f"{name}: {error.message.decode()}")


_ctx = _P()
_call("csm_ctx_new", None, ctypes.byref(_ctx))


def create(uri):
    return Region(uri, "csm_region_create")


def destroy(uri):
    _call("csm_region_destroy", _ctx, uri.encode())


class Region:
    def __init__(self, uri, how="csm_region_open"):
        self._handle = _P()
        _call(how, _ctx, uri.encode(), ctypes.byref(self._handle))

    def close(self):
        _call("csm_region_close", self._handle)

    def alloc(self, nbytes):
        """The address of `nbytes` bytes in the region."""
        memory = _P()
        _call("csm_heap_alloc", self._handle, _U64(nbytes), _U64(64), ctypes.byref(memory))
        return memory.value

    def free(self, address, nbytes):
        _call("csm_heap_free", self._handle, _P(address), _U64(nbytes))

    def publish(self, name, reader):
        """Publishes what a pyarrow.RecordBatchReader yields; returns how many bytes had to be copied in."""
        stream, options = _Stream(), _Publish(struct_size=ctypes.sizeof(_Publish))
        published = _Published(struct_size=ctypes.sizeof(_Published))
        reader._export_to_c(ctypes.addressof(stream))
        _call("csm_table_publish_stream", self._handle, name.encode(), ctypes.byref(stream), ctypes.byref(options),
              ctypes.byref(published))
        return published.bytes_copied

    def open(self, name, pa):
        """The table, read in place; the lease ends with its last buffer."""
        table, stream = _P(), _Stream()
        _call("csm_table_open", self._handle, name.encode(), None, ctypes.byref(table))
        try:
            _call("csm_table_stream", table, ctypes.byref(stream))
        finally:
            _call("csm_table_close", table)
        return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))

    def remove(self, name):
        _call("csm_table_remove", self._handle, name.encode())
