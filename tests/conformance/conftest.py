"""Each case runs once per job server; a server is started when the first case needs it and kept.

Cases share a server and stay apart by function names of their own. A case whose server is in the table of
differences has to fail there, and in the way that the table tells.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.harness.processes import SHOWN_OUTPUT
from tests.harness.rawwire import RawPeer
from tests.harness.servers import SERVERS, JobServer

from .differences import DIFFERENCES, Difference

DIFFERENCE_TIMEOUT: Final = 0.4
"""Seconds that a case waits for what is known not to come."""

_log_start: Final = pytest.StashKey[tuple[JobServer, int]]()


def _difference(item: pytest.Item) -> Difference | None:
    """The entry in the table for this case and server, if there is one."""
    callspec: Any = getattr(item, "callspec", None)
    if callspec is None or "kind" not in callspec.params:
        return None
    assert isinstance(item, pytest.Function)
    kind = callspec.params["kind"]
    case = item.originalname.removeprefix("test_")
    variant = callspec.id.removeprefix(kind).removeprefix("-")
    return DIFFERENCES.get((f"{case}[{variant}]", kind)) or DIFFERENCES.get((case, kind))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Require of a case with a known difference that it fails, and that it fails as the table says."""
    difference = _difference(pyfuncitem)
    if difference is None:
        return (yield)
    try:
        yield
    except AssertionError as error:
        if not re.search(difference.seen, str(error), re.DOTALL):
            error.add_note(f"The table of differences expects to see {difference.seen!r}.")
            raise
        pytest.xfail(difference.why)
    pytest.fail("this server does not differ here any more: take the entry out of differences.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the server wrote meanwhile."""
    report = yield
    if report.failed and (started := item.stash.get(_log_start, None)):
        server, position = started
        text = server.process.output[position:][-SHOWN_OUTPUT:]
        report.sections.append((f"{server.kind} (exit code {server.process.returncode})", text))
    return report


@pytest.fixture(scope="session")
def running() -> Iterator[Callable[[str], JobServer]]:
    """Job servers by kind, each started once and anew if a case has brought it down."""
    with ExitStack() as stack:
        servers: dict[str, JobServer] = {}

        def get(kind: str) -> JobServer:
            server = servers.get(kind)
            if server is None or server.process.returncode is not None:
                server = servers[kind] = stack.enter_context(SERVERS[kind]())
            return server

        yield get


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of job server that the case runs against."""
    return str(request.param)


@pytest.fixture
def server(kind: str, running: Callable[[str], JobServer], request: pytest.FixtureRequest) -> JobServer:
    """The job server that the case runs against, shared with other cases."""
    server = running(kind)
    request.node.stash[_log_start] = (server, len(server.process.output))
    return server


@pytest.fixture
def own_server(kind: str, request: pytest.FixtureRequest) -> Iterator[JobServer]:
    """A job server for this case alone."""
    with SERVERS[kind]() as server:
        request.node.stash[_log_start] = (server, 0)
        yield server


Connect = Callable[[], RawPeer]


@pytest.fixture
def connect(server: JobServer, request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes connections that are closed when the case ends."""
    with ExitStack() as stack:
        timeout = DIFFERENCE_TIMEOUT if _difference(request.node) else None
        yield lambda: stack.enter_context(server.connect(timeout))


@pytest.fixture
def client(connect: Connect) -> RawPeer:
    """A connection, used as client."""
    return connect()


@pytest.fixture
def worker(connect: Connect) -> RawPeer:
    """Another connection, used as worker."""
    return connect()


@pytest.fixture
def function() -> str:
    """The name of a function that no other case uses."""
    return f"function-{uuid.uuid4().hex[:12]}"
