"""Brokers that a producer cannot send to for too long (Kafka: ``NodeLatencyStats``, KIP-794)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from kafsim.protocol.types import Micros


@attrs.define
class _Times:
    """When something was ready for a broker last, and when it could take it last."""

    ready: Micros
    drained: Micros


class BrokerAvailability:
    """``timeout`` 0: every broker counts as available (partitioner.availability.timeout.ms)."""

    def __init__(self, timeout: Micros) -> None:
        self._timeout = timeout
        self._times: dict[int, _Times] = {}

    def note(self, now: Micros, ready: Iterable[int], late: Iterable[int]) -> None:
        """Batches are ready for all of these; the late ones are not connected, or have as many requests as they may."""
        if not self._timeout:
            return
        for broker in late:
            self._times.setdefault(broker, _Times(now, now)).ready = now
        for broker in ready:
            self._times[broker] = _Times(now, now)

    def is_available(self, broker: int) -> bool:
        times = self._times.get(broker)
        return times is None or times.ready - times.drained <= self._timeout or not self._timeout
