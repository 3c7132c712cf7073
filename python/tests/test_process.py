"""Many processes, which are killed at whatever they are doing."""
import multiprocessing
import os
import random
import signal
import threading
import unittest
import warnings

import shmalloc
from common import Case, Child, is_pattern, pattern, until

KILLS = int(os.environ.get("PYTHON_KILLS", "60"))
SEED = int(os.environ.get("PYTHON_SEED", os.getpid()))


def verify(cache, seed, rounds):
    """Store and look up at random; every byte must be right."""
    rng = random.Random(seed)
    while rounds is None or rounds > 0:
        key = b"k%d" % rng.randrange(200)
        what = rng.randrange(10)
        if what < 3:
            cache.set(key, pattern(key, rng.randrange(10000)),
                      ttl=rng.choice((None, 0.05, 1000)))
        elif what == 3:
            cache.delete(key)
        elif what == 4:
            entry = cache.entry(key)
            if entry:
                cache.cas(key, pattern(key, 1), entry.version)
        elif what == 5:
            try:
                with cache.view(key) as memory:
                    cache.set(key, pattern(key, 2))
                    if not is_pattern(key, bytes(memory)):
                        raise AssertionError(f"view of {key}: {bytes(memory)}")
            except shmalloc.MissingError:
                pass
        elif what == 6:
            cache.incr("sum")
        else:
            value = cache.get(key)
            if value is not None and not is_pattern(key, value):
                raise AssertionError(f"{key}: {value}")
        if rounds is not None:
            rounds -= 1
        elif os.getppid() == 1:
            return


def worker_verify(cache, seed, rounds):
    """In a process of multiprocessing's: the cache came pickled, or by fork."""
    verify(cache, seed, rounds)
    cache.incr("done")


class Multiprocessing(Case):
    def run_workers(self, method):
        context = multiprocessing.get_context(method)
        self.cache["from"] = b"parent"
        workers = [context.Process(target=worker_verify,
                                   args=(self.cache, seed, 2000))
                   for seed in range(4)]
        for worker in workers:
            worker.start()
        verify(self.cache, 99, 2000)
        for worker in workers:
            worker.join()
        self.assertEqual([worker.exitcode for worker in workers], [0] * 4)
        self.assertEqual(self.cache.number("done"), 4)
        self.assertEqual(self.cache["from"], b"parent")

    def test_fork(self):
        self.run_workers("fork")

    def test_spawn(self):
        self.run_workers("spawn")

    def test_forkserver(self):
        self.run_workers("forkserver")

    def test_a_pool(self):
        with multiprocessing.get_context("fork").Pool(4) as pool:
            found = pool.starmap(shmalloc.Cache.incr,
                                 [(self.cache, "n")] * 100)
        self.assertEqual(sorted(found), list(range(1, 101)))


class Prefork(Case):
    def test_workers_are_killed_while_others_compare_every_byte(self):
        print("PYTHON_SEED is", SEED)
        rng = random.Random(SEED)
        workers = [Child(verify, self.cache, seed, None) for seed in range(4)]
        for i in range(KILLS):
            # Work of the parent's, not time, sets the kills apart.
            verify(self.cache, i, rng.randrange(400))
            n = rng.randrange(len(workers))
            workers[n].kill()
            self.assertEqual(workers[n].wait(), -signal.SIGKILL)
            workers[n] = Child(verify, self.cache, 100 + i, None)
        for worker in workers:
            worker.kill()
            self.assertEqual(worker.wait(), -signal.SIGKILL)
        verify(self.cache, 1, 2000)
        self.assertGreater(self.cache.number("sum"), 0)

    def test_a_child_forked_beside_busy_threads(self):
        stop = threading.Event()

        def busy(seed):
            while not stop.is_set():
                verify(self.cache, seed, 100)

        threads = [threading.Thread(target=busy, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        try:
            for i in range(20):
                with warnings.catch_warnings():
                    # Views of the busy threads.
                    warnings.simplefilter("ignore")
                    child = Child(verify, self.cache, i, 300)
                self.assertEqual(child.wait(), 0)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_one_of_many_gets_what_pop_removes(self):
        def work():
            while (n := self.cache.number("turn")) < 300:
                if self.cache.pop("prize", None) == b"x" * 100:
                    self.cache.incr("won")
                    self.cache.incr("turn")
                    self.cache["prize"] = b"x" * 100

        self.cache.incr("won", initial=0)
        self.cache.incr("turn", initial=0)
        self.cache["prize"] = b"x" * 100
        children = [Child(work) for _ in range(4)]
        self.assertEqual([child.wait() for child in children], [0] * 4)
        # Each prize was put there when the one before had been won.
        self.assertEqual(self.cache.number("won"), self.cache.number("turn"))
        self.assertLessEqual(self.cache.number("won"), 303)
        self.assertEqual(self.cache["prize"], b"x" * 100)

    def test_grandchildren(self):
        def child():
            verify(self.cache, 1, 100)
            assert Child(verify, self.cache, 2, 100).wait() == 0
            verify(self.cache, 3, 100)

        self.assertEqual(Child(child).wait(), 0)


class Pipe:
    """Bytes from children to the test."""

    def __init__(self):
        self.out, self.in_ = os.pipe()

    def tell(self, byte):
        os.write(self.in_, byte)

    def next(self):
        return os.read(self.out, 1)

    def rest(self):
        os.close(self.in_)
        said = b""
        while True:
            more = os.read(self.out, 100)
            if not more:
                os.close(self.out)
                return said
            said += more


class Memoize(Case):
    options = {"limit": 8 << 20, "stale": 1000}

    def setUp(self):
        super().setUp()
        self.pipe = Pipe()

    def waits(self, n):
        return lambda: self.cache.stats()["waits"] >= n

    def test_a_result_is_kept_by_its_arguments(self):
        calls = []

        @self.cache.memoize(ttl=1000)
        def double(*args, **named):
            """Twice."""
            calls.append((args, named))
            return repr((args, named)).encode()

        for args, named in (((1,), {}), ((1.0,), {}), ((True,), {}),
                            (("1",), {}), ((b"1",), {}), (((1, 2),), {}),
                            ((1, 2), {}), ((), {"x": 1}), ((None,), {}),
                            ((1,), {"x": 1}), (((1,), (("x", 1),)), {})):
            for _ in range(3):
                self.assertEqual(double(*args, **named),
                                 repr((args, named)).encode())
        self.assertEqual(len(calls), 11)
        self.assertIn(double.key(1), self.cache)
        self.assertTrue(double.forget(1))
        self.assertFalse(double.forget(1))
        double(1)
        self.assertEqual(len(calls), 12)
        self.assertEqual(double.__doc__, "Twice.")
        with self.assertRaisesRegex(TypeError, "needs key="):
            double([1])
        long = "x" * 100000
        self.assertEqual(double(long), double(long))
        self.assertEqual(len(calls), 13)
        self.pipe.rest()

    def test_a_key_and_a_prefix_of_ones_own(self):
        @self.cache.memoize(key=lambda things: ",".join(things), prefix="p")
        def first(things):
            return things[0].encode()

        self.assertEqual(first(["a", "b"]), b"a")
        self.assertEqual(self.cache["p:a,b"], b"a")
        for bad in (5, [5], None):
            with self.assertRaises(TypeError):
                self.cache.memoize(key=lambda: bad)(lambda: b"")()
        self.pipe.rest()

    def test_what_the_function_raises_is_raised_and_not_kept(self):
        calls = []

        @self.cache.memoize()
        def fail():
            calls.append(1)
            if len(calls) < 3:
                raise LookupError("not yet")
            return b"now"

        for _ in range(2):
            with self.assertRaisesRegex(LookupError, "not yet"):
                fail()
        self.assertEqual(fail(), b"now")

        @self.cache.memoize()
        def wrong():
            return "no bytes"

        for _ in range(2):
            with self.assertRaises(TypeError):
                wrong()
        self.pipe.rest()

    def test_coroutines_and_recursion_are_refused(self):
        @self.cache.memoize()
        def forever(n):
            return forever(n)

        with self.assertRaisesRegex(RecursionError, "same result"):
            forever(1)

        @self.cache.memoize()
        def fibonacci(n):
            return b"%d" % (n if n < 2 else int(fibonacci(n - 1))
                            + int(fibonacci(n - 2)))

        self.assertEqual(fibonacci(30), b"832040")
        with self.assertRaises(TypeError):
            @self.cache.memoize()
            async def coroutine():
                return b""
        self.pipe.rest()

    def test_what_is_too_large_is_returned_all_the_same(self):
        calls = []

        @self.cache.memoize()
        def large():
            calls.append(1)
            return bytes(9 << 20)

        self.assertEqual(len(large()), 9 << 20)
        self.assertEqual(len(large()), 9 << 20)
        self.assertEqual(len(calls), 2)
        self.pipe.rest()

    def test_without_the_cache_it_works(self):
        calls = []

        def function():
            calls.append(1)
            return b"result"

        with shmalloc.Cache(self.cache.name, read_only=True) as reader:
            self.assertEqual(reader.memoize()(function)(), b"result")
            self.assertEqual(self.cache.memoize()(function)(), b"result")
            self.assertEqual(len(calls), 2)
            self.assertEqual(reader.memoize()(function)(), b"result")
            self.assertEqual(len(calls), 2)
        with shmalloc.Cache(self.cache.name) as gone:
            self.cache.destroy()
            with self.assertWarns(RuntimeWarning):
                self.assertEqual(gone.memoize()(function)(), b"result")
        self.assertEqual(len(calls), 3)
        self.pipe.rest()

    def test_without_the_cache_halfway_it_works(self):
        def destroy(error):
            self.cache.destroy()
            if error:
                raise error
            return b"result"

        for error in None, LookupError("mine"):
            self.cache = shmalloc.Cache(self.cache.name)
            with shmalloc.Cache(self.cache.name) as gone:
                function = gone.memoize(key=lambda _: "key")(destroy)
                if error:
                    with self.assertRaisesRegex(LookupError, "mine"):
                        function(error)
                else:
                    self.assertEqual(function(error), b"result")
        self.pipe.rest()

    def test_of_many_processes_one_computes(self):
        @self.cache.memoize(ttl=1000)
        def compute():
            self.pipe.tell(b"c")
            until(self.waits(5))
            return b"result"

        def child():
            assert compute() == b"result"

        children = [Child(child) for _ in range(6)]
        self.assertEqual([child.wait() for child in children], [0] * 6)
        self.assertEqual(self.pipe.rest(), b"c")

    def test_of_many_threads_one_computes(self):
        @self.cache.memoize(ttl=1000)
        def compute():
            self.pipe.tell(b"c")
            until(self.waits(5))
            return b"result"

        found = []
        threads = [threading.Thread(target=lambda: found.append(compute()))
                   for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [b"result"] * 6)
        self.assertEqual(self.pipe.rest(), b"c")

    def test_the_one_that_computes_is_killed_and_another_does_it(self):
        loader = []

        # The lease would last longer than this test may.
        @self.cache.memoize(lease=3600)
        def compute():
            self.pipe.tell(b"c")
            if os.getpid() == loader[0]:
                signal.pause()
            return b"by another"

        def load():
            loader.append(os.getpid())
            compute()

        first = Child(load)
        self.assertEqual(self.pipe.next(), b"c")
        loader.append(first.pid)

        def child():
            assert compute() == b"by another"

        others = [Child(child) for _ in range(3)]
        until(self.waits(3))
        first.kill()
        self.assertEqual(first.wait(), -signal.SIGKILL)
        self.assertEqual([other.wait() for other in others], [0] * 3)
        self.assertEqual(self.pipe.rest(), b"c")
        self.assertEqual(self.cache.stats()["leases_broken"], 1)

    def test_a_stale_result_is_served_while_one_renews_it(self):
        @self.cache.memoize(ttl=0.05)
        def compute():
            self.pipe.tell(b"c")
            return b"0"

        self.assertEqual(compute(), b"0")
        until(lambda: compute.key() not in self.cache)
        value, lease = self.cache.take(compute.key())
        self.assertIsNone(value)
        with lease:
            self.assertEqual(compute(), b"0")
            self.assertTrue(lease.fill(b"1", ttl=1000))
        self.assertEqual(compute(), b"1")
        self.assertEqual(self.pipe.rest(), b"c")

    def test_who_waits_too_long_computes_it_himself(self):
        @self.cache.memoize(wait=0.05)
        def compute():
            return b"own"

        value, lease = self.cache.take(compute.key())
        with lease:
            self.assertEqual(compute(), b"own")
            with self.assertRaises(TimeoutError):
                self.cache.take(compute.key(), wait=0.01)
        self.assertNotIn(compute.key(), self.cache)
        self.pipe.rest()

    def test_a_forgotten_lease_is_given_back(self):
        lease = self.cache.take("a")[1]
        self.assertTrue(lease.held)
        del lease
        lease = self.cache.take("a")[1]
        # Not by a child, to which it doesn't belong.
        self.assertEqual(Child(lease.waive).wait(), 0)
        self.assertTrue(lease.fill(b"1"))
        self.assertEqual(self.cache["a"], b"1")
        with self.assertRaises(shmalloc.LeaseError):
            lease.fill(b"2")
        self.cache.delete("a")
        lease = self.cache.take("a")[1]
        self.cache["a"] = b"by another"
        self.assertFalse(lease.fill(b"3"))
        self.assertEqual(self.cache["a"], b"by another")
        self.pipe.rest()

    def test_an_interrupt_ends_a_wait(self):
        with self.cache.take("a")[1]:
            child = Child(self.cache.take, "a")
            until(self.waits(1))
            child.kill(signal.SIGINT)
            self.assertEqual(child.wait(), 130)
        self.pipe.rest()


if __name__ == "__main__":
    unittest.main()
