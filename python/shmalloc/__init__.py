"""One cache in shared memory for many processes.

    import shmalloc

    cache = shmalloc.Cache("pages", limit=64 << 20)
    cache.set("/", b"<html>...", ttl=60)
    cache.get("/")

A daemon, shmallocd, owns the memory; each process that opens a cache by its
name has the same one.  See Cache, and README.md of this package.
"""
from ._cache import Cache, Entry, Heap, attach
from ._error import (BusyError, ChangedError, CorruptError, DeadlockError,
                     Error, ExistsError, FormatError, GoneError, InvalidError,
                     LeaseError, MissingError, NoSegmentError,
                     NotAllowedError, NotOwnerError, NumberError,
                     OutOfMemoryError, ProtocolError, RangeError,
                     ReadOnlyError, SystemCallError, UnknownError,
                     UnreachableError, VersionError, WaitError)
from ._shmalloc import Lease, View, open_views

__all__ = [
    "BusyError", "Cache", "ChangedError", "CorruptError", "DeadlockError",
    "Entry", "Error", "ExistsError", "FormatError", "GoneError", "Heap",
    "InvalidError", "Lease", "LeaseError", "MissingError", "NoSegmentError",
    "NotAllowedError", "NotOwnerError", "NumberError", "OutOfMemoryError",
    "ProtocolError", "RangeError", "ReadOnlyError", "SystemCallError",
    "UnknownError", "UnreachableError", "VersionError", "View", "WaitError",
    "attach", "open_views",
]
