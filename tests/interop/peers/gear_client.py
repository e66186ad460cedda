"""The client of the interoperability tests, with OpenStack's gear: gear_client.py HOST PORT JOB...

How a JOB is written and what is printed is told in __init__.py beside this file.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import gear

PRECEDENCES = {"high": gear.PRECEDENCE_HIGH, "low": gear.PRECEDENCE_LOW}


class Job(gear.Job):  # type: ignore[misc]
    def __init__(self, number: int, name: str, workload: bytes, unique: str) -> None:
        super().__init__(name, workload, unique or None)
        self.number = number
        self.over = threading.Event()
        self.answered = threading.Event()

    def tell(self, *words: object) -> None:
        print(self.number, *words, flush=True)


class Client(gear.Client):  # type: ignore[misc]
    """Tells what the library's handlers are called with; they run in its own thread."""

    def handleJobCreated(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleJobCreated(packet)
        job.tell("created", job.handle.decode())
        return job

    def handleWorkData(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkData(packet)
        job.tell("data", packet.getArgument(1, True).hex())
        return job

    def handleWorkWarning(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkWarning(packet)
        job.tell("warning", packet.getArgument(1, True).hex())
        return job

    def handleWorkStatus(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkStatus(packet)
        job.tell("status", job.numerator.decode(), job.denominator.decode())
        return job

    def handleStatusRes(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleStatusRes(packet)
        job.answered.set()
        return job

    def handleWorkComplete(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkComplete(packet)
        job.tell("complete", packet.getArgument(1, True).hex())
        job.over.set()
        return job

    def handleWorkFail(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkFail(packet)
        job.tell("fail")
        job.over.set()
        return job

    def handleWorkException(self, packet: Any) -> Any:  # noqa: N802
        job = super().handleWorkException(packet)
        job.tell("exception", job.exception.hex())
        job.over.set()
        return job


def poll(job: Job) -> None:
    """Tell a background job's status, whenever it changes, until the server does not know it any more.

    The library reads the answer but has no method for the question.
    """
    last = ""
    while True:
        job.answered.clear()
        question = gear.Packet(gear.constants.REQ, gear.constants.GET_STATUS, job.handle)
        job.connection.sendPacket(question)
        job.answered.wait(10)
        line = f"{job.known:d} {job.running:d} {job.numerator.decode()} {job.denominator.decode()}"
        if line != last:
            job.tell("polled", line)
            last = line
        if not job.known:
            return
        time.sleep(0.005)


def main(host: str, port: str, *words: str) -> None:
    client = Client()
    client.addServer(host, int(port))
    client.waitForServer(timeout=10)
    client.setOption("exceptions")
    waited_for = []
    for number, (mode, function, unique, file) in enumerate(zip(*[iter(words)] * 4, strict=True)):
        job = Job(number, function, Path(file).read_bytes(), unique)
        background = "background" in mode or mode == "poll"
        precedence = PRECEDENCES.get(mode.split("-")[0], gear.PRECEDENCE_NORMAL)
        client.submitJob(job, background=background, precedence=precedence)
        if mode == "poll":
            poll(job)
        elif not background:
            waited_for.append(job)
    for job in waited_for:
        job.over.wait()


main(*sys.argv[1:])
# The library's threads would take their time to end.
sys.stdout.flush()
sys.exit(0)
