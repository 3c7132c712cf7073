"""Exceptions: one class for each error of libshmalloc and libshmalloc-cache."""


class Error(Exception):
    """What went wrong in libshmalloc; `code` is the number of its error."""

    code = 0


class InvalidError(Error, ValueError):
    """An argument makes no sense: a key is 1 to 65536 bytes."""

    code = -1


class OutOfMemoryError(Error, MemoryError):
    """There is no memory, and evicting didn't help; the text says why."""

    code = -2


class ChangedError(Error):
    """It is another version's."""

    code = -3


class NotOwnerError(Error):
    """The object isn't the caller's."""

    code = -4


class DeadlockError(Error):
    """Called from a handler, in C, that interrupted a call."""

    code = -5


class UnreachableError(Error, ConnectionError):
    """No daemon answers."""

    code = -6


class NotAllowedError(Error, PermissionError):
    """The daemon, or its socket, doesn't allow it."""

    code = -7


class VersionError(Error):
    """The daemon or its segment is of another version."""

    code = -8


class NoSegmentError(Error, LookupError):
    """There is no segment of that name."""

    code = -9


class ProtocolError(Error):
    """The daemon's answer makes no sense."""

    code = -10


class WaitError(Error, TimeoutError):
    """The daemon, or who holds a lease, took too long."""

    code = -11


class ReadOnlyError(Error):
    """The attachment is read-only."""

    code = -12


class CorruptError(Error):
    """The segment's structure is damaged."""

    code = -13


class BusyError(Error):
    """A table of the segment is full: clients, threads or roots."""

    code = -14


class GoneError(Error):
    """The cache was destroyed, or its daemon replaced: open it again."""

    code = -15


class SystemCallError(Error, OSError):
    """A system call failed; `errno` says how."""

    code = -16


class RangeError(Error, OverflowError):
    """The value is larger than the cache may be; a number would overflow."""

    code = -17


class UnknownError(Error, LookupError):
    """There is no root of that name."""

    code = -18


class ExistsError(Error):
    """There is one of that name already."""

    code = -19


class MissingError(Error, KeyError):
    """The key isn't there."""

    code = -64


class LeaseError(Error):
    """The lease was ended before, or belongs to another process."""

    code = -65


class NumberError(Error, TypeError):
    """The value is no number, which is 8 bytes."""

    code = -66


class FormatError(Error):
    """What has the cache's name is no cache of this version."""

    code = -67


BY_CODE = {cls.code: cls for cls in (Error, *Error.__subclasses__())}
