"""Batches that wait to be sent, in a queue for each partition (Kafka: ``RecordAccumulator``)."""

from __future__ import annotations

from collections import deque

import attrs

from kafsim.clients.buffer_pool import BufferPool
from kafsim.protocol.records.batch import OVERHEAD
from kafsim.protocol.records.record import BatchBuilder, RecordHeaders, content_size, decode_batch
from kafsim.protocol.types import CallId, EventNumber, Micros, TopicPartition

ESTIMATION_FACTOR = 1.05
RECORD_OVERHEAD = 21
"""The most that a record takes beside its key, value and headers (Kafka: ``MAX_RECORD_OVERHEAD``)."""


def upper_bound(key: bytes | None, value: bytes | None, headers: RecordHeaders) -> int:
    """How large a record can be in a batch (Kafka: ``DefaultRecord.recordSizeUpperBound``)."""
    return RECORD_OVERHEAD + content_size(key, value, headers)


class CompressionRatios:
    """How much smaller the batches of a topic become (Kafka: ``CompressionRatioEstimator``).

    It goes up at once, by a twentieth at least, and down by two hundredths of that.
    """

    UP, DOWN = 0.05, 0.005

    def __init__(self) -> None:
        self._by_topic: dict[str, float] = {}

    def of(self, topic: str) -> float:
        return self._by_topic.get(topic, 1.0)

    def update(self, topic: str, observed: float) -> None:
        known = self.of(topic)
        if observed > known:
            self._by_topic[topic] = max(known + self.UP, observed)
        elif observed < known:
            self._by_topic[topic] = max(known - self.DOWN, observed)

    def was_too_large(self, topic: str, observed: float) -> None:
        self._by_topic[topic] = max(1.0, observed)


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
    ratio: float = 1.0
    """What compression is expected to make of its records."""

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

    @property
    def estimated_size(self) -> int:
        """With what compression is expected to save (Kafka: ``MemoryRecordsBuilder.estimatedBytesWritten``)."""
        if not self.builder.codec:
            return self.size
        return OVERHEAD + int((self.size - OVERHEAD) * self.ratio * ESTIMATION_FACTOR)

    def has_room(self, timestamp: int, content: int) -> bool:
        """For a record of this content, uncompressed; the first one always fits."""
        if self.closed or not self.count:
            return not self.closed
        size = self.estimated_size
        return size < self.limit and size + self.builder.size_of(timestamp, content) <= self.limit

    @property
    def is_full(self) -> bool:
        return self.closed or (self.count > 0 and self.estimated_size >= self.limit)


class Accumulator:
    """``batch_size``, ``linger`` and ``memory`` as in batch.size, linger.ms and buffer.memory."""

    def __init__(self, batch_size: int, linger: Micros, codec: int, memory: int = 33_554_432) -> None:
        self.pool = BufferPool(memory)
        self.ratios = CompressionRatios()
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
        content = content_size(key, value, headers)
        queue = self.queues.setdefault(tp, deque())
        self.used.setdefault(tp.topic, {})[tp.partition] = None
        batch = queue[-1] if queue else None
        growth = 0
        if batch is None or not batch.has_room(timestamp, content):
            if batch is not None:
                batch.closed = True
            batch = self.new_batch(tp, now, max(self.batch_size, OVERHEAD + RECORD_OVERHEAD + content))
            queue.append(batch)
            growth = OVERHEAD
        growth += batch.builder.append(timestamp, key, value, headers)
        batch.calls.append((call, timestamp))
        return batch, growth, batch.is_full

    def needs(self, tp: TopicPartition, timestamp: int, content: int) -> int:
        """How much memory the next record of this content takes: that of a new batch, or nothing."""
        queue = self.queues.get(tp)
        has_room = bool(queue) and queue is not None and queue[-1].has_room(timestamp, content)
        return 0 if has_room else max(self.batch_size, OVERHEAD + RECORD_OVERHEAD + content)

    def is_full(self, tp: TopicPartition) -> bool:
        """Does the next record begin a batch?"""
        queue = self.queues.get(tp)
        return not queue or queue[-1].is_full

    def new_batch(self, tp: TopicPartition, created: Micros, limit: int) -> ProducerBatch:
        self._numbers += 1
        batch = ProducerBatch(
            self._numbers, tp, BatchBuilder(self.codec), created, limit, ratio=self.ratios.of(tp.topic)
        )
        self.incomplete[batch.number] = batch
        return batch

    def split(self, batch: ProducerBatch) -> list[ProducerBatch]:
        """The records of a batch that is too large, in smaller ones; half as large if it was split before."""
        data = batch.builder.close()
        records = list(decode_batch(data))
        largest = max(upper_bound(record.key, record.value, record.headers) for record in records)
        target = self.batch_size
        if batch.is_split:
            target = max(OVERHEAD + largest, len(data) // 2)
        self.ratios.was_too_large(batch.tp.topic, _ratio(batch, data))
        parts: list[ProducerBatch] = []
        for record, call in zip(records, batch.calls, strict=True):
            content = content_size(record.key, record.value, record.headers)
            if not parts or not parts[-1].has_room(record.timestamp, content):
                part = self.new_batch(batch.tp, batch.created, max(target, OVERHEAD + RECORD_OVERHEAD + content))
                part.is_split, part.event = True, batch.event
                parts.append(part)
            parts[-1].builder.append(record.timestamp, record.key, record.value, record.headers)
            parts[-1].calls.append(call)
        self.remove(batch)
        for part in parts:
            part.closed = True
        return parts

    def note_compressed(self, batch: ProducerBatch, data: bytes) -> None:
        """What compression made of a batch that is sent."""
        if self.codec:
            self.ratios.update(batch.tp.topic, _ratio(batch, data))

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


def _ratio(batch: ProducerBatch, data: bytes) -> float:
    return (len(data) - OVERHEAD) / max(1, batch.size - OVERHEAD)
