"""Exponential backoff with jitter (Kafka: ``ExponentialBackoff``): doubled each time, 20 % up or down, capped."""

from __future__ import annotations

from kafsim.protocol.entropy import Entropy
from kafsim.protocol.types import Micros


class Backoff:
    """``first`` and ``most`` in milliseconds, as in retry.backoff.ms and retry.backoff.max.ms."""

    def __init__(self, first_ms: int, most_ms: int, entropy: Entropy) -> None:
        self._first = min(first_ms, most_ms)
        self._most = most_ms
        self._entropy = entropy

    def after(self, attempts: int) -> Micros:
        """How long to wait after so many failures, from 0."""
        grown = self._first
        for _ in range(attempts):
            grown *= 2
            if grown >= self._most:
                grown = self._most
                break
        if self._most <= self._first:
            return Micros(self._first * 1_000)
        jittered = grown * (800 + self._entropy.below(401))
        return Micros(min(jittered, self._most * 1_000))
