"""Many timers by key behind one of the core; setting one again before it fires costs no more than a write to a dict."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable

from kafsim.protocol.effects import Outbox
from kafsim.protocol.types import Micros, TimerKey

Action = Callable[[Micros], None]


class KeyedTimers:
    """An entry of the heap may be too early for its key; it goes back when it comes to the top."""

    def __init__(self, outbox: Outbox, key: TimerKey) -> None:
        self._outbox = outbox
        self._key = key
        self._due: dict[Hashable, tuple[int, Action]] = {}
        self._heap: list[tuple[int, int, Hashable]] = []
        self._queued: dict[Hashable, int] = {}
        """Of each key, the earliest time that it is in the heap with."""
        self._ordinal = 0
        self._armed: int | None = None

    def set(self, key: Hashable, at: Micros, action: Action) -> None:
        """Instead of what was set for this key."""
        self._due[key] = (at, action)
        if self._queued.get(key, at + 1) > at:
            self._queue(key, at)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._due

    def cancel(self, key: Hashable) -> None:
        self._due.pop(key, None)

    def clear(self) -> None:
        self._due.clear()
        self._heap.clear()
        self._queued.clear()
        self._outbox.cancel_timer(self._key)
        self._armed = None

    def on_timer(self, now: Micros) -> None:
        self._armed = None
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._queued.get(key) != at:
                continue
            del self._queued[key]
            due = self._due.get(key)
            if due is None:
                continue
            if due[0] > now:
                self._queue(key, due[0])
            else:
                del self._due[key]
                due[1](now)
        if self._heap:
            self._arm(self._heap[0][0])

    def _queue(self, key: Hashable, at: int) -> None:
        self._ordinal += 1
        self._queued[key] = at
        heapq.heappush(self._heap, (at, self._ordinal, key))
        if self._armed is None or at < self._armed:
            self._arm(at)

    def _arm(self, at: int) -> None:
        self._armed = at
        self._outbox.set_timer(self._key, Micros(at))
