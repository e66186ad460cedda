"""What a task may be made of."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from geartrain import Client, Task


@pytest.mark.parametrize(
    ("workload", "sent"),
    [
        (b"bytes", b"bytes"),
        ("tëxt", "tëxt".encode()),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
    ],
)
def test_workloads_are_bytes_or_text(workload: Any, sent: bytes) -> None:
    assert Task("f", workload).workload == sent


@pytest.mark.parametrize("workload", [5, True, None, [65, 66], 1.5])
def test_nothing_else_is_a_workload(workload: Any) -> None:
    expected = re.escape(f"{workload!r}: what is sent is bytes or str")
    with pytest.raises(TypeError, match=expected):
        Task("f", workload)
    with Client("127.0.0.1:1") as client:
        for call in (client.run, client.background):
            with pytest.raises(TypeError, match=expected):
                call("f", workload)
        with pytest.raises(TypeError, match=expected):
            client.echo(workload)


@pytest.mark.parametrize("names", [(5, ""), (b"f", ""), ("f", 5), (None, "")])
def test_names_are_text(names: Any) -> None:
    function, unique = names
    with pytest.raises(TypeError, match="the names of a function and a unique are str"):
        Task(function, b"", unique=unique)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"priority": None}, ValueError, "None: the priority is 'high', 'normal' or 'low'"),
        ({"retry_count": 1.5}, TypeError, "1.5: retry_count is a whole number"),
        ({"timeout": "5"}, TypeError, "'5': timeout is a number of seconds, or None"),
        ({"workload": 5}, TypeError, "5: "),
        ({"function": b"echo"}, TypeError, "the names of a function and a unique are str"),
    ],
)
def test_what_is_wrong_is_named_whichever_form_runs(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Task(**{"function": "echo", **arguments})


def test_arguments_of_near_types_will_do() -> None:
    task = Task("echo", bytearray(b"x"), background=1, timeout=5, retry_count=True, priority="high")  # type: ignore[arg-type]
    assert (task.workload, task.background, task.timeout, task.retry_count) == (b"x", True, 5, 1)
    assert copy.copy(task).workload == pickle.loads(pickle.dumps(task)).workload == b"x"
