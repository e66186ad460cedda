"""The exception tree: each error survives being copied, pickled, and sent between processes."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import geartrain
from geartrain import errors as e

TIMEOUT = 60.0


class PictureError(e.JobException):
    """A program's own class, with a constructor of its own and with slots."""

    __slots__ = ("__secret", "corner")

    def __init__(self, *, size: int, corner: str = "top") -> None:
        super().__init__(f"{size} pixels")
        self.size = size
        self.corner = corner
        self.__secret = size + 1

    @property
    def secret(self) -> int:
        return self.__secret


@dataclass(frozen=True, slots=True)
class FrozenError(e.JobError):
    """A program's own class whose attributes can't be set."""

    place: str
    code: int = 0


class MixedError(e.JobFailed, KeyError):
    def __init__(self, key: str, cause: Exception) -> None:
        super().__init__(f"no {key}")
        self.key = key
        self.original = cause


class SystemWaitError(e.WaitTimeoutError):
    def __init__(self, place: str) -> None:
        OSError.__init__(self, 110, "timed out", place)
        self.place = place


class ForeignError(Exception):
    """Can be pickled and not unpickled, as many classes of other libraries."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


def caused(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        raised.add_note("in step 2")
        return raised


EXAMPLES: list[e.GeartrainError] = [
    e.GeartrainError("one", 2),
    e.ProtocolError("no packet"),
    e.MalformedPacketError("no number"),
    e.PacketTooLargeError(9, 8),
    e.LineTooLongError(8),
    e.ConfigError("port = x"),
    e.JournalError("the disk is full"),
    e.ClosedError(),
    e.ConnectionLostError("host:4730", "refused"),
    e.NoServersError({"host:4730": "refused", "unix:/s": "no such file"}),
    e.ServerError("QUEUE_FULL", "too many"),
    e.WaitTimeoutError("f: no result within 1 s", function="f", workers=0, waiting=3),
    e.JobError("ended", "H:1"),
    e.JobFailed(handle="H:1"),
    e.JobException(b"\xff\0no", "H:1"),
    e.UnknownJobError("H:1"),
    e.TimeLimitError(1.5, "H:1"),
    e.JobLostError("gone", "H:1"),
    e.ArgumentError("f", "a", "no number"),
    e.ResultError("f", "no number", b"\xff"),
    e.GroupError({1: e.JobFailed(), 2: e.JobException(b"no")}, [1, None, None]),
    PictureError(size=4),
    FrozenError("here", 3),
    MixedError("key", ValueError("x")),
    SystemWaitError("there"),
    caused(e.JobFailed(), e.JobException(b"inner")),  # type: ignore[list-item]
]


def all_below(cls: type) -> Iterator[type]:
    yield cls
    below: type
    for below in cls.__subclasses__():
        yield from all_below(below)


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS = [copy.copy, copy.deepcopy, *map(pickled, range(pickle.HIGHEST_PROTOCOL + 1))]
NAMES = ["copy", "deepcopy", *(f"pickle {protocol}" for protocol in range(pickle.HIGHEST_PROTOCOL + 1))]


def fields(error: BaseException) -> dict[str, Any]:
    """All that is known of an error; errors among it in words, as two are never equal."""
    state = object.__getstate__(error) if isinstance(error, PictureError) else vars(error)
    known = {"fields": state, "cause": error.__cause__, "suppressed": error.__suppress_context__}
    return known | {"type": type(error), "text": str(error), "repr": repr(error), "args": error.args}


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_copied_and_pickled_with_its_text_and_fields(
    error: e.GeartrainError, way: Callable[[Any], Any]
) -> None:
    other = way(error)
    assert other is not error
    assert repr(fields(other)) == repr(fields(error))
    with pytest.raises(type(error)) as raised:
        raise other
    assert str(raised.value) == str(error)


def test_every_class_of_the_tree_has_an_example() -> None:
    for module in pkgutil.walk_packages(geartrain.__path__, "geartrain."):
        if module.name != "geartrain.__main__" and "django" not in module.name:
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # a library of an extra that is not installed
    ours = {cls for cls in all_below(e.GeartrainError) if cls.__module__ == "geartrain.errors"}
    assert ours == {type(error) for error in EXAMPLES if type(error).__module__ == "geartrain.errors"}
    # What other rooms add inherits what makes it so.
    for cls in all_below(e.GeartrainError):
        assert "__reduce__" not in vars(cls) or cls is e.GeartrainError, cls


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_slots_and_private_fields_of_a_programs_own_error_stay(way: Callable[[Any], Any]) -> None:
    other = way(PictureError(size=4, corner="left"))
    assert (other.size, other.corner, other.secret, other.data) == (4, "left", 5, b"4 pixels")
    frozen = way(FrozenError("here", 3))
    assert (frozen.place, frozen.code) == ("here", 3)


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_an_error_may_hold_itself(way: Callable[[Any], Any]) -> None:
    error = e.JobFailed()
    error.me = error  # type: ignore[attr-defined]
    other = way(error)
    assert other.me is (error if way is copy.copy else other)


def test_a_copy_of_a_group_error_shares_its_failures() -> None:
    foreign = ForeignError("bad", 3)
    error = e.GroupError({0: foreign, 1: e.JobFailed()}, [None, None])
    other = copy.copy(error)
    assert other.failures == error.failures
    assert other.__cause__ is foreign
    deep = copy.deepcopy(error)
    assert type(deep.failures[0]) is ForeignError
    assert deep.failures[1] is not error.failures[1]


def test_an_exception_that_can_not_be_unpickled_does_not_keep_ours_from_it() -> None:
    group = e.GroupError({0: ForeignError("bad", 3), 1: ValueError("x")}, [None, None])
    other = pickle.loads(pickle.dumps(group))
    assert str(other) == str(group)
    assert repr(other.failures) == "{0: GeartrainError('ForeignError: bad'), 1: ValueError('x')}"
    assert str(other.__cause__) == "ForeignError: bad"
    caused_by = pickle.loads(pickle.dumps(caused(e.JobFailed(), ForeignError("bad", 3))))
    assert str(caused_by.__cause__) == "ForeignError: bad"
    assert caused_by.__notes__ == ["in step 2"]


# A pool takes the traceback off, as no frozen class lets it.
CAN_BE_RAISED_THERE = [index for index, error in enumerate(EXAMPLES) if not isinstance(error, FrozenError)]


def raise_example(index: int) -> None:
    raise EXAMPLES[index]


def test_a_process_pool_raises_each_error_in_its_parent() -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        for index in CAN_BE_RAISED_THERE:
            error = EXAMPLES[index]
            other = executor.submit(raise_example, index).exception(TIMEOUT)
            assert type(other) is type(error)
            assert str(other) == str(error)
    with spawn.Pool(1) as pool:
        for index in CAN_BE_RAISED_THERE:
            error = EXAMPLES[index]
            with pytest.raises(type(error)) as raised:
                pool.apply_async(raise_example, (index,)).get(TIMEOUT)
            assert str(raised.value) == str(error)


@pytest.mark.parametrize(
    ("given", "data", "text"),
    [
        ("the picture is too small", b"the picture is too small", "the picture is too small"),
        ("zu groß", "zu groß".encode(), "zu groß"),
        (b"\xff\0", b"\xff\0", "\ufffd\0"),
        (bytearray(b"a"), b"a", "a"),
        (memoryview(b"a"), b"a", "a"),
        ("half \udc80", b"half \\udc80", "half \\udc80"),
        ("", b"", ""),
    ],
)
def test_a_job_exception_takes_text_and_bytes(given: Any, data: bytes, text: str) -> None:
    error = e.JobException(given)
    assert (error.data, str(error)) == (data, text)
    assert e.JobException().data == b""


def test_a_job_exception_of_something_else_says_so() -> None:
    with pytest.raises(TypeError, match="str or bytes, not ValueError"):
        e.JobException(ValueError("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("workers", "waiting", "text"),
    [
        (0, 1, "late: no worker of 'f' is connected; 1 job waits"),
        (1, 0, "late: 1 worker of 'f' is connected; no job waits"),
        (2, 3, "late: 2 workers of 'f' are connected; 3 jobs wait"),
        (None, None, "late"),
    ],
)
def test_a_time_out_says_why(workers: int | None, waiting: int | None, text: str) -> None:
    assert str(e.WaitTimeoutError("late", function="f", workers=workers, waiting=waiting)) == text
