"""The whole protocol in one conversation: every packet type, in every direction that it has."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.harness.rawwire import REQ, Argument, Packet, RawPeer, Received
from tests.harness.servers import JobServer

TO_SERVER = {
    *(Packet.CAN_DO, Packet.CANT_DO, Packet.RESET_ABILITIES, Packet.PRE_SLEEP, Packet.CAN_DO_TIMEOUT),
    *(Packet.GRAB_JOB, Packet.GRAB_JOB_UNIQ, Packet.GRAB_JOB_ALL, Packet.ALL_YOURS, Packet.SET_CLIENT_ID),
    *(Packet.WORK_STATUS, Packet.WORK_COMPLETE, Packet.WORK_FAIL, Packet.WORK_EXCEPTION),
    *(Packet.WORK_DATA, Packet.WORK_WARNING),
    *(Packet.SUBMIT_JOB, Packet.SUBMIT_JOB_HIGH, Packet.SUBMIT_JOB_LOW),
    *(Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_HIGH_BG, Packet.SUBMIT_JOB_LOW_BG),
    *(Packet.SUBMIT_JOB_SCHED, Packet.SUBMIT_JOB_EPOCH),
    *(Packet.SUBMIT_REDUCE_JOB, Packet.SUBMIT_REDUCE_JOB_BACKGROUND),
    *(Packet.GET_STATUS, Packet.GET_STATUS_UNIQUE, Packet.OPTION_REQ, Packet.ECHO_REQ),
}
FROM_SERVER = {
    *(Packet.NOOP, Packet.NO_JOB, Packet.JOB_ASSIGN, Packet.JOB_ASSIGN_UNIQ, Packet.JOB_ASSIGN_ALL),
    *(Packet.JOB_CREATED, Packet.STATUS_RES, Packet.STATUS_RES_UNIQUE, Packet.OPTION_RES, Packet.ECHO_RES),
    *(Packet.WORK_STATUS, Packet.WORK_COMPLETE, Packet.WORK_FAIL, Packet.WORK_EXCEPTION),
    *(Packet.WORK_DATA, Packet.WORK_WARNING, Packet.ERROR),
}


class RecordingPeer(RawPeer):
    """Remembers the types of what went over the wire."""

    def __init__(self, server: JobServer) -> None:
        super().__init__(server.host, server.port)
        self.sent: set[int] = set()
        self.got: set[int] = set()

    def send(self, type: int, *args: Argument, magic: bytes = REQ) -> None:
        super().send(type, *args, magic=magic)
        self.sent.add(type)

    def recv(self, timeout: float | None = None) -> Received:
        packet = super().recv(timeout)
        self.got.add(packet.type)
        return packet


def test_every_packet_type_there_is(server: JobServer, function: str) -> None:
    assert set(Packet) == TO_SERVER | FROM_SERVER
    with ExitStack() as stack:
        client, worker = (stack.enter_context(RecordingPeer(server)) for _ in range(2))
        client.send(Packet.OPTION_REQ, "exceptions")
        client.expect(Packet.OPTION_RES, "exceptions")

        # A worker says what it can do, finds nothing, sleeps and is woken.
        worker.send(Packet.SET_CLIENT_ID, "every-packet")
        worker.send(Packet.CAN_DO_TIMEOUT, function + "-other", 60_000)
        worker.send(Packet.CANT_DO, function + "-other")
        worker.send(Packet.RESET_ABILITIES)
        worker.can_do(function)
        worker.grab_nothing()
        worker.send(Packet.PRE_SLEEP)
        worker.sync()
        first = client.submit(function, "workload", unique=function)
        worker.expect(Packet.NOOP)

        # It says all it can of its jobs.
        worker.send(Packet.GRAB_JOB_UNIQ)
        worker.expect(Packet.JOB_ASSIGN_UNIQ, first, function, function, "workload")
        worker.send(Packet.WORK_STATUS, first, 1, 2)
        client.expect(Packet.WORK_STATUS, first, 1, 2)
        assert client.status(first).denominator == b"2"
        assert client.status_unique(function).denominator == b"2"
        worker.send(Packet.WORK_WARNING, first, "warning")
        client.expect(Packet.WORK_WARNING, first, "warning")
        worker.send(Packet.WORK_DATA, first, "data")
        client.expect(Packet.WORK_DATA, first, "data")
        worker.send(Packet.WORK_COMPLETE, first, "result")
        client.expect(Packet.WORK_COMPLETE, first, "result")
        second = client.submit(function, type=Packet.SUBMIT_JOB_HIGH)
        assert worker.grab().handle == second
        worker.send(Packet.WORK_FAIL, second)
        client.expect(Packet.WORK_FAIL, second)
        third = client.submit(function, type=Packet.SUBMIT_JOB_LOW)
        assert worker.grab().handle == third
        worker.send(Packet.WORK_EXCEPTION, third, "exception")
        client.expect(Packet.WORK_EXCEPTION, third, "exception")

        # Every other form of submission.
        forms = (Packet.SUBMIT_JOB_BG, Packet.SUBMIT_JOB_HIGH_BG, Packet.SUBMIT_JOB_LOW_BG)
        handles = {client.submit(function, type=form) for form in forms}
        client.send(Packet.SUBMIT_JOB_EPOCH, function, "", int(time.time()) - 1, "workload")
        handles |= set(client.expect(Packet.JOB_CREATED))
        client.send(Packet.SUBMIT_REDUCE_JOB_BACKGROUND, function, "", "reducer", "0", "workload")
        handles |= set(client.expect(Packet.JOB_CREATED))
        assert {worker.grab().handle for _ in handles} == handles
        client.send(Packet.SUBMIT_REDUCE_JOB, function, "unique", "reducer", "0", "workload")
        reduce = client.expect(Packet.JOB_CREATED)[0]
        worker.send(Packet.GRAB_JOB_ALL)
        worker.expect(Packet.JOB_ASSIGN_ALL, reduce, function, "unique", "reducer", "workload")

        # What is defined and refused.
        client.send(Packet.SUBMIT_JOB_SCHED, function, "", "0", "0", "1", "1", "*", "workload")
        if server.kind == "geartrain":
            client.expect(Packet.JOB_CREATED)  # it runs in January; gearmand knows the packet and refuses it
        else:
            client.expect_error("INVALID_COMMAND")
        worker.send(Packet.ALL_YOURS)
        worker.expect_error("INVALID_COMMAND")

        client.expect_nothing()
        worker.expect_nothing()
        assert client.sent | worker.sent == TO_SERVER
        assert client.got | worker.got == FROM_SERVER
