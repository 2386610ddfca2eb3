"""The ISR as a leader has it: committed by the controller, or asked for (Kafka: ``PartitionState``).

While a change is in flight the larger of the two sets counts for the high watermark, because the controller may have
taken either.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class CommittedIsr:
    isr: tuple[int, ...]

    @property
    def maximal(self) -> tuple[int, ...]:
        return self.isr

    @property
    def in_flight(self) -> bool:
        return False


@attrs.frozen
class PendingExpand:
    """``isr`` is what the controller last confirmed."""

    isr: tuple[int, ...]
    joining: int

    @property
    def proposed(self) -> tuple[int, ...]:
        """In ascending order, as Kafka sends it."""
        return tuple(sorted({*self.isr, self.joining}))

    @property
    def maximal(self) -> tuple[int, ...]:
        return self.proposed

    @property
    def in_flight(self) -> bool:
        return True


@attrs.frozen
class PendingShrink:
    isr: tuple[int, ...]
    leaving: tuple[int, ...]

    @property
    def proposed(self) -> tuple[int, ...]:
        return tuple(replica for replica in self.isr if replica not in self.leaving)

    @property
    def maximal(self) -> tuple[int, ...]:
        return self.isr

    @property
    def in_flight(self) -> bool:
        return True


IsrState = CommittedIsr | PendingExpand | PendingShrink
