"""What the blocking shell does with its sockets: opening and closing them, reading and writing."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, Final

from ..sockets import has_hung_up
from .channel import NOTHING, Alarm, Channel, reason_of
from .engine import Engine
from .link import CONNECTING, UP, Link
from .record import TaskRecord

Aside = Generator[tuple[Callable[..., object], tuple[Any, ...]], None, None]
"""Work that is done with the client's lock held, but for what it yields: a function and its arguments, which
are called without the lock."""

READ_SIZE: Final = 60 * 1024
"""Bytes that are read at once at most. From 64 KiB on the C library would tidy its memory up each time."""
STALE_AFTER: Final = 0.05
"""Seconds without a look at the sockets after which a connection is checked before it is used again."""

_READ: Final = select.POLLIN
_WRITE: Final = select.POLLOUT


class Traffic:
    """The part of the blocking client that moves bytes.

    Args:
        engine: whose links are opened, written, read and closed.
    """

    poll: select.poll
    alarm: Alarm
    channels: dict[int, Channel]
    _ended: float
    """When the sockets were last looked at."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _open_and_close(self) -> Aside:
        """Do what the engine asks for: unwanted connections first, since a link may be in both lists."""
        engine = self.engine
        while engine.unwanted or engine.wanted:
            self._close_unwanted()
            if engine.wanted:
                yield from self._open()

    def _close_unwanted(self) -> None:
        unwanted = self.engine.unwanted
        while unwanted:
            channel = unwanted[-1].channel
            if channel is not None:
                self._close(channel)
            unwanted.pop()

    def _open(self) -> Aside:
        """Begin to connect to the first server that is wanted."""
        wanted = self.engine.wanted
        link = wanted[0]
        attempt = link.attempt
        channel = Channel(link)
        try:
            del wanted[0]
            link.channel = channel
            self.poll.register(self.alarm.open(), _READ)
            # Names are looked up where others can go on meanwhile.
            yield channel.look_up, ()
            if link.state != CONNECTING or link.attempt != attempt:
                return
            if channel.connect():
                self._register(channel)
            else:
                link.channel = None
                self.engine.lost(link, channel.reason, monotonic())
        except BaseException:
            self._doubt(channel)
            raise

    def _register(self, channel: Channel) -> None:
        assert channel.socket is not None
        channel.descriptor = channel.socket.fileno()
        channel.changed = True
        self.channels[channel.descriptor] = channel
        # A connection that is being opened is ready when it can be written to.
        self.poll.register(
            channel.descriptor, _READ | _WRITE if channel.blocked else _READ if channel.open else _WRITE
        )

    def _unregister(self, channel: Channel) -> None:
        if self.channels.get(channel.descriptor) is channel:
            with contextlib.suppress(KeyError):
                self.poll.unregister(channel.descriptor)
            del self.channels[channel.descriptor]

    def _close(self, channel: Channel) -> None:
        self._unregister(channel)
        channel.close()
        if channel.link.channel is channel:
            channel.link.channel = None

    def _lose(self, channel: Channel, reason: str, now: float) -> None:
        self._close(channel)
        self.engine.lost(channel.link, reason, now)

    def _doubt(self, channel: Channel) -> None:
        """A signal's handler raised while a channel was used: how much was read or written nobody knows."""
        self._close(channel)
        if channel.link.channel is None:
            self.engine.lost(channel.link, "a signal came in between", monotonic(), blamed=False)

    def _ready(self, channel: Channel, event: int, now: float) -> None:
        try:
            channel.changed = False
            if not channel.open:
                self._opened(channel, now)
                return
            if event & _WRITE:
                self.engine.wrote(channel.link, now)
                channel.blocked = False
                self.poll.modify(channel.descriptor, _READ)
                self._write(channel, now)
            if event & ~_WRITE and channel.socket is not None:
                self._read(channel, now)
        except BaseException:
            self._doubt(channel)
            raise

    def _opened(self, channel: Channel, now: float) -> None:
        """An attempt to connect is over."""
        self._unregister(channel)
        if not channel.finish():
            self._lose(channel, channel.reason, now)
            return
        self._register(channel)
        if channel.open:
            self.engine.connected(channel.link, now)

    def _read(self, channel: Channel, now: float) -> None:
        assert channel.socket is not None
        try:
            data = channel.socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(channel, reason_of(error), now)
            return
        if data:
            self.engine.received(channel.link, data, now)
        else:
            self._lose(channel, "the server closed the connection", now)

    def _flush(self, now: float) -> tuple[bool, bool]:
        """Write one chunk to each server that has one waiting.

        Says whether anything was written or lost, and whether there is more to write at once.
        """
        wrote = more = False
        for link in self.engine.links:
            if link.queue and link.state == UP:
                channel: Channel | None = link.channel
                if channel is None or channel.blocked:
                    continue
                try:
                    if self._is_doubtful(link, now) and has_hung_up(channel.descriptor):
                        # What is not sent to a server that is gone can be sent elsewhere without a doubt.
                        while link.state == UP and has_hung_up(channel.descriptor):
                            self._read(channel, now)
                        if link.state != UP:
                            return True, True
                    self._write(channel, now)
                except BaseException:
                    self._doubt(channel)
                    raise
                wrote = True
                more = more or link.state != UP or bool(link.queue and not channel.blocked)
        return wrote, more

    def _is_doubtful(self, link: Link, now: float) -> bool:
        """Whether to ask the system if a connection still stands.

        Not if it was used just now and what is to be sent is a job that may be sent twice.
        """
        first = link.queue[0]
        return (
            now - self._ended > STALE_AFTER
            or len(link.queue) > 1
            or (isinstance(first, TaskRecord) and first.background)
        )

    def _write(self, channel: Channel, now: float) -> None:
        assert channel.socket is not None
        data: bytes | memoryview = channel.unsent or self.engine.outgoing(channel.link, now)
        try:
            sent = channel.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            channel.link.unsent = len(data)
            self._lose(channel, reason_of(error), now)
            return
        channel.unsent = memoryview(data)[sent:] if sent < len(data) else NOTHING
        channel.link.unsent = len(channel.unsent)
        if channel.unsent and not channel.blocked:
            channel.blocked = channel.changed = True
            self.poll.modify(channel.descriptor, _READ | _WRITE)
