"""The compiled form: with `GEARTRAIN_COMPILED=1` the hot path goes through mypyc, otherwise nothing is built.

The same files run either way. Compiled, they are native modules beside the sources in a wheel; a checkout
keeps its compiled copy apart, in `build/compiled` (see `make compiled`), so that an edit never meets a
stale module.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

# Below src/geartrain, one to a line: the Makefile reads them, too.
HOT = (
    "wire/*.py",
    "broker/*.py",
    "server/connection.py",
    "server/writer.py",
    "journal/alive.py",
    "journal/table.py",
    "journal/packed.py",
    "spin.py",
    "client/answers.py",
    "client/channel.py",
    "client/engine.py",
    "client/group.py",
    "client/inquiry.py",
    "client/life.py",
    "client/link.py",
    "client/record.py",
    "client/routing.py",
    "client/steps.py",
    "client/traffic.py",
    "client/turns.py",
    "client/watched.py",
    "worker/sync/connection.py",
    "worker/engine/engine.py",
    "worker/sync/loop.py",
    "worker/sync/servers.py",
)


def compiled() -> list[Extension]:
    """The extension modules of the compiled form."""
    try:
        from mypyc.build import mypycify
    except ImportError:
        # A build front end asks first what the build needs (`setup_requires`), and has mypy the next time.
        if any(word.startswith("bdist_wheel") for word in sys.argv):
            raise
        return []
    sources = [str(path) for hot in HOT for path in sorted(Path("src/geartrain").glob(hot))]
    # Types are checked by `make check`; here the libraries of the other rooms may be missing.
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    return list(mypycify([*options, *sources], opt_level="3", group_name="geartrain"))


if os.environ.get("GEARTRAIN_COMPILED") == "1":
    setup(ext_modules=compiled(), setup_requires=["mypy>=2.4"])
else:
    setup()
