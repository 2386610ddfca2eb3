"""A core that notes what it is handed, and a world with two of them."""

from __future__ import annotations

from typing import Any

import attrs

from kafsim.cluster.world import Shape, World
from kafsim.protocol import codec
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, Header

A, B = Address("", "a", 1), Address("", "b", 1)


@attrs.frozen
class Note:
    text: str


if Note not in codec.by_class:
    codec.register(Note, "tests.Note")


class Noting:
    """Notes every input with its time; ``do`` lets a test act inside the core."""

    def __init__(self, given: Surroundings, notes: list[tuple[Any, ...]]) -> None:
        self.given, self.outbox, self.notes = given, given.outbox, notes

    def note(self, now, *what):
        self.notes.append((now, *what))

    def on_start(self, now):
        self.note(now, "start", self.given.incarnation)

    def on_message(self, now, connection, header, body):
        self.note(now, "message", body.text)
        if body.text.startswith("echo"):
            self.outbox.reply(connection, header, Note("re:" + body.text))

    def on_disconnect(self, now, connection):
        self.note(now, "disconnect")

    def on_timer(self, now, key):
        self.note(now, "timer", key)

    def on_flushed(self, now, key):
        self.note(now, "flushed", key)

    def on_call(self, now, call, request):
        self.note(now, "call")
        request(self, now, call)

    def on_cancel(self, now, call):
        self.note(now, "cancel")


class Two:
    """Nodes a and b with their notes; latency is 100 us exactly unless told otherwise."""

    def __init__(self, *, spread: int = 0, listeners=(), **shape: Any) -> None:
        self.world = World(Shape(latency_base_us=100, latency_spread_us=spread, **shape), listeners)
        self.a_notes: list[Any] = []
        self.b_notes: list[Any] = []
        self.a = self.world.add(A, lambda given: Noting(given, self.a_notes))
        self.b = self.world.add(B, lambda given: Noting(given, self.b_notes))
        self.connection = None

    def start(self) -> None:
        self.b.start()
        self.a.start()

    def act(self, node, do) -> None:
        """Run ``do(core, now, call)`` inside the core, as an event of this instant."""
        self.world.call(node, do, "acting")

    def send(self, *texts: str) -> None:
        def do(core, now, call):
            if self.connection is None:
                self.connection = core.outbox.connect(B, "test")
            for text in texts:
                core.outbox.send(self.connection, Header(0, 0, 0), Note(text))

        self.act(self.a, do)

    def texts(self, notes) -> list[str]:
        return [note[2] for note in notes if note[1] == "message"]
