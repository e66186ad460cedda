"""What must hold of the job server, whatever happens. A `Violation` says what did not.

The first four are looked at after every step, the others now and then; `drained` at the end.
"""

from __future__ import annotations

from collections.abc import Mapping

from geartrain.broker import Broker
from geartrain.broker import Peer as BrokerPeer
from geartrain.broker.records import JobRecord

from .model import Model
from .parts import GRACE, Function, Peer


class Violation(AssertionError):  # noqa: N818 - it is what it is called
    """The job server did something that it must never do."""


def events_reach_exactly_their_clients_in_order(peer: Peer, told: bytes) -> None:
    """A connection is told what concerns it, all of that, nothing else, and in order.

    That covers more than events: the job that a grab is answered with (so priority and FIFO hold within a
    function), submissions that a full queue refuses (so its bound holds), and acknowledgements (so none is
    seen before its commit, and none is missing after it).
    """
    expected = peer.may_be_told()
    if told != expected:
        raise Violation(f"a connection was told\n  {told!r} and not\n  {expected!r}")


def only_sleepers_are_woken(peer: Peer, wakes: int) -> None:
    """NOOP goes to a worker that sleeps, and only once.

    One that waits for a commit as a client may get it late, behind its acknowledgement.
    """
    if not peer.is_late and (wakes > 1 or not peer.sleeping):
        raise Violation(f"{wakes} NOOPs for a worker that {'sleeps' if peer.sleeping else 'does not sleep'}")


def no_job_waits_while_a_capable_worker_sleeps(model: Model, function: Function) -> None:
    """Where a worker sleeps, as many others are awake for its function as jobs may start now.

    A worker that was woken and did not grab counts for as long as its grace lasts.
    """
    demand = function.demand()
    if not demand:
        return
    woken = sleeping = 0
    for worker in function.workers:
        if worker.is_held:
            woken += 1  # or will be, when its acknowledgement lets the NOOP behind it through
        elif worker.sleeping:
            sleeping += 1
        elif worker.woken_at >= 0 and model.ticks - worker.woken_at < GRACE:
            woken += 1
    if sleeping and woken < demand:
        raise Violation(
            f"{demand} jobs of {function.name!r} could start, {woken} workers were woken, {sleeping} sleep"
        )


def wakes_are_in_balance(broker: Broker) -> None:
    """The same, as the broker keeps count of it: each wake in flight matches one job of its function."""
    woken: dict[bytes, int] = {}
    sleeping: set[bytes] = set()
    for peer in broker.peers:
        if peer.woken_for is not None:
            woken[peer.woken_for.name] = woken.get(peer.woken_for.name, 0) + 1
        if peer.sleeping:
            sleeping.update(peer.abilities)
    for name, function in broker.functions.items():
        if function.woken != woken.get(name, 0):
            raise Violation(
                f"{function.woken} wakes for {name!r} are counted, {woken.get(name, 0)} in flight"
            )
        if name in sleeping and function.demand() > function.woken:
            raise Violation(
                f"{function.demand()} jobs of {name!r} could start, {function.woken} wakes in flight"
            )


def the_journal_holds_what_was_committed(model: Model, kept: Mapping[int, JobRecord]) -> None:
    """A commit leaves exactly the background jobs behind that have not ended: none lost, none invented."""
    expected = {key[1]: value for key, value in model.durable.items() if key[0] == "job"}
    if expected.keys() != kept.keys():
        raise Violation(
            f"the journal lacks {expected.keys() - kept.keys()}, has {kept.keys() - expected.keys()} too many"
        )


def no_acknowledged_job_is_lost(model: Model, broker: Broker) -> None:
    """A background job that somebody holds an acknowledgement for is there until it ended or was dropped."""
    for handle in model.promised:
        if handle not in broker.jobs.by_handle and handle not in broker.jobs.dead:
            raise Violation(f"{handle!r} was acknowledged and is gone")


def every_job_is_where_it_should_be(model: Model, broker: Broker) -> None:
    """The same jobs live, in the same states, with the same attempts behind them."""
    jobs = broker.jobs
    live = {job.handle for job in jobs.by_handle.values()}
    dead = {job.handle for job in jobs.dead.values()}
    if live != model.jobs.keys() or dead != model.dead.keys():
        raise Violation(
            f"jobs: {sorted(live ^ model.jobs.keys())}, "
            f"dead: {sorted(dead ^ model.dead.keys())} are only on one side"
        )
    for handle, expected in (*model.jobs.items(), *model.dead.items()):
        job = jobs.by_handle.get(handle) or jobs.dead.get(handle)
        assert job is not None
        found = ("running" if job.worker else "queued" if job.queued else "elsewhere", job.attempts)
        state = expected.state if expected.state in ("running", "queued") else "elsewhere"
        if found != (state, expected.attempts) or job.background != expected.background:
            raise Violation(f"{handle!r} is {found}, not {(state, expected.attempts)}")


def a_job_runs_on_one_worker_at_a_time(broker: Broker) -> None:
    """No two connections run the same job, and a running job is in no queue."""
    runs: dict[bytes, BrokerPeer] = {}
    for peer in broker.peers:
        for handle, job in peer.running.items():
            if handle in runs or job.worker is not peer or job.queued:
                raise Violation(f"{handle!r} runs twice, or waits while it runs")
            runs[handle] = peer
    if len(runs) != sum(function.running for function in broker.functions.values()):
        raise Violation("running jobs are counted wrongly")


def bounds_hold(model: Model, broker: Broker) -> None:
    """Concurrency, and the number and bytes of kept results."""
    for name, function in broker.functions.items():
        policy = function.policy
        if policy.concurrency and function.running > max(policy.concurrency, model.functions[name].running):
            raise Violation(f"{name!r} runs {function.running} jobs, {policy.concurrency} may run")
    if len(broker.jobs.results) != len(model.results) or len(model.results) > model.max_results:
        raise Violation(f"{len(broker.jobs.results)} results are kept, not {len(model.results)}")


def drained(broker: Broker) -> None:
    """When every job has ended and every connection is gone, nothing of them is left in memory."""
    jobs = broker.jobs
    left: dict[str, int] = {
        "peers": len(broker.peers),
        "jobs": len(jobs.by_handle),
        "dead": len(jobs.dead),
        "results": len(jobs.results),
        "dated": len(jobs._dated),
        "resting": len(jobs._resting),
        "deadlines": len(jobs._deadlines),
        "waiters": len(jobs.waiters) + len(jobs.waiters._by_job) + len(jobs.waiters._by_peer),
        "bytes": jobs.bytes,
        "grabs": len(broker._dispatch.patience.peers),
    }
    for name, function in broker.functions.items():
        at = name.decode()
        left[f"{at}: waiting"] = function.waiting
        left[f"{at}: running"] = function.running
        left[f"{at}: total"] = function.total
        left[f"{at}: woken"] = function.woken
        left[f"{at}: workers"] = function.workers
        left[f"{at}: uniques"] = len(function.uniques) + len(function.workloads)
        left[f"{at}: sleepers"] = function.sleepers.first is not None
        left[f"{at}: queues"] = sum(queue.first is not None for queue in function.queues)
    if wrong := {name: count for name, count in left.items() if count}:
        raise Violation(f"left in memory: {wrong}")
