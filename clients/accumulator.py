"""Batches that wait to be sent, in a queue for each partition (Kafka: ``RecordAccumulator``)."""

from __future__ import annotations

from collections import deque

import attrs

from kafsim.clients.buffer_pool import BufferPool
from kafsim.protocol.records.batch import OVERHEAD
from kafsim.protocol.records.record import BatchBuilder, RecordHeaders, decode_batch
from kafsim.protocol.types import CallId, EventNumber, Micros, TopicPartition

RECORD_OVERHEAD = 21
"""The most that a record takes beside its key, value and headers (Kafka: ``MAX_RECORD_OVERHEAD``)."""


def upper_bound(key: bytes | None, value: bytes | None, headers: RecordHeaders) -> int:
    """How large a record can be in a batch."""
    size = RECORD_OVERHEAD + len(key or b"") + len(value or b"")
    return size + sum(10 + len(name.encode()) + len(content or b"") for name, content in headers)


@attrs.define(eq=False)
class ProducerBatch:
    """One batch, from its first record to its answer."""

    number: int
    tp: TopicPartition
    builder: BatchBuilder
    created: Micros
    limit: int
    """How large it may become, in bytes."""
    calls: list[tuple[CallId, int]] = attrs.field(factory=list)
    """Who waits for each record, and its timestamp."""
    event: EventNumber = EventNumber(0)  # noqa: RUF009  # an int in disguise
    attempts: int = 0
    retry_at: Micros = Micros(0)  # noqa: RUF009
    leader_epoch: int = -1
    attempts_at_leader_change: int = -1
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    was_reset: bool = False
    """Its sequence was changed since it was sent last."""
    reserved: int = 0
    """What it takes of buffer.memory."""
    is_split: bool = False
    """Made of one that was too large."""
    closed: bool = False
    """Takes no more records."""
    done: bool = False
    """Answered: what still comes from a broker changes nothing."""

    @property
    def size(self) -> int:
        return self.builder.uncompressed_size

    @property
    def count(self) -> int:
        return self.builder.count

    @property
    def has_sequence(self) -> bool:
        return self.base_sequence >= 0

    @property
    def last_sequence(self) -> int:
        return self.base_sequence + self.count - 1

    def has_room(self, bound: int) -> bool:
        return not self.closed and (not self.count or self.size + bound <= self.limit)

    @property
    def is_full(self) -> bool:
        return self.closed or self.size >= self.limit


class Accumulator:
    """``batch_size``, ``linger`` and ``memory`` as in batch.size, linger.ms and buffer.memory."""

    def __init__(self, batch_size: int, linger: Micros, codec: int, memory: int = 33_554_432) -> None:
        self.pool = BufferPool(memory)
        self.batch_size = max(1, batch_size)
        self.linger = linger
        self.codec = codec
        self.queues: dict[TopicPartition, deque[ProducerBatch]] = {}
        """Only partitions with something to send."""
        self.incomplete: dict[int, ProducerBatch] = {}
        """Everything that has no answer yet, by number."""
        self.used: dict[str, dict[int, None]] = {}
        """The partitions of each topic that were ever sent to."""
        self._numbers = 0

    def append(
        self,
        now: Micros,
        tp: TopicPartition,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: RecordHeaders,
        call: CallId,
    ) -> tuple[ProducerBatch, int, bool]:
        """The batch that took the record, its growth in bytes, and whether it is full now."""
        bound = upper_bound(key, value, headers)
        queue = self.queues.setdefault(tp, deque())
        self.used.setdefault(tp.topic, {})[tp.partition] = None
        batch = queue[-1] if queue else None
        growth = 0
        if batch is None or not batch.has_room(bound):
            if batch is not None:
                batch.closed = True
            batch = self.new_batch(tp, now, max(self.batch_size, OVERHEAD + bound))
            queue.append(batch)
            growth = OVERHEAD
        growth += batch.builder.append(timestamp, key, value, headers)
        batch.calls.append((call, timestamp))
        return batch, growth, batch.is_full

    def needs(self, tp: TopicPartition, bound: int) -> int:
        """How much memory the next record of this size takes: that of a new batch, or nothing."""
        queue = self.queues.get(tp)
        has_room = bool(queue) and queue is not None and queue[-1].has_room(bound)
        return 0 if has_room else max(self.batch_size, OVERHEAD + bound)

    def is_full(self, tp: TopicPartition) -> bool:
        """Does the next record begin a batch?"""
        queue = self.queues.get(tp)
        return not queue or queue[-1].is_full

    def new_batch(self, tp: TopicPartition, created: Micros, limit: int) -> ProducerBatch:
        self._numbers += 1
        batch = ProducerBatch(self._numbers, tp, BatchBuilder(self.codec), created, limit)
        self.incomplete[batch.number] = batch
        return batch

    def split(self, batch: ProducerBatch) -> list[ProducerBatch]:
        """The records of a batch that is too large, in smaller ones; half as large if it was split before."""
        target = max(batch.size // 2, OVERHEAD) if batch.is_split else self.batch_size
        parts: list[ProducerBatch] = []
        for record, call in zip(decode_batch(batch.builder.close()), batch.calls, strict=True):
            bound = upper_bound(record.key, record.value, record.headers)
            if not parts or not parts[-1].has_room(bound):
                part = self.new_batch(batch.tp, batch.created, max(target, OVERHEAD + bound))
                part.is_split, part.event = True, batch.event
                parts.append(part)
            parts[-1].builder.append(record.timestamp, record.key, record.value, record.headers)
            parts[-1].calls.append(call)
        self.remove(batch)
        for part in parts:
            part.closed = True
        return parts

    def put_back(self, batch: ProducerBatch) -> None:
        """A batch to be sent again goes before those of later sequences."""
        queue = self.queues.setdefault(batch.tp, deque())
        before: list[ProducerBatch] = []
        while batch.has_sequence and queue and queue[0].has_sequence and queue[0].base_sequence < batch.base_sequence:
            before.append(queue.popleft())
        queue.appendleft(batch)
        queue.extendleft(reversed(before))

    def take(self, tp: TopicPartition) -> ProducerBatch:
        queue = self.queues[tp]
        batch = queue.popleft()
        if not queue:
            del self.queues[tp]
        batch.closed = True
        return batch

    def free(self, batch: ProducerBatch) -> None:
        """Its memory goes back."""
        size, batch.reserved = batch.reserved, 0
        if size:
            self.pool.free(size)

    def remove(self, batch: ProducerBatch, *, in_flight: bool = False) -> None:
        """It has its answer; one that expired on its way keeps its memory until the broker has answered."""
        if not in_flight:
            self.free(batch)
        batch.done = True
        self.incomplete.pop(batch.number, None)
        queue = self.queues.get(batch.tp)
        if queue is not None and batch in queue:
            queue.remove(batch)
            if not queue:
                del self.queues[batch.tp]
