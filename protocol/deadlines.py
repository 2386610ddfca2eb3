"""Many deadlines behind one timer: the earliest is armed, and armed again lazily when it has passed.

What is done before its deadline is only marked so; its entry is dropped when it comes to the top.
"""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar

from kafsim.protocol.effects import Outbox
from kafsim.protocol.types import Micros, TimerKey


class Due(Protocol):
    done: bool
    """Answered already: nobody waits for its deadline."""


T = TypeVar("T", bound=Due)


class Deadlines(Generic[T]):
    """Things with a deadline, and the timer ``key`` of a core."""

    __slots__ = ("_armed", "_heap", "_key", "_ordinal", "_outbox")

    def __init__(self, outbox: Outbox, key: TimerKey) -> None:
        self._outbox = outbox
        self._key = key
        self._heap: list[tuple[int, int, T]] = []
        self._ordinal = 0
        self._armed: int | None = None

    def add(self, at: Micros, due: T) -> None:
        self._ordinal += 1
        heapq.heappush(self._heap, (at, self._ordinal, due))
        if self._armed is None or at < self._armed:
            self._arm(at)

    def pop_due(self, now: Micros) -> list[T]:
        """The timer fired: what is due and not done, in the order of the deadlines."""
        due = []
        heap = self._heap
        while heap and (heap[0][2].done or heap[0][0] <= now):
            _, _, first = heapq.heappop(heap)
            if not first.done:
                due.append(first)
        self._armed = None
        if heap:
            self._arm(heap[0][0])
        return due

    def _arm(self, at: int) -> None:
        self._armed = at
        self._outbox.set_timer(self._key, Micros(at))
