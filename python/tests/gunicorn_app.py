"""What test_gunicorn.py serves: each worker also works in a thread of its own,
so that whenever it is killed it is in the middle of something."""
import os
import threading

import shmalloc
from test_process import verify

NAME = os.environ["TEST_CACHE"]
cache = shmalloc.Cache(NAME)
busy = None


@cache.memoize(key=lambda path: path)
def page(path):
    cache.incr("computed")
    return b"page " + path.encode() * 1000


def work():
    seed = os.getpid()
    while True:
        try:
            verify(cache, seed, 1000)
        except AssertionError as error:
            cache.append("wrong", str(error).encode())


def app(environ, start_response):
    global busy
    if busy != os.getpid():
        busy = os.getpid()
        threading.Thread(target=work, daemon=True).start()
    body = b"%d " % os.getpid() + page(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
