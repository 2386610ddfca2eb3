"""What a core may do: the outbox it leaves its effects in, and the inputs it is handed.

A core is a state machine without I/O. It reads no clock, draws no number, awaits nothing and holds no channel; whoever
runs it (the world, live mode, or a test that joins two cores by hand) takes the effects out after each input.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from kafsim.protocol.files import File
from kafsim.protocol.types import Address, CallId, ConnectionId, EventNumber, FlushKey, Header, Micros, TimerKey

SEND = 0
REPLY = 1
SET_TIMER = 2
CANCEL_TIMER = 3
FLUSH = 4
HAPPENED = 5
ANSWER_CALL = 6
CONNECT = 7
CLOSE = 8
EXIT = 9

Effect = tuple[Any, ...]
"""One of the kinds above, then its arguments; plain tuples, since an object each would cost more than the effect."""


class Terminate(NamedTuple):
    """The call that is SIGTERM: leave in good order."""


class Core(Protocol):
    """The inputs of a core. Each is handled to its end before the next one comes."""

    def on_start(self, now: Micros) -> None: ...
    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None: ...
    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None: ...
    def on_timer(self, now: Micros, key: TimerKey) -> None: ...
    def on_flushed(self, now: Micros, key: FlushKey) -> None: ...
    def on_call(self, now: Micros, call: CallId, request: Any) -> None: ...
    def on_cancel(self, now: Micros, call: CallId) -> None: ...


class Outbox:
    """Where a core leaves its effects, in the order in which they are to happen."""

    __slots__ = ("_next_connection", "effects", "event", "heard")

    def __init__(self, first_connection: int = 1) -> None:
        self.effects: list[Effect] = []
        self.event = EventNumber(0)
        """The event being handled. A core that parks work keeps it, to name it later as a cause."""
        self.heard = 0
        """The highest level of facts that somebody listens to; ask before making a fact on a hot path."""
        self._next_connection = first_connection

    def connect(self, peer: Address, purpose: str) -> ConnectionId:
        """Open a connection for one purpose. Nothing tells of success: a dead peer is an ``on_disconnect``."""
        connection = ConnectionId(self._next_connection)
        self._next_connection += 1
        self.effects.append((CONNECT, connection, peer, purpose))
        return connection

    def close(self, connection: ConnectionId) -> None:
        """Give a connection up; whatever is still under way on it is lost, and no ``on_disconnect`` follows here."""
        self.effects.append((CLOSE, connection))

    def send(self, connection: ConnectionId, header: Header, body: object) -> None:
        self.effects.append((SEND, connection, header, body))

    def reply(self, connection: ConnectionId, header: Header, body: object) -> None:
        self.effects.append((REPLY, connection, header, body))

    def set_timer(self, key: TimerKey, at: Micros) -> None:
        """Ask for ``on_timer(key)`` at a time; an earlier wish under the same key is forgotten."""
        self.effects.append((SET_TIMER, key, at))

    def cancel_timer(self, key: TimerKey) -> None:
        self.effects.append((CANCEL_TIMER, key))

    def flush(self, file: File, key: FlushKey | None = None) -> None:
        """Make durable what the file holds now; answered by ``on_flushed(key)``, or by nothing when there is no key."""
        self.effects.append((FLUSH, file, key))

    def happened(self, fact: object, *causes: EventNumber) -> None:
        """State a fact. ``causes`` are events kept from earlier, beside the one being handled."""
        self.effects.append((HAPPENED, fact, causes))

    def answer_call(self, call: CallId, answer: object) -> None:
        """Answer a handle; an exception is raised there."""
        self.effects.append((ANSWER_CALL, call, answer))

    def exit(self) -> None:
        """The node has done what it wanted to do and ends itself (a controlled shutdown)."""
        self.effects.append((EXIT,))
