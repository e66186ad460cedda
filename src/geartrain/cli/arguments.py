"""The arguments that a command was called with, to start another process with the same ones."""

from __future__ import annotations

import sys
from collections.abc import Set as AbstractSet
from enum import Enum

import typer


def this_program() -> list[str]:
    """How this program was started, without its arguments: another one like it finds the same modules."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]


def arguments_of(context: typer.Context, without: AbstractSet[str] = frozenset()) -> list[str]:
    """The arguments on the command line, as a list for a new process.

    Args:
        context: the command's.
        without: the names of parameters to leave out, as its function has them.
    """
    options: list[str] = []
    operands: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        values = value if isinstance(value, list | tuple) else [value]
        texts = [str(each.value if isinstance(each, Enum) else each) for each in values]
        if parameter.param_type_name == "argument":
            operands += texts
        elif getattr(parameter, "is_flag", False):
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            options += [f"{_longest(parameter.opts)}={text}" for text in texts]
    return [*options, *(["--", *operands] if operands else [])]


def _longest(names: list[str]) -> str:
    # Only a long option takes its value behind an equals sign.
    return max(names, key=len)
