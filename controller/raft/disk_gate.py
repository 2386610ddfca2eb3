"""What a node of the quorum does while its disk works: nothing else (Kafka: the one thread of ``KafkaRaftClient``).

Inputs wait while epoch and vote, or what was appended, are on their way to the disk. What others will see of a new
epoch or vote waits for them too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kafsim.protocol.effects import Outbox
from kafsim.protocol.files import File
from kafsim.protocol.types import FlushKey, Micros

Act = Callable[[Micros], None]


class DiskGate:
    """``poll`` is called after every input that was handled."""

    def __init__(self, outbox: Outbox, poll: Act) -> None:
        self._outbox = outbox
        self._poll = poll
        self._persisting = 0
        self._persisted = 0
        self._waiting: deque[Act] = deque()
        self._flushes: dict[int, Act] = {}
        """What to do once what was appended is on the disk."""
        self._flush_number = 0
        self._outputs: list[Callable[[], None]] = []

    @property
    def is_busy(self) -> bool:
        """Does the disk keep this node from anything else?"""
        return self._persisting > self._persisted or bool(self._flushes)

    def enter(self, now: Micros, act: Act) -> None:
        if self.is_busy:
            self._waiting.append(act)
            return
        act(now)
        self._poll(now)

    def flush_log(self, file: File, then: Act) -> None:
        self._flush_number += 1
        self._flushes[self._flush_number] = then
        self._outbox.flush(file, ("raft", "log", self._flush_number))

    def persist(self, file: File) -> None:
        """Epoch and vote."""
        self._persisting += 1
        self._outbox.flush(file, ("raft", "state", self._persisting))

    def emit(self, output: Callable[[], None]) -> None:
        """Something that others will see: at once, or when epoch and vote are on the disk."""
        if self._persisting > self._persisted:
            self._outputs.append(output)
        else:
            output()

    def on_flushed(self, now: Micros, key: FlushKey) -> None:
        number = int(key[2])
        if key[1] == "state":
            self._on_persisted(now, number)
        else:
            self._flushes.pop(number)(now)
            self._go_on(now)

    def _on_persisted(self, now: Micros, number: int) -> None:
        self._persisted = number
        if number < self._persisting:
            return
        outputs, self._outputs = self._outputs, []
        for output in outputs:
            output()
        self._go_on(now)

    def _go_on(self, now: Micros) -> None:
        while self._waiting and not self.is_busy:
            self._waiting.popleft()(now)
        self._poll(now)
