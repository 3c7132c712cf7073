"""What the tests share.  They want a daemon at $SHMALLOC_SOCKET."""
import json
import os
import signal
import subprocess
import time
import unittest
import zlib

import shmalloc

LIMIT = 8 << 20


def figures():
    """The exact statistics of the segment."""
    return json.loads(subprocess.check_output(
        ["shmallocctl", "--json", "stats", "--exact"]))


def client(pid):
    """What the daemon knows of process PID."""
    return json.loads(subprocess.check_output(
        ["shmallocctl", "--json", "clients", str(pid)]))[0]


def until(condition):
    """Wait until it holds; fails after 20 seconds."""
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it never came true")
        time.sleep(0.01)


def pattern(key, n):
    """Bytes which say themselves whether they are KEY's, whole."""
    head = b"%s %d " % (key, n)
    body = head * (n % 97 + 1)
    return body + b"%08x" % zlib.crc32(body)


def is_pattern(key, value):
    body, check = value[:-8], value[-8:]
    return (body.startswith(key + b" ")
            and check == b"%08x" % zlib.crc32(body))


class Child:
    """A forked process that runs FUNCTION; what it raises is its status."""

    def __init__(self, function, *args):
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                function(*args)
                status = 0
            except KeyboardInterrupt:
                status = 130
            except BaseException:  # pylint: disable=broad-except
                import traceback
                traceback.print_exc()
            finally:
                os._exit(status)

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def wait(self):
        """Its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Case(unittest.TestCase):
    """A test with an empty cache, which is removed after it."""

    options = {"limit": LIMIT}

    def setUp(self):
        self.cache = shmalloc.Cache(self.id()[-63:], **self.options)
        self.addCleanup(self.end)

    def end(self):
        self.assertEqual(shmalloc.open_views(), [])
        if not self.cache.closed:
            self.cache.destroy()
