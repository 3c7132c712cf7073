"""Compile the extension module; the rest is in pyproject.toml.

libshmalloc-cache is found by pkg-config ($PKG_CONFIG, $PKG_CONFIG_PATH).
"""
import os
import shlex
import subprocess
import sys
import sysconfig

from setuptools import Extension, setup


def pkg_config(what):
    """The words that pkg-config says of libshmalloc-cache."""
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), what, "shmalloc-cache"]
    try:
        return shlex.split(subprocess.check_output(command, text=True))
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"shmalloc: {shlex.join(command)}: {error}\n"
            "Install libshmalloc-cache with its headers and pkg-config (Debian: "
            "libshmalloc-dev), or let $PKG_CONFIG_PATH name its folder.")


# The buffer protocol is in the stable ABI since 3.11; free-threaded versions
# have no stable ABI.
IS_STABLE = (sys.version_info >= (3, 11)
             and sys.implementation.name == "cpython"
             and not sysconfig.get_config_var("Py_GIL_DISABLED"))

extension = Extension(
    "shmalloc._shmalloc",
    sources=["src/" + name for name in (
        "cache.c", "convert.c", "error.c", "get.c", "heap.c", "lease.c",
        "module.c", "store.c", "view.c", "walk.c")],
    depends=["src/binding.h"],
    include_dirs=["."],
    extra_compile_args=["-std=gnu17", "-fvisibility=hidden",
                        *pkg_config("--cflags")],
    extra_link_args=pkg_config("--libs"),
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if IS_STABLE else [],
    py_limited_api=IS_STABLE,
)
setup(
    packages=["shmalloc"],
    package_data={"shmalloc": ["py.typed", "*.pyi"]},
    ext_modules=[extension],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if IS_STABLE else {},
)
