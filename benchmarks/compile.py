"""Compiles the load generator: `python benchmarks/compile.py --build-lib DIRECTORY`, where setup.py is."""

from __future__ import annotations

import sys

from mypyc.build import mypycify
from setuptools import setup

SOURCES = ["benchmarks/generator.py", "benchmarks/rivals.py"]

setup(
    name="benchmarks",
    script_args=["-q", "build_ext", *sys.argv[1:]],
    packages=[],
    ext_modules=mypycify(["--strict", *SOURCES], opt_level="3", group_name="benchmarks"),
)
