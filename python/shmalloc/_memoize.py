"""Functions whose results are kept in a cache."""
from __future__ import annotations

import functools
import hashlib
import inspect
import threading
import warnings
from collections.abc import Callable

from ._error import (GoneError, LeaseError, MissingError, OutOfMemoryError,
                     RangeError, UnreachableError, WaitError)

_PLAIN = (str, bytes, int, float, bool, type(None))
_KEY_LENGTH = 1024


def _is_plain(value):
    if type(value) in (tuple, frozenset):
        return type(value) is tuple and all(map(_is_plain, value))
    return type(value) in _PLAIN


def _argument_key(args, kwargs):
    named = tuple(sorted(kwargs.items()))
    if not _is_plain(args) or not _is_plain(named):
        raise TypeError(
            "an argument is no str, bytes, number, None or tuple of such: "
            "memoize() needs key=, which makes a key of the arguments")
    return repr((args, named))


def _as_bytes(key):
    # bytes(5) would be five of them.
    return key.encode() if isinstance(key, str) else bytes(memoryview(key))


def _bounded(prefix, key):
    """One key for the cache; a long one by its hash."""
    key = prefix + b":" + _as_bytes(key)
    if len(key) > _KEY_LENGTH:
        digest = hashlib.blake2b(key, digest_size=32).hexdigest()
        key = prefix[:_KEY_LENGTH] + b"#" + digest.encode()
    return key


def memoize(cache, ttl: float | None = None, *,
            key: Callable[..., str | bytes] | None = None,
            prefix: str | bytes | None = None, lease: float | None = None,
            wait: float | None = None) -> Callable:
    """Keep what a function returns, for TTL seconds (None: until evicted).

        @cache.memoize(ttl=60)
        def page(path): ...

    Of all processes and threads that miss a value one computes it, and the
    others wait, or get the value before if the cache may serve stale ones.  If
    the one that computes it dies or raises, the next one does it.  While it
    lives and LEASE seconds (None: 10) have not passed, the others wait, at most
    WAIT seconds (None: as long as it takes), after which they compute it for
    themselves.

    KEY makes a str or bytes of the arguments; without it they must be str,
    bytes, numbers, None, or tuples of them, and f(1), f(1.0) and f(x=1) are
    different calls.  PREFIX (None: the function's module and qualified name)
    sets functions apart: change it when what the function returns changes.

    Without the cache the function works, too: when there is no memory for the
    result, the cache is read-only, or, with a RuntimeWarning, it was destroyed
    or its daemon can't be reached.

    The function has more: `key(*args)`, its key in the cache;
    `forget(*args)`, to drop a result; `__wrapped__`.  What it returns must be
    what the cache takes: bytes-like unless the cache has a serializer.
    """
    def decorate(function):
        if inspect.iscoroutinefunction(function):
            raise TypeError("memoize() takes no coroutine functions")
        name = prefix
        if name is None:
            name = f"{function.__module__}.{function.__qualname__}"
        start = _as_bytes(name)
        computing = threading.local()

        def key_of(*args, **kwargs):
            if key is not None:
                return _bounded(start, key(*args, **kwargs))
            return _bounded(start, _argument_key(args, kwargs))

        def compute(held, args, kwargs):
            with held:
                value = function(*args, **kwargs)
                try:
                    held.fill(value, ttl)
                except (GoneError, LeaseError, OutOfMemoryError, RangeError):
                    pass  # It is as good for the caller, and the next one.
                return value

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            name = key_of(*args, **kwargs)
            mine = computing.__dict__.setdefault("keys", set())
            if name in mine:
                raise RecursionError(
                    f"{function.__qualname__} calls itself for the same result")
            try:
                value, held = cache.take(name, lease, wait)
            except (MissingError, OutOfMemoryError, WaitError):
                return function(*args, **kwargs)  # MissingError: read-only.
            except (GoneError, UnreachableError) as error:
                warnings.warn(f"{function.__qualname__}: {error}",
                              RuntimeWarning, stacklevel=2)
                return function(*args, **kwargs)
            if held is None:
                return value
            mine.add(name)
            try:
                return compute(held, args, kwargs)
            finally:
                mine.discard(name)

        def forget(*args, **kwargs):
            return cache.delete(key_of(*args, **kwargs))

        wrapper.key = key_of
        wrapper.forget = forget
        return wrapper

    return decorate
