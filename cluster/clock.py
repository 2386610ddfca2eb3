"""Virtual time: a trio clock that is the event heap.

trio asks a clock how long to sleep only when no task is runnable. There the clock pops one entry of the heap and fires
it; with ``dispatch="direct"`` it goes on popping until an entry wakes a task. Nothing else moves time, so a run depends
on the heap alone.

The key of an entry is ``(time, tie, ordinal)``. The tie is keyed chance of the entry's source and its time: entries of
different sources that meet in one instant come in an order that the seed explores, entries of one source stay in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import ceil, inf, isinf
from typing import Any

import trio

from kafsim.cluster.errors import Livelock, Stuck
from kafsim.protocol.types import EventNumber, Micros

Fire = Callable[[Any], bool | None]
"""What an entry does; true when it made a task runnable."""

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_ODD = 0x9E37_79B9_7F4A_7C15
_BREATH = 2_048
"""How many events are fired before trio may look for Ctrl-C."""


def ticks(deadline: float) -> int:
    """The first microsecond that is not before a deadline of trio, whose float may lie between two."""
    k = ceil(deadline * 1e6)
    return k + 1 if k / 1e6 < deadline else k


class SimClock(trio.abc.Clock):
    """The heap, the time and the number of the current event."""

    livelock_limit = 1_000_000

    def __init__(self, tie_seed: int = 0) -> None:
        self.now = Micros(0)
        self.event = EventNumber(0)
        """How many entries have been popped, the current one included."""
        self.cause = EventNumber(0)
        """The event during which the current entry was pushed."""
        self.entry = 0
        """The ordinal of the current entry."""
        self.waiters = 0
        """How many tasks of the story are parked until an entry wakes them."""
        self.root: trio.CancelScope | None = None
        self.error: BaseException | None = None
        self.finished = False
        self.breathe: Callable[[], None] | None = None
        """Called between events now and then: progress bars live here."""
        self.why_stuck: Callable[[str], str] = str
        self._tie_seed = tie_seed
        self._heap: list[tuple[int, int, int, Fire, Any, EventNumber]] = []
        self._ordinal = 0
        self._same = 0
        self._passes = 0
        self._last_event = EventNumber(0)

    def push(self, time: int, source: int, fire: Fire, argument: Any = None) -> int:
        """Fire something at a time; returns the ordinal, which names the entry."""
        self._ordinal = ordinal = self._ordinal + 1
        tie = ((source ^ time ^ self._tie_seed) * _ODD) & _MASK
        heapq.heappush(self._heap, (time, tie, ordinal, fire, argument, self.event))
        return ordinal

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        if self.event != self._last_event:
            self._last_event, self._passes = self.event, 0
        self._passes += 1
        if self._passes > self.livelock_limit:
            self._passes = 0
            self.fail(Livelock(f"a task of the story runs on at {self.now} us without waiting for anything"))
        return self.now / 1e6

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if self.finished or self.error is not None:
            return 0
        try:
            self._advance(inf if isinf(deadline) else ticks(deadline), idle=isinf(deadline))
        except BaseException as error:  # noqa: BLE001  # raised again by the task that runs the story
            self.fail(error)
        return 0

    def fail(self, error: BaseException) -> None:
        """End the run with this error; a story that refuses to be cancelled is ended the hard way."""
        if self.root is None or self.error is not None:
            raise error
        self.error = error
        self.root.cancel()

    def _advance(self, limit: float, *, idle: bool) -> None:
        heap, pop = self._heap, heapq.heappop
        for _ in range(_BREATH):
            if idle and not self.waiters:
                raise Stuck(self.why_stuck("no task of the story waits for anything that could happen"))
            if not heap or heap[0][0] > limit:
                self._jump(limit)
                return
            time, _, self.entry, fire, argument, self.cause = pop(heap)
            if time == self.now:
                self._same += 1
                if self._same > self.livelock_limit:
                    raise Livelock(self.why_stuck(f"{self._same} events without time moving"))
            else:
                self.now, self._same = Micros(time), 0
            self.event = EventNumber(self.event + 1)
            if fire(argument):
                return
        if self.breathe is not None:
            self.breathe()

    def _jump(self, limit: float) -> None:
        if isinf(limit):
            raise Stuck(self.why_stuck("nothing can happen any more"))
        self.now = Micros(max(self.now, int(limit)))
