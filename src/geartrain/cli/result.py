"""`geartrain result`: how a background job ended, while the server keeps that."""

from __future__ import annotations

import base64
import sys
from typing import Annotated, Any

import typer

from ..errors import GeartrainError
from .asking import ask_one
from .exits import ExitCode, code_of, complain, fail
from .help import examples
from .output import JsonOption, printable, show_json
from .servers import ServerOption, servers_of
from .times import read_seconds

app = typer.Typer()


@app.command(
    epilog=examples(
        "geartrain result H:myhost:1732459863000001",
        "geartrain result H:myhost:1732459863000001 --wait --timeout 60",
        "geartrain result H:myhost:1732459863000001 --json  # with its times, attempts and last status",
    )
)
def result(
    handle: Annotated[
        str, typer.Argument(metavar="HANDLE", help="What submit --background printed.", show_default=False)
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", "-t", parser=read_seconds, metavar="TIME", help="Wait no longer: 30s, or 30."
        ),
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the result of a background job, byte for byte.

    The server keeps outcomes if it is told to: `geartrain serve --keep-results 1h`, or for one function
    `geartrain function set NAME --keep-results 1h`. With --wait a job that has not ended needs neither.
    """
    servers = servers_of(server)
    found = _outcome(servers, handle)
    if wait and found["state"] not in ("complete", "fail", "exception", "dead", "unknown"):
        state, data = _end(found["server"], handle, timeout)
        # A failure may be that of its last attempt; a dead job is still known.
        later = _outcome([found["server"]], handle) if state == "fail" else {"state": state}
        found["state"] = "dead" if later["state"] == "dead" else state
    else:
        data = base64.b64decode(found["data_base64"]) if "data_base64" in found else _data(found)
    if as_json:
        show_json(found | _as_json(data))
    elif found["state"] == "complete":
        sys.stdout.buffer.write(data)
    _explain(found["state"], printable(found["handle"]), data)


def _outcome(servers: list[str], handle: str) -> dict[str, Any]:
    """What the servers know of the job."""
    known: dict[str, Any] = {}
    for server in servers:
        try:
            known = {"server": server, **ask_one(server, "outcome", handle)}
        except GeartrainError as error:
            complain(str(error))
            code = code_of(error)
            continue
        if known["state"] != "unknown":
            break
    if not known:
        raise typer.Exit(code)
    return known


def _end(server: str, handle: str, timeout: float | None) -> tuple[str, bytes]:
    """How the job ends, when it has: its state, and the result or exception."""
    from ..client import Client
    from ..errors import JobException, JobFailed, NoServersError, WaitTimeoutError

    try:
        with Client(server) as client:
            return "complete", client.result(handle, timeout=timeout)
    except JobException as error:
        return "exception", error.data
    except JobFailed:
        return "fail", b""
    except WaitTimeoutError:
        raise WaitTimeoutError(f"{handle}: no result within {timeout:g} s") from None
    except NoServersError as error:
        reason = error.reasons.get(server, str(error))
        fail(
            f"{server} was lost while {handle} was waited for ({reason}): ask again when it is back",
            ExitCode.NO_SERVER,
        )


def _data(found: dict[str, Any]) -> bytes:
    text: str = found.get("data", "")
    return text.encode()


def _as_json(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}


def _explain(state: str, handle: str, data: bytes) -> None:
    """End the command with a sentence, unless there is a result."""
    if state == "complete":
        return
    sentences = {
        "fail": "it failed",
        "exception": f"it ended with an exception: {printable(data.decode('utf-8', 'replace'))}",
        "dead": f"its attempts are used up: geartrain dead show {handle} tells of each",
        "unknown": "no job or kept result has this handle",
    }
    fail(f"{handle}: {sentences.get(state, f'it is {state}, and --wait waits for its end')}", ExitCode.FAILED)
