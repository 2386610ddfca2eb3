"""Records of the leader that wait to be written (Kafka: ``BatchAccumulator``).

They linger for a moment, so that what belongs together goes into one batch. Control records are a batch of their own
and take everything before them along at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafsim.controller.raft import snapshots
from kafsim.controller.raft.quorum_state import NEVER
from kafsim.protocol.metadata import serde
from kafsim.protocol.records.record import BatchBuilder
from kafsim.protocol.types import Micros

MAX_BATCH_BYTES = 8_388_608


class BatchAccumulator:
    """``due``: when what waits is to be written."""

    def __init__(self, linger: Micros) -> None:
        self._linger = linger
        self._waiting: list[tuple[int, bytes | list[Any]]] = []
        """Wall time, and a record's value or all records of a control batch."""
        self.count = 0
        self.due: Micros = NEVER

    def append(self, now: Micros, wall: int, records: list[Any]) -> None:
        if not self._waiting:
            self.due = Micros(now + self._linger)
        self._waiting += [(wall, serde.encode(record)) for record in records]
        self.count += len(records)

    def append_control(self, now: Micros, wall: int, records: list[Any]) -> None:
        self._waiting.append((wall, records))
        self.count += len(records)
        self.due = now

    def clear(self) -> None:
        self._waiting, self.count, self.due = [], 0, NEVER

    def drain(self, base: int, epoch: int) -> Iterator[bytes]:
        """All that waits as batches, the first one from offset ``base`` on."""
        waiting = self._waiting
        self.clear()
        builder, size = BatchBuilder(), 0
        for wall, value in waiting:
            is_control = isinstance(value, list)
            if builder.count and (is_control or size + len(value) > MAX_BATCH_BYTES):
                yield builder.close(base_offset=base, leader_epoch=epoch)
                base, builder, size = base + builder.count, BatchBuilder(), 0
            if isinstance(value, list):
                yield snapshots.control_batch(value, base_offset=base, epoch=epoch, timestamp=wall)
                base += len(value)
            else:
                builder.append(builder.base_timestamp if builder.count else wall, None, value)
                size += len(value)
        if builder.count:
            yield builder.close(base_offset=base, leader_epoch=epoch)
