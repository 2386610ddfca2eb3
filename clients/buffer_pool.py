"""The memory of a producer (Kafka: ``BufferPool``): each batch takes its share whole and gives it back in the end.

Who finds too little waits. The one who waits longest takes what becomes free piece by piece; who needs no more than
there is takes it at once, though others wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class Waiter:
    """``on_ready``: told once all is there."""

    size: int
    on_ready: Callable[[], None]
    got: int = 0


class BufferPool:
    """``total``: buffer.memory, in bytes."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.available = total
        self._waiting: deque[Waiter] = deque()

    @property
    def is_exhausted(self) -> bool:
        """Does somebody wait? Then whatever can be sent is sent at once."""
        return bool(self._waiting)

    def allocate(self, size: int, on_ready: Callable[[], None]) -> Waiter | None:
        """None when it was there; else who waits for it now."""
        if size <= self.available:
            self.available -= size
            return None
        waiter = Waiter(size, on_ready)
        self._waiting.append(waiter)
        self._feed()
        return waiter

    def free(self, size: int) -> None:
        self.available += size
        self._feed()

    def _feed(self) -> None:
        while self._waiting:
            head = self._waiting[0]
            piece = min(head.size - head.got, self.available)
            head.got += piece
            self.available -= piece
            if head.got < head.size:
                return
            self._waiting.popleft()
            head.on_ready()

    def give_up(self, waiter: Waiter) -> None:
        """It waited too long: what it has goes to the next one."""
        self._waiting.remove(waiter)
        self.free(waiter.got)
