"""The compiled form: with `GEARTRAIN_COMPILED=1` the hot path goes through mypyc, otherwise nothing is built.

The same files run either way. Compiled, they are native modules beside the sources in a wheel; a checkout
keeps its compiled copy apart, in `build/compiled` (see `make compiled`), so that an edit never meets a
stale module.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup

HOT = ("wire/*.py", "broker/*.py", "server/connection.py", "journal/table.py")


def compiled() -> list[Extension]:
    """The extension modules of the compiled form."""
    from mypyc.build import mypycify

    sources = [str(path) for hot in HOT for path in sorted(Path("src/geartrain").glob(hot))]
    return list(mypycify(["--strict", *sources], opt_level="3", group_name="geartrain"))


setup(ext_modules=compiled() if os.environ.get("GEARTRAIN_COMPILED") == "1" else [])
