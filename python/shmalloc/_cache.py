"""Attachments and caches: what needs no C."""
from __future__ import annotations

import importlib
import os
import sys
import threading
import types
import warnings
import weakref
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, NamedTuple

from . import _shmalloc
from ._error import MissingError, NumberError
from ._memoize import memoize

_READ_ONLY = 1
_AUTOSTART = 2


# ---- Attachments ------------------------------------------------------------

class Heap(_shmalloc.Heap):
    """An attachment to a segment; attach() makes it."""

    _options: tuple

    def __reduce__(self):
        return _attached, self._options


def attach(segment: str | None = None, *, read_only: bool = False,
           autostart: bool = False, timeout: float | None = None,
           label: str | None = None) -> Heap:
    """Attach to the SEGMENT of that name (None: "default").

    The daemon is the one whose sockets are in $SHMALLOC_SOCKET (a folder), else
    in $XDG_RUNTIME_DIR/shmalloc, else in /run/shmalloc.  With AUTOSTART a
    private daemon is started if none answers.  TIMEOUT seconds (None: 5) are
    waited for a daemon that is restarting.  LABEL is what `shmallocctl clients`
    shows.  The attachment ends when nothing refers to it.
    """
    flags = (_READ_ONLY if read_only else 0) | (_AUTOSTART if autostart else 0)
    timeout_ms = 0 if timeout is None else max(1, round(timeout * 1000))
    heap = Heap(segment, flags, timeout_ms, label)
    heap._options = (segment, read_only, autostart, timeout, label)
    return heap


_shared: weakref.WeakValueDictionary[tuple, Heap] = (
    weakref.WeakValueDictionary())
_shared_lock = threading.Lock()


def _attached(segment: str | None = None, read_only: bool = False,
              autostart: bool = False, timeout: float | None = None,
              label: str | None = None) -> Heap:
    """The attachment that caches of this process share, made if need be."""
    options = (segment, read_only, autostart, timeout, label)
    with _shared_lock:
        heap = _shared.get(options)
        if heap is None or heap._is_gone():
            heap = attach(segment, read_only=read_only, autostart=autostart,
                          timeout=timeout, label=label)
            _shared[options] = heap
    return heap


def _lock_renew() -> None:
    # Another thread of the parent may have had it.
    global _shared_lock
    _shared_lock = threading.Lock()


def _views_warn() -> None:
    n = len(_shmalloc.open_views())
    if n:
        warnings.warn(f"fork() while {n} views of a shmalloc cache are open: "
                      "the child must not read them", RuntimeWarning,
                      stacklevel=2)


os.register_at_fork(before=_views_warn, after_in_child=_lock_renew)


# ---- Caches -----------------------------------------------------------------

class Entry(NamedTuple):
    """A value and what is known of it."""

    value: Any
    version: int  #: changes with each store of the key
    flags: int  #: as they were stored
    ttl: float | None  #: seconds that are left; None: no end
    stale: bool  #: whether its time is over


class _Items(ItemsView):
    """Pairs of those keys that are still there when their turn comes."""

    __slots__ = ()

    def __iter__(self):
        absent = object()
        for key in self._mapping:
            value = self._mapping.get(key, absent)
            if value is not absent:
                yield key, value


class _Values(ValuesView):
    __slots__ = ()

    def __iter__(self):
        return (value for _, value in _Items(self._mapping))

    def __contains__(self, value):
        return any(other is value or other == value for other in self)


class _Module:
    """A module that is a serializer, which pickle would not take."""

    def __init__(self, module: types.ModuleType) -> None:
        self.name = module.__name__

    def __reduce__(self):
        return importlib.import_module, (self.name,)


def _reopen(cls, heap, name, options):
    return cls(name, heap=heap, **options)


class Cache(_shmalloc.Cache, MutableMapping):
    """The cache NAME (1 to 63 bytes) of a segment, made if it is absent.

    A mapping of keys to values that all processes share which open it.  A key
    is a str, which stands for its UTF-8, or bytes-like: 1 to 65536 bytes.
    Iteration gives keys as bytes.  A value is bytes-like, and comes back as
    bytes; with a SERIALIZER it is what its dumps() takes and its loads() gives
    (pickle, json, marshal, or an object of your own).

    An entry may go at any time: a cache forgets.  Any thread and any forked
    child may use it; pickled, as multiprocessing does it, it is opened anew.

    How to make it, if it is absent: LIMIT bytes of memory for all of it (0: what
    the segment has); room for so many ENTRIES at first; how many seconds after
    its end a value may be served to others while one renews it (STALE).  What
    exists keeps what it was made with.

    SEGMENT, READ_ONLY and AUTOSTART are as for attach(); caches of this process
    share an attachment, unless HEAP is given.  At most MAX_VIEWS views are open
    at once.
    """

    name: str
    heap: Heap
    serializer: Any
    _options: dict[str, Any]

    def __new__(cls, name: str, *, limit: int = 0, entries: int = 0,
                stale: float | None = None, serializer: Any = None,
                max_views: int = 64, segment: str | None = None,
                read_only: bool = False, autostart: bool = False,
                heap: Heap | None = None) -> Cache:
        if heap is None:
            heap = _attached(segment, read_only, autostart)
        dumps = loads = None
        if serializer is not None:
            dumps, loads = serializer.dumps, serializer.loads
        self = super().__new__(cls, heap, name, limit, entries, stale, dumps,
                               loads, max_views)
        self.name = name
        self.heap = heap
        self.serializer = serializer
        self._options = {"limit": limit, "entries": entries, "stale": stale,
                         "serializer": serializer, "max_views": max_views}
        return self

    def __reduce__(self):
        options = dict(self._options)
        if isinstance(self.serializer, types.ModuleType):
            options["serializer"] = _Module(self.serializer)
        return _reopen, (type(self), self.heap, self.name, options)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} {self.name!r}>"

    # Two caches are the same if they are one object, not by what they hold.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[bytes]:
        """The keys, as bytes, that are there now, in no order."""
        return iter(self._keys())

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def items(self) -> ItemsView:
        """Keys and values; what goes meanwhile is left out."""
        return _Items(self)

    def values(self) -> ValuesView:
        """The values; what goes meanwhile is left out."""
        return _Values(self)

    def entry(self, key) -> Entry | None:
        """KEY's value with its version, flags and time, or None."""
        found = self._entry(key)
        if found is None:
            return None
        data, version, flags, ttl, stale = found
        value = data if self.serializer is None else self.serializer.loads(data)
        return Entry(value, version, flags, ttl, stale)

    def set_many(self, values, ttl: float | None = None,
                 flags: int = 0) -> None:
        """Store a mapping of keys to values, one after the other."""
        for key, value in values.items():
            self.set(key, value, ttl, flags)

    def setdefault(self, key, default=None, ttl: float | None = None) -> Any:
        """KEY's value; if it is absent DEFAULT is stored, and is the value."""
        absent = object()
        while True:
            value = self.get(key, absent)
            if value is not absent:
                return value
            if self.add(key, default, ttl):
                return default

    def pop(self, key, *default: Any) -> Any:
        """Remove KEY; its value, or DEFAULT.  One process gets it."""
        if len(default) > 1:
            raise TypeError("pop() takes a key and a default")
        while True:
            found = self.entry(key)
            if found is None:
                if default:
                    return default[0]
                raise MissingError(key)
            if self.delete(key, found.version):
                return found.value

    def popitem(self) -> tuple[bytes, Any]:
        """Remove some key; it and its value.  One process gets them."""
        absent = object()
        for key in self:
            value = self.pop(key, absent)
            if value is not absent:
                return key, value
        raise MissingError("the cache is empty")

    def number(self, key, default: int | None = None) -> int | None:
        """KEY's number, as incr() keeps it, or DEFAULT."""
        found = self._entry(key)
        if found is None:
            return default
        if len(found[0]) != 8:
            raise NumberError("the value is no number")
        return int.from_bytes(found[0], sys.byteorder, signed=True)

    def take(self, key, lease: float | None = None,
             wait: float | None = None) -> tuple:
        """Find KEY, or become the one who computes it.

        (value, None): it is there; it may be stale, while another renews it.
        (None, lease): compute it, and give it to lease.fill(); use the lease in
        a with statement, which waives it if that raises.  While this process
        lives and LEASE seconds (None: 10) have not passed, others wait for it.
        WaitError: another has been computing for WAIT seconds (None: wait until
        its lease ends).
        """
        return self._take(key, lease, wait)

    memoize = memoize
