"""The power goes at any moment: what was acknowledged is there, and nothing else is."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from geartrain.broker.records import JobRecord
from geartrain.errors import JournalError
from geartrain.journal import SqliteJournal
from geartrain.journal import file as journal_file

from .disk import Disk, disk
from .records import batch, contents, job

COMMITS = 120
LOSSES = 150

_State = dict[int, JobRecord]


@pytest.fixture(autouse=True)
def merge_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short run merges its log into the database many times."""
    monkeypatch.setattr(journal_file, "MERGE_AFTER", 20)


async def _work(journal: SqliteJournal, disk: Disk, chance: random.Random) -> list[_State]:
    """Commit, leave a mark after each, and return what the journal has to hold after each."""
    state: _State = {}
    states = [dict(state)]
    number = 0
    for _ in range(COMMITS):
        new = [
            job(number := number + 1, chance.randbytes(chance.choice((10, 100, 3000, 20000))))
            for _ in range(chance.choice((0, 3, 8, 30)))
        ]
        number += chance.randrange(3)
        again = [
            record._replace(state=1, history=b"again")
            for record in chance.sample(list(state.values()), min(len(state), chance.randrange(3)))
        ]
        # The oldest, as workers take them, or any.
        some = chance.choice((0, 3, 20))
        ended = (
            sorted(state)[:some]
            if chance.random() < 0.5
            else chance.sample(sorted(state), min(len(state), some))
        )
        saved = [record for record in again if record.number not in ended]
        await journal.commit(batch(saved, ended, new=new))
        disk.mark()
        state.update({record.number: record for record in [*new, *saved]})
        for gone in ended:
            del state[gone]
        states.append(dict(state))
    return states


async def _run(path: str, disk: Disk, chance: random.Random, *, careless: bool = False) -> list[_State]:
    journal = SqliteJournal(path)
    await journal.open()
    if careless:
        connection = journal._file._connection
        assert connection is not None
        connection.execute("PRAGMA synchronous = NORMAL")
    states = await _work(journal, disk, chance)
    disk.diary, diary = [], disk.diary  # closing would tidy up, and there is no closing in a power loss
    await journal.close()
    disk.diary = diary
    return states


def _lose_power(
    disk: Disk, states: list[_State], source: Path, target: Path, at: int, chance: random.Random
) -> str:
    """Open what a power loss before the event `at` leaves behind; returns what is wrong with it."""
    target.mkdir()
    for path, content in disk.after_power_loss(at, chance).items():
        (target / Path(path).relative_to(source)).write_bytes(content)
    acknowledged = sum(event.kind == "mark" for event in disk.diary[:at])
    try:
        found = {record.number: record for record in contents(str(target / "journal.db"))[0]}
    except JournalError as error:
        return f"it was refused: {error}"
    if found not in states[acknowledged : acknowledged + 2]:
        missing = [n for n in states[acknowledged] if n not in found]
        return f"after {acknowledged} commits it lacks {missing}"
    return ""


def test_nothing_acknowledged_is_missing_after_a_power_loss(tmp_path: Path) -> None:
    chance = random.Random(2)
    source = tmp_path / "source"
    with disk() as shim:
        states = asyncio.run(_run(str(source / "journal.db"), shim, chance))
    assert sum(event.kind == "sync" for event in shim.diary) >= COMMITS
    assert any(event.kind == "write" and event.path.endswith("journal.db") for event in shim.diary[100:])
    for loss in range(LOSSES):
        at = chance.randrange(len(shim.diary) + 1)
        wrong = _lose_power(shim, states, source, tmp_path / str(loss), at, chance)
        assert not wrong, f"power loss before event {at} of {len(shim.diary)}: {wrong}"


def test_a_journal_that_does_not_wait_for_the_disk_would_be_caught(tmp_path: Path) -> None:
    chance = random.Random(1)
    source = tmp_path / "source"
    with disk() as shim:
        states = asyncio.run(_run(str(source / "journal.db"), shim, chance, careless=True))
    assert any(
        _lose_power(shim, states, source, tmp_path / str(loss), chance.randrange(len(shim.diary)), chance)
        for loss in range(LOSSES)
    )
