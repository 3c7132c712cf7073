"""Nothing is left: Python objects, shared memory, descriptors."""
import gc
import os
import pickle
import sys
import tracemalloc
import unittest

import shmalloc
from common import Case, Child, figures, until

ROUNDS = 300


def attempt(error, function, *args):
    try:
        function(*args)
    except error:
        return
    raise AssertionError("it didn't raise")


class Everything(Case):
    """All that the module can do, a good and a bad case of each."""

    def once(self):
        cache = self.cache
        key, value = b"key" * 10, bytearray(b"value" * 100)
        for k in key, "text" * 10, memoryview(key):
            cache.set(k, value, ttl=1000, flags=1)
            cache.get(k)
            cache.get(k, None)
        cache["a"] = value
        cache["a"]
        "a" in cache, "absent" in cache
        cache.get("absent", value)
        attempt(KeyError, cache.__getitem__, "absent")
        attempt(KeyError, cache.__delitem__, "absent")
        attempt(KeyError, cache.view, "absent")
        attempt(TypeError, cache.set, "a", "text")
        attempt(TypeError, cache.set, None, b"")
        attempt(TypeError, cache.get)
        attempt(ValueError, cache.set, "a", b"", -1)
        attempt(ValueError, cache.set, b"", value)
        attempt(OverflowError, cache.set, "a", bytes(9 << 20))
        attempt(TypeError, cache.get_many, ["a", None])
        attempt(TypeError, cache.get_many, None)
        attempt(TypeError, cache.take, None)
        attempt(shmalloc.NumberError, cache.incr, key)
        cache.add("b", value), cache.add("b", value)
        cache.replace("b", value), cache.replace("absent", value)
        cache.cas("b", value, cache.entry("b").version), cache.cas("b", b"", 1)
        cache.append("b", value), cache.append("absent", value)
        cache.incr("n", 2, initial=3), cache.number("n")
        cache.touch("b", 10), cache.touch("absent")
        cache.get_many(["a", "b", "absent"])
        list(cache), dict(cache.items()), list(cache.values()), len(cache)
        cache.stats()
        with cache.view("a") as memory:
            part = memory[1:2]
            view = memory.obj
            (view.key, view.version, view.flags, view.ttl, view.stale,
             view.thread, view.pinned)
            shmalloc.open_views()
        del part
        attempt(BufferError, memoryview, view)
        value_, lease = cache.take("absent")
        with lease:
            pass
        value_, lease = cache.take("absent")
        lease.fill(b"1"), lease.held
        attempt(shmalloc.LeaseError, lease.fill, b"1")
        cache.take("absent")
        cache.delete("absent")
        cache.take("absent")
        with shmalloc.Cache(cache.name, serializer=pickle) as other:
            other["p"] = [1, 2]
            other["p"], other.get("p"), other.entry("p")
            other.memoize()(lambda x: [x])(1)
            # As pickle does it, which looks names up by ever new strings, of
            # which the interpreter keeps some thousand.
            reopen, arguments = cache.__reduce__()
            reopen(*arguments).close()
            other.delete("p")
        attempt(ValueError, other.get, "a")
        attempt(shmalloc.NoSegmentError, shmalloc.attach, "nowhere")
        attempt(shmalloc.InvalidError, shmalloc.Cache, "")
        cache.clear()

    def rounds(self, n):
        for _ in range(n):
            self.once()
        gc.collect()

    def test_no_python_object_is_left(self):
        self.rounds(20)
        kept = [self.cache, self.cache.heap, shmalloc.View, shmalloc.Lease,
                shmalloc.MissingError, type(self.cache),
                type(self.cache).__mro__[1], pickle.dumps, pickle.loads]
        if sys.version_info < (3, 12):  # There they are immortal.
            kept += [None, True, False, "a"]
        counts = [sys.getrefcount(one) for one in kept]
        grown = []
        tracemalloc.start()
        try:
            self.rounds(20)
            for _ in range(6):
                before = tracemalloc.get_traced_memory()[0]
                self.rounds(ROUNDS // 6)
                grown.append(tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        # Python's own lists of free objects grow and shrink; what is left by
        # each round would show every time, and is larger than this.
        self.assertLess(min(grown), 16 * ROUNDS // 6)
        for one, count in zip(kept, counts):
            self.assertLess(abs(sys.getrefcount(one) - count), ROUNDS // 2,
                            one)

    def test_no_shared_memory_is_left(self):
        def objects():
            self.cache.sweep()
            found = figures()
            return (found["objects"],
                    found["bytes"]["in_use_chunks"])

        self.rounds(20)
        # What waits for readers is looked after 32 objects at a time.
        before = objects()
        self.rounds(ROUNDS)
        after = objects()
        self.assertLess(after[0] - before[0], ROUNDS // 2)
        self.assertLess(after[1] - before[1], 16 * ROUNDS)

    def test_no_descriptor_is_left(self):
        def descriptors():
            gc.collect()
            return sorted(os.listdir("/proc/self/fd"))

        before = descriptors()
        for _ in range(20):
            heap = shmalloc.attach(label="again")
            with shmalloc.Cache(self.cache.name, heap=heap) as cache:
                cache["a"] = b"1"
                self.assertEqual(Child(cache.get, "a").wait(), 0)
            del heap, cache
        attempt(shmalloc.NoSegmentError, shmalloc.attach, "nowhere")
        self.assertEqual(descriptors(), before)

    def test_a_dead_childs_memory_comes_back(self):
        def child():
            cache = shmalloc.Cache(self.cache.name, heap=shmalloc.attach())
            for i in range(100):
                cache[f"k{i}"] = bytes(10000)
            cache.clear()
            os.kill(os.getpid(), 9)

        before = figures()["bytes"]["in_use_chunks"]
        for _ in range(5):
            self.assertEqual(Child(child).wait(), -9)
        until(lambda: figures()["bytes"]["in_use_chunks"] - before < 100000)


if __name__ == "__main__":
    unittest.main()
