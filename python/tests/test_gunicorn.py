"""Prefork as gunicorn does it, whose workers are killed."""
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import shmalloc
from common import Case, until

KILLS = int(os.environ.get("PYTHON_KILLS", "60")) // 3


class Connection(http.client.HTTPConnection):
    """To a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gunicorn(Case):
    def setUp(self):
        super().setUp()
        self.cache["wrong"] = b""
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.socket = self.folder.name + "/http"

    def serve(self, *arguments):
        """Start it, and wait until it answers."""
        log = open(self.folder.name + "/log", "wb")
        self.addCleanup(log.close)
        server = subprocess.Popen(
            [sys.executable, "-B", "-m", "gunicorn", "--workers", "3",
             "--bind", "unix:" + self.socket, *arguments, "gunicorn_app:app"],
            env={**os.environ, "TEST_CACHE": self.cache.name},
            stdout=log, stderr=log)
        self.addCleanup(self.stop, server)
        until(lambda: server.poll() is None and self.ask("/first"))

    def stop(self, server):
        server.terminate()
        self.assertEqual(server.wait(timeout=60), 0)

    def ask(self, path):
        """Who answered and what; None: he was killed."""
        connection = Connection(self.socket)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            pid, _, body = answer.read().partition(b" ")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return int(pid), body

    def right(self, path):
        """Ask until there is an answer; the worker's pid."""
        found = []
        until(lambda: found.append(self.ask(path)) or found[-1])
        self.assertEqual(found[-1][1], b"page " + path.encode() * 1000)
        return found[-1][0]

    def kill_workers(self):
        killed = set()
        for i in range(KILLS):
            pid = self.right(f"/{i % 10}")
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            self.right(f"/{(i + 1) % 10}")
        self.assertGreater(len(killed), KILLS // 2)
        self.assertEqual(self.cache["wrong"], b"")
        # Each page once, and again only if its loader was killed or it was
        # evicted; not once for each worker there has been.
        self.assertLess(self.cache.number("computed"), 11 + KILLS)

    def test_each_worker_opens_the_cache(self):
        self.serve()
        self.kill_workers()

    def test_the_master_opens_the_cache_and_preloads(self):
        self.serve("--preload")
        self.kill_workers()


if __name__ == "__main__":
    unittest.main()
