"""The promises of the package, in one process."""
import array
import json
import marshal
import os
import pickle
import re
import subprocess
import threading
import time
import unittest
from importlib import metadata

import shmalloc
from common import Case, LIMIT
from shmalloc import _error


def pkg_config(*words):
    return subprocess.check_output(["pkg-config", *words], text=True).strip()


class Words(unittest.TestCase):
    def test_each_error_of_the_headers_has_a_class_of_its_own(self):
        include = pkg_config("--variable=includedir", "shmalloc-cache")
        codes = {0}
        for name in "shmalloc.h", "cache.h":
            with open(f"{include}/shmalloc/{name}", encoding="utf-8") as file:
                codes |= {int(code) for code in re.findall(
                    r"^\tSHMALLOC_(?:CACHE_)?E[A-Z]+ = (-\d+),", file.read(),
                    re.M)}
        self.assertGreater(len(codes), 20)
        self.assertEqual(set(_error.BY_CODE), codes)
        for code, cls in _error.BY_CODE.items():
            self.assertEqual(cls.code, code)
            self.assertTrue(issubclass(cls, shmalloc.Error))
            self.assertIs(getattr(shmalloc, cls.__name__), cls)
            self.assertTrue(cls.__doc__)

    def test_the_version_is_the_librarys(self):
        self.assertEqual(metadata.version("shmalloc"),
                         pkg_config("--modversion", "shmalloc-cache"))

    def test_what_is_public_has_a_docstring(self):
        for name in shmalloc.__all__:
            self.assertTrue(getattr(shmalloc, name).__doc__, name)
        for name in dir(shmalloc.Cache):
            if not name.startswith("_"):
                self.assertTrue(getattr(shmalloc.Cache, name).__doc__, name)


class Mapping(Case):
    def test_it_is_a_mutable_mapping(self):
        cache = self.cache
        cache["a"] = b"1"
        self.assertEqual(cache["a"], b"1")
        self.assertIn("a", cache)
        self.assertNotIn("b", cache)
        cache.update({"b": b"2", b"c": b"3"})
        self.assertEqual(sorted(cache), [b"a", b"b", b"c"])
        self.assertEqual(dict(cache.items()),
                         {b"a": b"1", b"b": b"2", b"c": b"3"})
        self.assertEqual(sorted(cache.values()), [b"1", b"2", b"3"])
        self.assertIn(b"3", cache.values())
        self.assertIn(("a", b"1"), cache.items())
        self.assertEqual(cache.pop("b"), b"2")
        self.assertEqual(cache.pop("b", None), None)
        with self.assertRaises(KeyError):
            cache.pop("b")
        with self.assertRaises(TypeError):
            cache.pop("b", 1, 2)
        self.assertEqual(cache.setdefault("b", b"4"), b"4")
        self.assertEqual(cache.setdefault("b", b"5"), b"4")
        del cache["a"]
        with self.assertRaises(KeyError) as caught:
            cache["a"]
        self.assertIsInstance(caught.exception, shmalloc.MissingError)
        self.assertEqual(caught.exception.args, ("a",))
        with self.assertRaises(KeyError):
            del cache["a"]
        cache.sweep()
        self.assertEqual(len(cache), 2)
        cache.clear()
        self.assertEqual(list(cache), [])

    def test_popitem_takes_all_there_is(self):
        self.cache.update({"a": b"1", "b": b"2"})
        self.assertEqual(sorted(self.cache.popitem() for _ in range(2)),
                         [(b"a", b"1"), (b"b", b"2")])
        with self.assertRaises(KeyError):
            self.cache.popitem()

    def test_a_str_is_its_utf_8(self):
        self.cache["schlüssel"] = b"1"
        self.assertEqual(self.cache["schlüssel".encode()], b"1")
        self.assertEqual(self.cache[memoryview("schlüssel".encode())], b"1")
        self.assertEqual(self.cache[bytearray("schlüssel".encode())], b"1")
        with self.assertRaises(UnicodeEncodeError):
            self.cache.get("\ud800")

    def test_values_are_bytes_like(self):
        for value in (b"", bytearray(b"12"), memoryview(b"123456")[1:4],
                      array.array("i", range(9)), bytes(1 << 20)):
            self.cache["a"] = value
            self.assertEqual(self.cache["a"], bytes(value))
        for value in "text", 1, None, memoryview(b"123456")[::2]:
            with self.assertRaises((TypeError, BufferError)):
                self.cache["a"] = value
        self.assertEqual(self.cache["a"], bytes(1 << 20))

    def test_what_makes_no_sense_is_refused(self):
        cache = self.cache
        for key in "", b"", bytes(65537):
            with self.assertRaisesRegex(ValueError, "1 to 65536 bytes"):
                cache.set(key, b"")
        cache.set(bytes(65536), b"")
        for key in 1, None, ("a",):
            with self.assertRaises(TypeError):
                cache.get(key)
        for ttl in 0, -1, float("nan"), 1 << 33:
            with self.assertRaises(ValueError):
                cache.set("a", b"", ttl)
        with self.assertRaises(TypeError):
            cache.set("a", b"", "1")
        with self.assertRaises(TypeError):
            cache.get()
        with self.assertRaises(shmalloc.RangeError):
            cache.set("a", bytes(LIMIT + 1))
        with self.assertRaises(shmalloc.InvalidError):
            shmalloc.Cache("n" * 64)
        with self.assertRaises(shmalloc.NoSegmentError):
            shmalloc.Cache("a", segment="nowhere")

    def test_a_closed_cache_says_so_and_a_destroyed_one_is_gone(self):
        other = shmalloc.Cache(self.cache.name)
        other["a"] = b"1"
        other.close()
        other.close()
        self.assertTrue(other.closed)
        with self.assertRaisesRegex(ValueError, "closed"):
            other.get("a")
        with shmalloc.Cache(self.cache.name) as third:
            self.assertEqual(third["a"], b"1")
            self.cache.destroy()
            with self.assertRaises(shmalloc.GoneError):
                third.get("a")
        self.cache = shmalloc.Cache(self.cache.name)
        self.assertEqual(list(self.cache), [])

    def test_caches_are_equal_by_identity(self):
        with shmalloc.Cache(self.cache.name) as other:
            self.assertNotEqual(self.cache, other)
            self.assertEqual(len({self.cache, other}), 2)
            self.assertIs(other.heap, self.cache.heap)

    def test_pickled_it_is_opened_anew(self):
        for serializer in None, json, pickle:
            cache = shmalloc.Cache(self.cache.name, serializer=serializer)
            with cache, pickle.loads(pickle.dumps(cache)) as other:
                self.assertEqual(other.name, cache.name)
                self.assertIs(other.serializer, serializer)

    def test_a_read_only_cache_changes_nothing(self):
        self.cache["a"] = b"1"
        with shmalloc.Cache(self.cache.name, read_only=True) as other:
            self.assertEqual(other["a"], b"1")
            with self.assertRaises(shmalloc.ReadOnlyError):
                other["a"] = b"2"
            with self.assertRaises(shmalloc.ReadOnlyError):
                other.clear()


class Storing(Case):
    def test_conditions(self):
        cache = self.cache
        self.assertFalse(cache.replace("a", b"0"))
        self.assertFalse(cache.append("a", b"0"))
        self.assertFalse(cache.touch("a", 1))
        self.assertFalse(cache.delete("a"))
        self.assertFalse(cache.cas("a", b"0", 1))
        self.assertTrue(cache.add("a", b"1"))
        self.assertFalse(cache.add("a", b"2"))
        self.assertTrue(cache.replace("a", b"3", flags=7))
        self.assertTrue(cache.append("a", b"4"))
        entry = cache.entry("a")
        self.assertEqual((entry.value, entry.flags), (b"34", 7))
        self.assertTrue(cache.cas("a", b"5", entry.version))
        self.assertFalse(cache.cas("a", b"6", entry.version))
        self.assertEqual(cache.get("a"), b"5")
        self.assertFalse(cache.delete("a", entry.version))
        self.assertTrue(cache.delete("a", cache.entry("a").version))
        cache["a"] = b"7"
        self.assertTrue(cache.delete("a"))
        self.assertIsNone(cache.entry("a"))

    def test_numbers(self):
        cache = self.cache
        self.assertEqual(cache.incr("n"), 1)
        self.assertEqual(cache.incr("n", 41), 42)
        self.assertEqual(cache.incr("n", -50), -8)
        self.assertEqual(cache.number("n"), -8)
        self.assertEqual(cache.incr("m", 1, initial=100), 100)
        self.assertIsNone(cache.number("absent"))
        cache.incr("big", 1, initial=2 ** 63 - 1)
        with self.assertRaises(OverflowError):
            cache.incr("big")
        with self.assertRaises(OverflowError):
            cache.incr("big", 1 << 70)
        cache["text"] = b"text"
        with self.assertRaises(shmalloc.NumberError):
            cache.incr("text")
        with self.assertRaises(shmalloc.NumberError):
            cache.number("text")

    def test_numbers_out_of_range_are_refused(self):
        cache = self.cache
        cache["a"] = b"1"
        version = cache.entry("a").version
        for call in (lambda n: cache.set("a", b"", flags=n),
                     lambda n: cache.incr("n", flags=n),
                     lambda n: cache.take("t")[1].fill(b"", flags=n),
                     lambda n: shmalloc.Cache(cache.name, max_views=n)):
            for number in -1, 2 ** 32, 2 ** 64:
                with self.assertRaisesRegex(OverflowError, "is not from 0 to"):
                    call(number)
        for call in (lambda n: cache.cas("a", b"", n), cache.limit,
                     lambda n: cache.delete("a", n),
                     lambda n: shmalloc.Cache(cache.name, limit=n),
                     lambda n: shmalloc.Cache(cache.name, entries=n)):
            for number in -1, version + 2 ** 64:
                with self.assertRaisesRegex(OverflowError, "is not from 0 to"):
                    call(number)
            with self.assertRaises(TypeError):
                call("1")
        with self.assertRaisesRegex(OverflowError, "is not from 0 to"):
            shmalloc.attach(timeout=2 ** 32 // 1000 + 1)
        self.assertEqual(cache["a"], b"1")
        cache.set("a", b"1", flags=2 ** 32 - 1)
        self.assertEqual(cache.entry("a").flags, 2 ** 32 - 1)

    def test_an_entry_ends(self):
        cache = self.cache
        cache.set("a", b"1", ttl=0.05)
        cache.set("b", b"1", ttl=1000)
        cache.set("c", b"1")
        self.assertTrue(999 < cache.entry("b").ttl <= 1001)
        self.assertIsNone(cache.entry("c").ttl)
        end = time.monotonic() + 20
        while "a" in cache:
            self.assertLess(time.monotonic(), end)
        cache.touch("b")
        self.assertIsNone(cache.entry("b").ttl)

    def test_many(self):
        cache = self.cache
        cache.set_many({f"k{i}": b"%d" % i for i in range(1000)}, ttl=1000)
        found = cache.get_many([f"k{i}" for i in range(0, 2000, 2)])
        self.assertEqual(found, {f"k{i}": b"%d" % i
                                 for i in range(0, 1000, 2)})
        self.assertEqual(len(list(cache)), 1000)
        with self.assertRaises(TypeError):
            cache.get_many([b"k1", 1])
        with self.assertRaises(TypeError):
            cache.get_many(1)

    def test_serializers(self):
        class Text:
            dumps = staticmethod(str.encode)
            loads = staticmethod(bytes.decode)

        for serializer, value in ((json, {"a": [1, None]}), (Text, "ä"),
                                  (pickle, {1: (2, b"3")}), (marshal, [1.5])):
            with shmalloc.Cache(self.cache.name,
                                serializer=serializer) as cache:
                cache["a"] = value
                self.assertEqual(cache["a"], value)
                self.assertEqual(cache.get("a"), value)
                self.assertEqual(cache.entry("a").value, value)
                self.assertEqual(dict(cache.items()), {b"a": value})
                self.assertEqual(cache.get_many(["a"]), {"a": value})
        self.assertEqual(marshal.loads(self.cache["a"]), [1.5])

    def test_what_a_serializer_raises_comes_through(self):
        with shmalloc.Cache(self.cache.name, serializer=json) as cache:
            with self.assertRaises(TypeError):
                cache["a"] = object()
            self.assertNotIn("a", cache)
            self.cache["a"] = b"{"
            with self.assertRaises(ValueError):
                cache.get("a")

    def test_the_limit_holds_and_is_counted(self):
        for i in range(2000):
            self.cache[f"k{i}"] = bytes(10000)
        stats = self.cache.stats()
        self.assertEqual(stats["limit"], LIMIT)
        self.assertLessEqual(stats["bytes"], LIMIT)
        self.assertEqual(stats["stores"], 2000)
        self.assertGreater(stats["evicted_limit"], 1000)
        self.cache.limit(2 << 20)
        self.cache.sweep()
        self.assertLessEqual(self.cache.stats()["bytes"], 2 << 20)

    def test_threads_share_a_cache(self):
        errors = []

        def work(n):
            try:
                for i in range(500):
                    key = f"{n}.{i}"
                    self.cache[key] = key.encode() * 50
                    self.cache.incr("sum")
                    if self.cache.get(key, b"") != key.encode() * 50:
                        raise AssertionError(key)
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.assertEqual(self.cache.number("sum"), 4000)

    def test_close_during_another_threads_calls(self):
        for _ in range(20):
            cache = shmalloc.Cache(self.cache.name)
            began = threading.Event()
            ended = []

            def work():
                try:
                    while True:
                        cache.set("a", bytes(100))
                        began.set()
                except ValueError as error:
                    ended.append(str(error))

            thread = threading.Thread(target=work)
            thread.start()
            began.wait()
            cache.close()
            thread.join()
            self.assertEqual(ended, ["the cache is closed"])


class Unreachable(unittest.TestCase):
    def test_no_daemon(self):
        before = os.environ["SHMALLOC_SOCKET"]
        os.environ["SHMALLOC_SOCKET"] = "/nonexistent"
        try:
            with self.assertRaises(ConnectionError) as caught:
                shmalloc.attach()
        finally:
            os.environ["SHMALLOC_SOCKET"] = before
        self.assertIsInstance(caught.exception, shmalloc.UnreachableError)


if __name__ == "__main__":
    unittest.main()
