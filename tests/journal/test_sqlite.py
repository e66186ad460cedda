"""What goes into a journal comes out of it, in order, whatever it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from geartrain.errors import JournalError
from geartrain.journal import SqliteJournal

from .records import batch, contents, everything, job


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def test_a_job_that_was_committed_is_there_after_a_restart(path: str) -> None:
    async def serve() -> None:
        journal = SqliteJournal(path)
        assert await journal.open() == []
        assert await everything(journal) == []
        await journal.commit(batch([job(2), job(1)], documents=[("server", "host", b"here")]))
        await journal.commit(batch([job(3)], ended=[1]))
        await journal.close()

    asyncio.run(serve())
    assert contents(path) == ([job(2), job(3)], [("server", "host", b"here")])


def test_a_document_may_be_called_what_is_no_text(path: str) -> None:
    """The names of functions are bytes."""
    documents = [("policy", "caf\udce9", b"1"), ("policy", "\ud800", b"2"), ("policy", "caf\u00e9", b"3")]

    async def serve() -> None:
        journal = SqliteJournal(path)
        await journal.open()
        await journal.commit(batch([], documents=documents))
        await journal.commit(batch([], documents=[("policy", "\ud800", None)]))
        await journal.close()

    asyncio.run(serve())
    assert sorted(contents(path)[1]) == sorted([documents[0], documents[2]])


def test_a_second_server_is_refused_with_the_process_of_the_first(path: str) -> None:
    async def serve() -> None:
        first, second = SqliteJournal(path), SqliteJournal(path)
        await first.open()
        with pytest.raises(JournalError, match=f"{path} is in use by the process"):
            await second.open()
        await first.close()
        await second.open()
        await second.close()

    asyncio.run(serve())
