"""`geartrain dead`: the jobs whose attempts are used up."""

from __future__ import annotations

import base64
import sys
from typing import Annotated, Any

import typer

from ..errors import GeartrainError, JobException
from .asking import ask, ask_one, when, when_in_table
from .exits import ExitCode, code_of, complain, fail
from .help import examples
from .output import JsonOption, printable, show_json, show_table
from .servers import ServerOption, end_with, servers_of

app = typer.Typer(
    name="dead",
    help="Look at background jobs whose attempts are used up, and queue or drop them.",
    no_args_is_help=True,
    epilog=examples(
        "geartrain dead list",
        "geartrain dead show H:myhost:1732459863000001",
        "geartrain dead requeue --function report",
        "geartrain dead drop H:myhost:1732459863000001",
    ),
)

HandlesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="HANDLE", help="Their handles.", show_default=False)
]
FunctionOption = Annotated[
    str, typer.Option("--function", "-f", help="All of this function.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", "-a", help="All of them.")]


@app.command(
    "list", epilog=examples("geartrain dead list --function report", "geartrain dead list --json | jq .")
)
def list_(
    function: FunctionOption = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="As many at most.")] = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the dead jobs, the oldest first.

    In a pipe each is a line of HANDLE, FUNCTION, ATTEMPTS, when it died and why, with tabs between them;
    with several servers the server's address comes first.
    """
    servers = servers_of(server)
    answers = ask(servers, "dead.list", {"limit": limit, **({"function": function} if function else {})})
    rows = [{"server": at, **row} for at, answer in answers.items() for row in answer]
    if as_json:
        show_json(rows)
    else:
        first = 0 if len(servers) > 1 else 1
        show_table(
            ["Server", "Handle", "Function", "#Attempts", "Died", "Reason"][first:],
            [
                [row["server"], row["handle"], row["function"], row["attempts"], *_last(row["history"])][
                    first:
                ]
                for row in rows
            ],
            "No job is dead.",
        )
    end_with(servers, answers)


@app.command(epilog=examples("geartrain dead show H:myhost:1732459863000001 --workload > workload.bin"))
def show(
    handle: Annotated[str, typer.Argument(metavar="HANDLE", help="The job's handle.", show_default=False)],
    workload: Annotated[bool, typer.Option("--workload", help="Only its workload, byte for byte.")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a dead job: its workload, and when and why each attempt came to nothing."""
    job = _first(servers_of(server), "dead.show", {"handle": handle})
    if workload:
        sys.stdout.buffer.write(_bytes(job))
        return
    if as_json:
        show_json(job)
        return
    for name in ("handle", "function", "unique", "attempts"):
        typer.echo(f"{name:9} {printable(str(job[name]))}")
    typer.echo(f"{'queued':9} {when(job['queued_at'])}")
    for attempt in job["history"]:
        typer.echo(f"{'attempt':9} {when(attempt['time'])}  {printable(attempt['reason'])}")
    size = len(_bytes(job))
    shown = f"  {printable(job['workload'][:200])}" if "workload" in job else ""
    typer.echo(f"{'workload':9} {size} bytes{shown}")


@app.command(epilog=examples("geartrain dead requeue --all"))
def requeue(
    handles: HandlesArgument = None,
    function: FunctionOption = "",
    everything: AllOption = False,
    server: ServerOption = None,
) -> None:
    """Queue dead jobs again, with all their attempts anew."""
    _change(servers_of(server), "requeue", handles or [], function, everything)


@app.command(epilog=examples("geartrain dead drop --function report"))
def drop(
    handles: HandlesArgument = None,
    function: FunctionOption = "",
    everything: AllOption = False,
    server: ServerOption = None,
) -> None:
    """Forget dead jobs for good."""
    _change(servers_of(server), "drop", handles or [], function, everything)


def _change(servers: list[str], what: str, handles: list[str], function: str, everything: bool) -> None:
    """Have jobs queued again or dropped, and say how many were."""
    ways = bool(handles) + bool(function) + everything
    if not ways:
        fail("name handles, or give --function or --all", ExitCode.USAGE)
    if ways > 1:
        fail("handles, --function and --all: only one of them goes", ExitCode.USAGE)
    key = {"requeue": "requeued", "drop": "dropped"}[what]
    if handles:
        _change_each(servers, what, handles, key)
    else:
        answers = ask(servers, f"dead.{what}", {"function": function} if function else {"all": True})
        _tell(what, sum(answer[key] for answer in answers.values()))
        end_with(servers, answers)


def _change_each(servers: list[str], what: str, handles: list[str], key: str) -> None:
    """Change those jobs that there are: who asked has to know which were changed, whatever the others are."""
    count = 0
    code = 0
    for handle in handles:
        try:
            count += _first(servers, f"dead.{what}", {"handle": handle})[key]
        except typer.Exit as end:
            code = max(code, end.exit_code)
            if code != ExitCode.FAILED and len(servers) == 1:
                break  # there is no server, and the next handle would not find one either
    if count or not code:
        _tell(what, count)
    if code:
        raise typer.Exit(code)


def _tell(what: str, count: int) -> None:
    typer.echo(f"{count:,} {'queued again' if what == 'requeue' else 'dropped'}")


def _first(servers: list[str], function: str, workload: dict[str, Any]) -> Any:
    """The answer of the first server that has one; without one, the command ends."""
    code = ExitCode.FAILED
    sentences = []
    for server in servers:
        try:
            return ask_one(server, function, workload)
        except JobException as error:
            sentences.append(f"{server}: {error}")
        except GeartrainError as error:
            sentences.append(str(error))
            code = code_of(error)
    for sentence in sentences:
        complain(sentence)
    raise typer.Exit(code)


def _last(history: list[dict[str, Any]]) -> tuple[str, str]:
    if not history:
        return "", ""
    return when_in_table(history[-1]["time"]), history[-1]["reason"]


def _bytes(job: dict[str, Any]) -> bytes:
    if "workload" in job:
        text: str = job["workload"]
        return text.encode()
    return base64.b64decode(job["workload_base64"])
