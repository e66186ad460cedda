"""Workers against real job servers."""

from __future__ import annotations

import threading

from geartrain import Job, Worker
from tests.harness.rawwire import Packet
from tests.server.running import RunningServer


def test_a_worker_answers_with_what_its_handler_returns() -> None:
    with RunningServer() as server, server.connect() as client:
        worker = Worker(f"127.0.0.1:{server.port}")

        @worker.function("reverse")
        def reverse(job: Job) -> bytes:
            return job.workload[::-1]

        client.submit("reverse", b"hello")
        assert worker.work_one(10)
        assert client.expect(Packet.WORK_COMPLETE)[1] == b"olleh"
        worker.close()


def test_run_returns_after_max_jobs_and_works_in_a_thread() -> None:
    with RunningServer() as server, server.connect() as client:
        worker = Worker(f"127.0.0.1:{server.port}")
        worker.register("echo", lambda job: job.workload)
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(worker.run(max_jobs=3)))
        thread.start()
        for _ in range(3):
            client.submit("echo", b"hello")
            client.expect(Packet.WORK_COMPLETE)
        thread.join(10)
        assert done == [3]
