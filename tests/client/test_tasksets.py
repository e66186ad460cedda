"""Task sets whose tasks can't all be submitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from geartrain import ClosedError, Task, TaskState
from tests.harness.form import uncompiled

from .shells import both_shells, task_set_of
from .stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage("geartrain")
    yield stage
    stage.close()


@both_shells
def test_a_set_of_a_closed_client_says_so_each_time(stage: Stage, shell: str) -> None:
    async def scenario(client: Any) -> None:
        tasks = task_set_of(client)
        for _ in range(2):
            tasks.add(Task("echo"))
        await client.close()
        for _ in range(2):
            with pytest.raises(ClosedError):
                await tasks.wait(timeout=5)
        assert [task.state for task in tasks.tasks] == [TaskState.NEW] * 2

    stage.play(shell, scenario)


@uncompiled
@both_shells
def test_the_tasks_behind_one_whose_submission_raised_are_submitted_by_the_next_wait(
    stage: Stage, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(client: Any) -> None:
        tasks = task_set_of(client)
        first, second, third = (tasks.add(Task("echo", text)) for text in "abc")
        submit = client._engine.submit

        def fail_at_the_second(task: Task, now: float) -> None:
            if task is second:
                raise OSError
            submit(task, now)

        with monkeypatch.context() as patches:
            patches.setattr(client._engine, "submit", fail_at_the_second)
            with pytest.raises(OSError):
                await tasks.wait(timeout=5)
        assert (second.state, third.state) == (TaskState.NEW, TaskState.NEW)
        assert await tasks.wait(timeout=5)
        assert [task.result for task in (first, second, third)] == [b"a", b"b", b"c"]

    stage.play(shell, scenario)
