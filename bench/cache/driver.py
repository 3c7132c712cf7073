#!/usr/bin/env python3
"""Measure a cache that Python programs share, for bench/cache/python.c.

	driver.py KIND REQUESTS KEYS VALUE_LEN WORKERS SECONDS FOLDER

KIND is shmalloc (by ctypes: libshmalloc-cache of $SHMALLOC_CACHE_LIBRARY, in the
segment of $SHMALLOC_SOCKET), diskcache or manager (a dict of
multiprocessing.Manager).  REQUESTS is a file of native 32-bit words: numbers of
keys, with the highest bit for a set.  Workers are processes; figures are printed
as "NAME VALUE", times in nanoseconds.
"""
import array
import ctypes
import multiprocessing
import os
import sys
import time

SET = 1 << 31


def key_of(number):
    return b"%016x" % (((number + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1))


class Bytes(ctypes.Structure):
    """struct shmalloc_bytes"""

    _fields_ = [("data", ctypes.c_char_p), ("len", ctypes.c_size_t)]


class View(ctypes.Structure):
    """struct shmalloc_cache_view"""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("version", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("is_stale", ctypes.c_uint32),
        ("ttl_ms", ctypes.c_int64),
    ]


class Shmalloc:
    def __init__(self):
        self.library = ctypes.CDLL(os.environ["SHMALLOC_CACHE_LIBRARY"])
        self.buffer = ctypes.create_string_buffer(1 << 20)
        self.view = View()
        self.cache = None

    def attach(self):
        heap = ctypes.c_void_p()
        cache = ctypes.c_void_p()
        self.check(
            self.library.shmalloc_attach(None, None, ctypes.byref(heap)))
        self.check(
            self.library.shmalloc_cache_open(
                heap, b"bench", None, ctypes.byref(cache)))
        self.cache = cache

    @staticmethod
    def check(error):
        if error != 0:
            sys.exit(f"shmalloc: error {error}")

    def get(self, key):
        error = self.library.shmalloc_cache_get(
            self.cache, Bytes(key, len(key)), self.buffer,
            ctypes.c_size_t(len(self.buffer)), ctypes.byref(self.view))
        if error == -64:
            return None
        self.check(error)
        return ctypes.string_at(self.buffer, self.view.len)

    def set(self, key, value):
        self.check(
            self.library.shmalloc_cache_set(
                self.cache, Bytes(key, len(key)), Bytes(value, len(value)),
                None))

    def fill(self, pairs):
        for key, value in pairs:
            self.set(key, value)


class Diskcache:
    def __init__(self, folder):
        import diskcache

        self.make = lambda: diskcache.Cache(
            os.path.join(folder, "diskcache"), eviction_policy="none")
        self.cache = None

    def attach(self):
        self.cache = self.make()

    def get(self, key):
        return self.cache.get(key)

    def set(self, key, value):
        self.cache.set(key, value)

    def fill(self, pairs):
        with self.cache.transact():
            for key, value in pairs:
                self.cache.set(key, value)


class Manager:
    def __init__(self):
        self.manager = multiprocessing.Manager()
        self.dict = self.manager.dict()

    def attach(self):
        pass

    def get(self, key):
        return self.dict.get(key)

    def set(self, key, value):
        self.dict[key] = value

    def fill(self, pairs):
        self.dict.update(pairs)


def value_of(key, value_len):
    return key + bytes(value_len - len(key))


def spend(cache, requests, at, value_len, seconds, tails):
    """Replay for so long: where it ends, how many calls, how many seconds."""
    start = now = time.perf_counter_ns()
    end = start + int(seconds * 1e9)
    calls = 0
    while now < end:
        request = requests[at]
        at = at + 1 if at + 1 < len(requests) else 0
        key = key_of(request & ~SET)
        before = time.perf_counter_ns()
        if request & SET:
            cache.set(key, value_of(key, value_len))
        else:
            value = cache.get(key)
            if value is None or value[:16] != key:
                sys.exit("wrong content")
        now = time.perf_counter_ns()
        tails.append(now - before)
        calls += 1
    return at, calls, (now - start) / 1e9


def worker(number, cache, requests, options, barrier, results):
    workers, value_len, seconds = options
    os.sched_setaffinity(0, {number % os.cpu_count()})
    cache.attach()
    at = len(requests) * number // workers
    barrier.wait(60)
    at, _, _ = spend(cache, requests, at, value_len, seconds / 2, [])
    barrier.wait(60)
    tails = []
    _, calls, spent = spend(cache, requests, at, value_len, seconds, tails)
    results.put((calls / spent, tails))


def main():
    kind, path, keys, value_len, workers, seconds, folder = sys.argv[1:]
    keys, value_len, workers = int(keys), int(value_len), int(workers)
    requests = array.array("I")
    with open(path, "rb") as file:
        requests.frombytes(file.read())
    multiprocessing.set_start_method("fork")
    cache = {
        "shmalloc": Shmalloc,
        "diskcache": lambda: Diskcache(folder),
        "manager": Manager,
    }[kind]()
    barrier = multiprocessing.Barrier(workers)
    results = multiprocessing.SimpleQueue()

    def fill():
        cache.attach()
        names = (key_of(i) for i in range(keys))
        cache.fill([(name, value_of(name, value_len)) for name in names])

    # Not in this process: what it has open its children could not use.
    first = multiprocessing.Process(target=fill)
    first.start()
    first.join()
    if first.exitcode != 0:
        sys.exit("the fill failed")
    children = [
        multiprocessing.Process(
            target=worker,
            args=(i, cache, requests, (workers, value_len, float(seconds)),
                  barrier, results))
        for i in range(workers)
    ]
    for child in children:
        child.start()
    rates, tails = zip(*(results.get() for _ in children))
    for child in children:
        child.join()
    times = sorted(sum(tails, []))
    print("calls_per_second", sum(rates))
    print("hit_ratio", 1.0)
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        print(name, times[int(len(times) * share)])


main()
