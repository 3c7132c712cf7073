"""Views: values in place, and what their pins cost."""
import gc
import os
import threading
import unittest
import warnings

import shmalloc
from common import Case, Child, client, until


def churn(cache, n=300):
    """Use the memory again of what was freed, in a process of its own."""
    def store():
        for i in range(n):
            cache[f"churn{i % 50}"] = b"x" * 50000
    return Child(store).wait()


class View(Case):
    def test_it_is_a_read_only_memoryview_of_the_value_itself(self):
        self.cache.set("a", b"0123456789", ttl=1000, flags=3)
        with self.cache.view("a") as memory:
            self.assertIsInstance(memory, memoryview)
            self.assertTrue(memory.readonly)
            self.assertEqual(memory, b"0123456789")
            self.assertEqual(memory[2:4], b"23")
            with self.assertRaises(TypeError):
                memory[0] = 0
            view = memory.obj
            self.assertEqual((view.key, view.flags, view.stale, view.pinned),
                             ("a", 3, False, True))
            self.assertEqual(view.version, self.cache.entry("a").version)
            self.assertTrue(999 < view.ttl <= 1001)
            self.assertEqual(view.thread, threading.get_ident())
            self.assertEqual(shmalloc.open_views(), [view])
            # No copy: two views are of one place.
            with self.cache.view("a") as other:
                self.assertEqual(address(other), address(memory))
        self.assertFalse(view.pinned)
        with self.assertRaises(BufferError):
            memoryview(view)
        with self.assertRaises(shmalloc.MissingError):
            self.cache.view("b")

    def test_a_part_of_it_keeps_it(self):
        self.cache["a"] = b"0123456789"
        memory = self.cache.view("a")
        part = memory[2:5]
        view = memory.obj
        memory.release()
        self.assertTrue(view.pinned)
        self.assertEqual(part, b"234")
        part.release()
        self.assertFalse(view.pinned)

    def test_an_empty_value(self):
        self.cache["a"] = b""
        with self.cache.view("a") as memory:
            self.assertEqual(len(memory), 0)

    def test_it_stays_while_its_key_is_replaced_deleted_and_all_is_cleared(
            self):
        value = os.urandom(50000)
        for change in (lambda: self.cache.set("a", b"2" * 50000),
                       lambda: self.cache.delete("a"), self.cache.clear):
            self.cache["a"] = value
            memory = self.cache.view("a")
            self.assertEqual(Child(change).wait(), 0)
            warnings.simplefilter("ignore", RuntimeWarning)
            self.assertEqual(churn(self.cache), 0)
            self.assertNotEqual(self.cache.get("a"), value)
            self.assertEqual(memory, value)
            memory.release()

    def test_it_outlives_close(self):
        self.cache["a"] = b"1"
        with shmalloc.Cache(self.cache.name) as cache:
            memory = cache.view("a")
        self.assertEqual(memory, b"1")
        del cache
        gc.collect()
        self.assertEqual(memory, b"1")
        memory.release()

    def test_forgotten_ones_are_seen_and_bounded(self):
        self.cache["a"] = b"1"
        with shmalloc.Cache(self.cache.name, max_views=5) as cache:
            memories = [cache.view("a") for _ in range(5)]
            self.assertEqual(len(shmalloc.open_views()), 5)
            with self.assertRaisesRegex(BufferError, "5 views.*open"):
                cache.view("a")
            memories.pop().release()
            memories.append(cache.view("a"))
            del memories
        self.assertEqual(shmalloc.open_views(), [])

    def test_what_is_held_back_comes_back_with_its_release(self):
        def pending():
            return client(os.getpid())["retired_bytes"]

        self.cache["a"] = b"1"
        memory = self.cache.view("a")
        for i in range(100):
            self.cache["b"] = bytes(10000)
        self.assertGreater(pending(), 50 * 10000)
        memory.release()
        # A thread looks after what it retired in later calls.
        for i in range(100):
            self.cache["b"] = bytes(10000)
        self.assertLess(pending(), 50 * 10000)


def address(memory):
    """Where it is, from ctypes, which wants a writable buffer otherwise."""
    import ctypes

    class Buffer(ctypes.Structure):
        _fields_ = [("buf", ctypes.c_void_p), ("rest", ctypes.c_byte * 128)]

    buffer = Buffer()
    api = ctypes.pythonapi
    api.PyObject_GetBuffer.argtypes = (ctypes.py_object, ctypes.c_void_p,
                                       ctypes.c_int)
    api.PyObject_GetBuffer(memory, ctypes.addressof(buffer), 0)
    place = buffer.buf
    api.PyBuffer_Release.argtypes = (ctypes.c_void_p,)
    api.PyBuffer_Release(ctypes.addressof(buffer))
    return place


class Threads(Case):
    def test_another_thread_may_release_it(self):
        self.cache["a"] = b"1"
        memory = self.cache.view("a")
        view = memory.obj
        thread = threading.Thread(target=memory.release)
        thread.start()
        thread.join()
        self.assertFalse(view.pinned)
        self.assertEqual(shmalloc.open_views(), [])
        # Owed until this thread's next call; then nobody is inside.
        self.cache.get("a")
        self.assertEqual(client(os.getpid())["reader_lag"], 0)

    def test_it_is_worth_nothing_when_its_thread_has_ended(self):
        self.cache["a"] = b"1"
        memories = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            thread = threading.Thread(
                target=lambda: memories.append(self.cache.view("a")))
            thread.start()
            thread.join()
            until(lambda: caught)
        self.assertEqual(caught[0].category, ResourceWarning)
        self.assertRegex(str(caught[0].message), "with 1 views")
        self.assertFalse(memories[0].obj.pinned)
        self.assertEqual(shmalloc.open_views(), [])
        with self.assertRaises(BufferError):
            memoryview(memories[0].obj)
        memories[0].release()

    def test_many_threads_take_and_release_each_others(self):
        self.cache["a"] = b"1" * 1000
        shelf = []
        wrong = []

        def work():
            try:
                for _ in range(500):
                    shelf.append(self.cache.view("a"))
                    memory = shelf.pop(0)
                    if memory != b"1" * 1000:
                        wrong.append(bytes(memory))
                    memory.release()
                done.wait()
                self.cache.get("a")
            except BaseException as error:  # pylint: disable=broad-except
                wrong.append(error)
                done.abort()

        n = 6
        done = threading.Barrier(n)
        threads = [threading.Thread(target=work) for _ in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(shmalloc.open_views(), [])


class Forks(Case):
    def test_a_fork_with_open_views_warns(self):
        self.cache["a"] = b"1"
        with self.cache.view("a"), self.assertWarnsRegex(
                RuntimeWarning, "1 views"):
            self.assertEqual(Child(lambda: None).wait(), 0)

    def test_a_parents_view_is_none_of_the_childs(self):
        self.cache["a"] = b"1"
        memory = self.cache.view("a")

        def child():
            assert not memory.obj.pinned
            assert shmalloc.open_views() == []
            try:
                memoryview(memory.obj)
            except BufferError:
                pass
            else:
                raise AssertionError("a view of the parent's was pinned")
            memory.release()
            # The child's own ones are as always.
            with self.cache.view("a") as own:
                assert own == b"1"
                assert len(shmalloc.open_views()) == 1
            assert self.cache.get("a") == b"1"

        warnings.simplefilter("ignore", RuntimeWarning)
        self.assertEqual(Child(child).wait(), 0)
        self.assertTrue(memory.obj.pinned)
        memory.release()

    def test_a_child_of_a_thread_with_views_elsewhere(self):
        self.cache["a"] = b"1"
        taken, go_on = threading.Event(), threading.Event()

        def hold():
            with self.cache.view("a"):
                taken.set()
                go_on.wait()

        def child():
            assert shmalloc.open_views() == []
            with self.cache.view("a") as own:
                assert own == b"1"

        warnings.simplefilter("ignore", RuntimeWarning)
        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        self.assertEqual(Child(child).wait(), 0)
        self.assertEqual(len(shmalloc.open_views()), 1)
        go_on.set()
        thread.join()


if __name__ == "__main__":
    unittest.main()
