"""Finds the worker that `MODULE:WORKER` names, and says clearly what is wrong if it is not there."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import ModuleType

import typer

from ..worker import Worker
from ..worker.worker import RunRefusedError, refuse_to_run
from .exits import ExitCode, complain, fail

DEFAULT_NAME = "worker"
"""The worker's name where `MODULE` stands alone."""


def load_worker(target: str) -> Worker:
    """Import a module, from the working directory or any installed one, and return its worker.

    Ends the command with a sentence if there is no such thing.
    """
    module_name, _, name = target.partition(":")
    name = name or DEFAULT_NAME
    if module_name.endswith(".py") or os.sep in module_name:
        stem = module_name.removesuffix(".py").strip(os.sep).replace(os.sep, ".")
        fail(f"{module_name} is a file; name the module, as in {stem}:{name}", ExitCode.USAGE)
    module = _import(module_name)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Worker):
        there = sorted(key for key, value in vars(module).items() if isinstance(value, Worker))
        what = "is not a Worker" if found is not None else "is not there"
        hint = f"; there is {' and '.join(f'{module_name}:{key}' for key in there)}" if there else ""
        fail(f"{module_name}:{name} {what}{hint}", ExitCode.USAGE)
    if not found.functions:
        fail(f"the worker {module_name}:{name} has no functions; register some first", ExitCode.USAGE)
    return found


def _import(name: str) -> ModuleType:
    # What `python worker.py` would see first. Our own modules must not meet what lies there.
    if not name.startswith("geartrain."):
        sys.path.insert(0, os.getcwd())
    try:
        with refuse_to_run(f"the module {name} runs its worker when it is imported"):
            module = importlib.import_module(name)
    except RunRefusedError as error:
        fail(
            f"{error}: `geartrain work` runs it; put the call under `if __name__ == '__main__':`",
            ExitCode.USAGE,
        )
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            fail(f"there is no module {missing} in {os.getcwd()}, nor is it installed", ExitCode.USAGE)
        complain(f"the module {name} could not be imported\n{_traceback(error)}")
        raise typer.Exit(ExitCode.USAGE) from None
    return module


def _traceback(error: Exception) -> str:
    """The traceback as the module's author knows it, without our own and the import system's frames."""
    own = {__file__, importlib.__file__}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in own and "<frozen" not in frame.filename
    ]
    return "".join(traceback.format_list(frames) + traceback.format_exception_only(error)).rstrip()
