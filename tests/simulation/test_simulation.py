"""A million random steps, and proof that a broken broker would not survive them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from geartrain.broker.calendar import Calendar
from geartrain.broker.dispatch import Dispatch
from geartrain.broker.jobs import Jobs
from geartrain.broker.ledger import Ledger
from geartrain.broker.outbox import Outboxes
from geartrain.broker.patience import Patience
from geartrain.broker.state import Function
from geartrain.broker.waiters import Waiters
from tests.harness.form import uncompiled

from .invariants import Violation
from .world import World

STEPS: Final = 100_000
SEEDS: Final = range(1, 12)
"""The same in every run; `make simulate` takes a fresh seed."""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_invariant_holds(seed: int) -> None:
    world = World(seed)
    try:
        world.run(STEPS)
    except Violation as violation:
        violation.add_note(f"step {world.steps}; again: make simulate SEED={seed} STEPS={world.steps}")
        raise
    assert min(world.counts[what] for what in ("crashes", "refusals", "clock jumps", "drains")) > 0


def test_a_seed_replays_its_run() -> None:
    def outcome() -> tuple[dict[str, int], float, list[bytes]]:
        world = World(7)
        for _ in range(5000):
            world.step()
        return world.counts, world._random(), sorted(world._model.jobs)

    assert outcome() == outcome()


def _nothing(*args: object) -> None:
    pass


def _acknowledge_at_once(ledger: Ledger, peer: Any, job: Any) -> None:
    ledger._outboxes.send(peer, ledger._handles.created(job.handle))


def _commit_after_all(ledger: Ledger, reason: bytes) -> list[Any]:
    ledger.committed()
    return []


def _hold_nothing(outboxes: Outboxes, peer: Any, serial: int, data: bytes) -> bool:
    outboxes.send(peer, data)
    return True


def _sleep_without_passing_on(dispatch: Dispatch, peer: Any) -> None:
    dispatch.settle(peer)
    function = dispatch._best(peer, True)
    if function is not None:
        dispatch._wake_peer(peer, function)
    else:
        peer.sleeping = True
        for ability in peer.unlisted:
            ability.listed = True
            ability.function.sleepers.append(ability)
        peer.unlisted = {}


def _newest_function_first(dispatch: Dispatch, peer: Any, unmatched: bool) -> Any:
    for ability in reversed(peer.abilities.values()):
        function = ability.function
        if function.demand() * dispatch._wakeup > (function.woken if unmatched else 0):
            return function
    return None


MUTATIONS: Final[dict[str, tuple[type, str, Callable[..., Any]]]] = {
    "jobs that lost their worker go to the end of the queue": (Function, "prepend", Function.append),
    "acknowledged before the commit": (Ledger, "acknowledge", _acknowledge_at_once),
    "the ends of jobs are not written": (Ledger, "end", _nothing),
    "a commit that failed is not reported": (Ledger, "refused", _commit_after_all),
    "priorities hold within a function alone": (Dispatch, "_best", _newest_function_first),
    "late ends are refused": (Jobs, "take_late", lambda jobs, peer, handle: None),
    "wakes are not passed on": (Dispatch, "rebalance", _nothing),
    "a wake is lost when its worker sleeps again": (Dispatch, "sleep", _sleep_without_passing_on),
    "grabs wait though there is a job for them": (Dispatch, "_answer_grabs", _nothing),
    "a grab that waits is forgotten when something else comes": (Patience, "end", Patience.leave),
    "a grab outlives its connection": (Patience, "leave", _nothing),
    "held packets are released too early": (Outboxes, "hold", _hold_nothing),
    "asking for a result outlives its connection": (Waiters, "leave", _nothing),
    "delayed jobs never fall due": (Calendar, "take", lambda calendar, until: []),
}


@uncompiled
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_broker_is_caught(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement = MUTATIONS[mutation]
    monkeypatch.setattr(owner, name, replacement)
    for seed in range(1, 6):
        try:
            World(seed).run(STEPS)
        except Violation:
            return
    pytest.fail(f"{mutation}, and the simulation did not notice")
