"""How the programs in `peers/` are built and started."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from tests.harness.servers import require

from .capabilities import Peer

ROOT: Final = Path(__file__).parents[2]
PEERS: Final = Path(__file__).parent / "peers"
LANGUAGES: Final = ROOT / "examples" / "languages"
BUILD: Final = ROOT / "build" / "interop"
"""Where things stay that are made once and used in the next run, too."""
BUILD_TIMEOUT: Final = 60.0
"""Seconds that building or fetching a peer may take."""
ENVIRONMENT: Final = {"PYTHONPATH": str(ROOT)}
"""What the peers' environment has besides our own."""

KEEP_MEMORY: Final = ("MALLOC_MMAP_THRESHOLD_=1000000000", "MALLOC_TRIM_THRESHOLD_=1000000000")
"""glibc's settings for gear, which copies a packet anew with every 4 KiB of it: without them memory is mapped
for each copy of a large one, and 16 MB take 15 s instead of 2."""


def command(peer: Peer, role: str, scratch: Path) -> list[str]:
    """The command line of a peer in its role, `client` or `worker`, up to where its arguments begin.

    Builds what has to be built, in `scratch` if it is for this run alone. If something is missing, skips the
    test, or fails it where all peers are required.
    """
    match peer:
        case Peer.GEARTRAIN | Peer.RAW:
            return [sys.executable, "-m", f"tests.interop.peers.{peer.value}_{role}"]
        case Peer.TOOL:
            require("gearman", "the gearman tool is missing: apt-get install gearman-tools")
            return [sys.executable, str(PEERS / f"tool_{role}.py")]
        case Peer.LIBGEARMAN:
            return [str(compiled(PEERS / f"libgearman_{role}.c", scratch))]
        case Peer.PERL:
            require(runs("perl", "-MGearman::Client", "-e", "1"), "apt-get install libgearman-client-perl")
            return ["perl", str(PEERS / f"perl_{role}.pl")]
        case Peer.PHP:
            has_extension = runs("php", "-r", "exit(extension_loaded('gearman') ? 0 : 1);")
            require(has_extension, "apt-get install php-cli php-gearman")
            return ["php", str(PEERS / f"php_{role}.php")]
        case Peer.NODE:
            return ["env", f"NODE_PATH={node_modules()}", "node", str(PEERS / f"node_{role}.js")]
        case Peer.GEAR:
            require(importlib.util.find_spec("gear") is not None, "pip install gear")
            return ["env", *KEEP_MEMORY, sys.executable, str(PEERS / f"gear_{role}.py")]


@cache
def runs(*command: str) -> bool:
    """Whether a command is there and ends well."""
    try:
        return subprocess.run(command, capture_output=True, timeout=BUILD_TIMEOUT).returncode == 0
    except FileNotFoundError:
        return False


def compiled(source: Path, folder: Path) -> Path:
    """A C program, compiled with libgearman into that folder."""
    program = folder / source.stem
    if not program.exists():
        require("gcc", "a C compiler is missing: apt-get install gcc libc6-dev")
        header = Path("/usr/include/libgearman-1.0/gearman.h").exists()
        require(header, "libgearman is missing: apt-get install libgearman-dev")
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["gcc", *flags, "-o", program, source, "-lgearman"], check=True, timeout=BUILD_TIMEOUT)
    return program


@cache
def node_modules() -> Path:
    """The folder with the packages that the Node.js example pins, fetched once for each state of its pins."""
    require("node", "Node.js is missing: apt-get install nodejs")
    require("npm", "npm is missing: apt-get install npm")
    pins = [LANGUAGES / "node" / name for name in ("package.json", "package-lock.json", ".npmrc")]
    state = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()[:16]
    folder = BUILD / f"node-{state}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes come here at once
        if not (folder / "ready").exists():
            for pin in pins:
                (folder / pin.name).write_bytes(pin.read_bytes())
            fetched = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT,
            )
            require(fetched.returncode == 0, f"npm ci does not succeed:\n{fetched.stderr}")
            (folder / "ready").touch()
    return folder / "node_modules"
