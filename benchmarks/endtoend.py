"""End to end: a no-op task with its result, from a client through a server to one worker process and back."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .servers import BENCH, PYTHON, ROOT, SERVERS, running

PATIENCE: Final = 300
"""Seconds that one run may take."""
LIBGEARMAN: Final = str(ROOT / "build/bench/libgearman")
_COMPILED: Final = str(ROOT / "build/compiled")


@dataclass(frozen=True)
class App:
    """One library: its server, its worker, its client, and how many tasks take it a while."""

    name: str
    server: str
    worker: Callable[[int], list[str]]
    client: Callable[[int, int], list[str]]
    count: int
    kind: str = "tasks"
    function: str = "noop"


def _ours(module: str, *words: object) -> list[str]:
    return [PYTHON, "-m", f"benchmarks.apps.{module}", *map(str, words)]


def _theirs(module: str, *words: object) -> list[str]:
    return [str(BENCH / "python"), "-m", f"benchmarks.apps.{module}", *map(str, words)]


def _redis(name: str, module: str, count: int, *worker: str) -> App:
    return App(
        name,
        "Redis",
        lambda port: [str(BENCH / worker[0]), *(word.format(port=port) for word in worker[1:])],
        lambda port, count: _theirs(module, port, count),
        count,
    )


def _geartrain(name: str, server: str, client: str, count: int, kind: str) -> App:
    return App(
        name,
        server,
        lambda port: _ours("geartrain_worker", port),
        lambda port, count: _ours(client, port, count),
        count,
        kind,
    )


def _libgearman(name: str, server: str, count: int = 5_000, kind: str = "round trips", size: int = 0) -> App:
    return App(
        name,
        server,
        lambda port: [LIBGEARMAN, "worker", str(port)],
        lambda port, count: [LIBGEARMAN, "client", str(port), str(count), str(size)],
        count,
        kind,
    )


def _small_writes(server: str, count: int) -> App:
    return App(
        f"small writes on {server}",
        server,
        lambda port: _ours("small_writes", "worker", port),
        lambda port, count: _ours("small_writes", "client", port, count),
        count,
        SMALL_WRITES,
    )


def _command(words: str, count: int, function: str = "noop") -> App:
    """The worker command of ours."""
    return App(
        f"geartrain work {words}".strip() + ("" if function == "noop" else f" ({function})"),
        "geartrain",
        lambda port: [PYTHON, "-m", "geartrain", "work", "benchmarks.apps.geartrain_app", *words.split()],
        lambda port, count: _ours("geartrain_tasks", port, count),
        count,
        COMMANDS,
        function,
    )


def _their_command(name: str, module: str, words: str) -> App:
    return App(
        f"{name} {words}",
        "Redis",
        lambda port: [str(BENCH / name), *words.split()],
        lambda port, count: _theirs(module, port, count),
        3_000,
        COMMANDS,
    )


COMMANDS: Final = "worker commands"
LARGE: Final = "16 MB"
SMALL_WRITES: Final = "small writes"

APPS: Final = [
    _geartrain("geartrain", "geartrain", "geartrain_tasks", 40_000, "tasks"),
    _geartrain("geartrain on gearmand", "gearmand", "geartrain_tasks", 40_000, "tasks"),
    App(
        "OpenStack gear on geartrain",
        "geartrain",
        lambda port: _theirs("gear_worker", port),
        lambda port, count: _theirs("gear_tasks", port, count),
        400,
    ),
    _redis("Celery", "celery_app", 3_000, "celery", "-A", "benchmarks.apps.celery_app", "worker", "-c", "1"),
    _redis("Dramatiq", "dramatiq_app", 3_000, "dramatiq", "benchmarks.apps.dramatiq_app", "--processes", "1"),
    _redis("RQ", "rq_app", 200, "rq", "worker", "--url", "redis://127.0.0.1:{port}"),
    _redis("arq", "arq_app", 3_000, "arq", "benchmarks.apps.arq_app.WorkerSettings"),
    _redis("Taskiq", "taskiq_app", 3_000, "taskiq", "worker", "benchmarks.apps.taskiq_app:broker", "-w", "1"),
    _geartrain("geartrain", "geartrain", "geartrain_run", 10_000, "round trips"),
    _libgearman("libgearman on gearmand", "gearmand"),
    _libgearman("libgearman on geartrain", "geartrain"),
    _libgearman("libgearman on gearmand", "gearmand", 1, LARGE, 16_000_000),
    _libgearman("libgearman on geartrain", "geartrain", 1, LARGE, 16_000_000),
    _small_writes("gearmand", 40),
    _small_writes("geartrain", 8_000),
    _command("", 20_000),
    _command("", 20_000, "noop_limited"),
    _command("--threads 4", 20_000),
    _command("--processes 2", 20_000),
    _command("--processes 2 --threads 4", 20_000),
    _command("--concurrency 100", 20_000, "noop_async"),
    _their_command("celery", "celery_app", "-A benchmarks.apps.celery_app worker -c 2"),
    _their_command("celery", "celery_app", "-A benchmarks.apps.celery_app worker --pool threads -c 4"),
    _their_command("dramatiq", "dramatiq_app", "benchmarks.apps.dramatiq_app --processes 1 --threads 4"),
    _their_command("dramatiq", "dramatiq_app", "benchmarks.apps.dramatiq_app --processes 2 --threads 4"),
]


def measure(app: App, count: int) -> dict[str, float]:
    """Tasks a second of one run, and microseconds of CPU that a task costs all processes together."""
    with running(app.server) as server:
        env = os.environ | {
            "BENCH_PORT": str(server.port),
            "BENCH_FUNCTION": app.function,
            "PYTHONPATH": f"{ROOT}:{_COMPILED}",
            "PATH": f"{BENCH}:{os.environ['PATH']}",
        }
        worker = subprocess.Popen(
            app.worker(server.port),
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        env |= {"BENCH_WORKER": str(worker.pid), "BENCH_SERVER": str(server.pid)}
        try:
            done = subprocess.run(
                app.client(server.port, count),
                env=env,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            if done.returncode:
                raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
            seconds, *cpu = map(float, done.stdout.split())
            costs = {"cpu_us": cpu[0] / count * 1e6} if cpu else {}
            return {"per_second": count / seconds, **costs}
        finally:
            # Its whole group: most of them start processes of their own.
            os.killpg(worker.pid, signal.SIGTERM)
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def run_all(rounds: int, short: bool) -> list[dict[str, Any]]:
    """Every library, interleaved."""
    apps = [app for app in APPS if SERVERS[app.server].is_there and shutil.which(app.worker(0)[0])]
    rates: dict[str, list[dict[str, float]]] = {f"{app.kind}: {app.name}": [] for app in apps}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for app in apps:
            key = f"{app.kind}: {app.name}"
            try:
                rates[key].append(measure(app, _count(app, short)))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failures[key] = str(error)
    results: list[dict[str, Any]] = []
    for app in apps:
        found = rates[f"{app.kind}: {app.name}"]
        if found:
            results.append(
                {
                    "kind": app.kind,
                    "name": app.name,
                    "server": app.server,
                    "count": _count(app, short),
                    **{key: spread([run[key] for run in found]) for key in found[0]},
                }
            )
            print(f"{app.kind}: {app.name} {results[-1]['per_second']}", file=sys.stderr, flush=True)
    for key, why in failures.items():
        print(f"{key} failed: {why}", file=sys.stderr, flush=True)
    return results


def _count(app: App, short: bool) -> int:
    return max(app.count // 4, 1) if short else app.count


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def versions() -> dict[str, str]:
    """Of the libraries that are compared."""
    asked = (
        "import importlib.metadata as m\n"
        "for n in ('celery', 'dramatiq', 'rq', 'arq', 'taskiq', 'gear'): print(n, m.version(n))"
    )
    done = subprocess.run([str(BENCH / "python"), "-c", asked], capture_output=True, text=True, check=False)
    return dict(line.split() for line in done.stdout.splitlines())
