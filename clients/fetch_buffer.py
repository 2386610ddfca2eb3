"""What was fetched and is not polled yet (Kafka: ``FetchBuffer``, ``CompletedFetch``, ``FetchCollector``).

Errors of a partition take effect when its answer is looked at, in the order of the answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from kafsim.clients.calls import ConsumerRecord
from kafsim.clients.errors import KafkaError, UnreadableRecordError
from kafsim.clients.subscription_state import FetchPosition, PartitionSubscription, SubscriptionState
from kafsim.protocol.messages.fetch import PartitionData
from kafsim.protocol.records import batch as batches
from kafsim.protocol.records.errors import RecordError
from kafsim.protocol.records.record import decode_batch
from kafsim.protocol.types import TopicPartition


@attrs.define
class CompletedFetch:
    """One partition of an answer. ``next_offset``: of what has not been polled yet."""

    tp: TopicPartition
    fetch_offset: int
    answer: PartitionData
    next_offset: int
    records: deque[ConsumerRecord] = attrs.field(factory=deque)
    end: int = -1
    """Behind the last batch, where a log that was compacted may have a gap; -1 for an answer without batches."""
    last_epoch: int = -1
    broken: KafkaError | None = None
    """Behind the records here is something that cannot be read."""
    is_ready: bool = False
    """It was looked at, and holds no error."""

    def decode(self, *, check_crcs: bool) -> None:
        """Everything up to the first batch that cannot be read, which is told when its turn comes."""
        try:
            self._decode(self.answer.records or b"", check_crcs=check_crcs)
        except RecordError as error:
            text = (
                f"Received exception when fetching the next record from {self.tp}. If needed, please seek past the "
                f"record to continue consumption. ({error})"
            )
            at = self.records[-1].offset + 1 if self.records else max(self.fetch_offset, self.end)
            self.broken = UnreadableRecordError(text, self.tp, at)
        self.is_ready = True

    def _decode(self, data: bytes, *, check_crcs: bool) -> None:
        for span in batches.spans_in_memory(data):
            if check_crcs:
                batches.ensure_valid(data, span.position, span.size)
            head = batches.header(data, span.position)
            if not head.is_control:
                self._decode_batch(data, span.position, head.leader_epoch)
            self.end, self.last_epoch = head.next_offset, head.leader_epoch

    def _decode_batch(self, data: bytes, position: int, epoch: int) -> None:
        for r in decode_batch(data, position):
            if r.offset >= self.fetch_offset:
                self.records.append(
                    ConsumerRecord(*self.tp, r.offset, r.timestamp, r.key, r.value, r.headers, leader_epoch=epoch)
                )

    def take(self, most: int) -> tuple[list[ConsumerRecord], FetchPosition]:
        """The next records, and the position behind them; raises when there is something that cannot be read."""
        taken = [self.records.popleft() for _ in range(min(most, len(self.records)))]
        epoch = taken[-1].leader_epoch if taken else self.last_epoch
        if taken:
            self.next_offset = taken[-1].offset + 1
        if not taken and self.broken is not None:
            raise self.broken
        if len(taken) < most and self.end >= 0 and self.broken is None:
            self.next_offset, epoch = max(self.next_offset, self.end), self.last_epoch
        return taken, FetchPosition(self.next_offset, epoch)


class Collected:
    """What one poll got. ``advanced``: a position moved, though there may be no record."""

    def __init__(self) -> None:
        self.records: list[ConsumerRecord] = []
        self.advanced = False

    @property
    def is_something(self) -> bool:
        return bool(self.records) or self.advanced


class FetchBuffer:
    """``look``: told of each answer when its turn comes; false when it is of no use. It may raise."""

    def __init__(self, subscriptions: SubscriptionState, look: Callable[[CompletedFetch], bool]) -> None:
        self._subscriptions = subscriptions
        self._look = look
        self._queue: deque[CompletedFetch] = deque()

    def add(self, fetch: CompletedFetch) -> None:
        self._queue.append(fetch)

    @property
    def partitions(self) -> list[TopicPartition]:
        return [fetch.tp for fetch in self._queue]

    def keep_only(self, assigned: dict[TopicPartition, PartitionSubscription]) -> None:
        self._queue = deque(fetch for fetch in self._queue if fetch.tp in assigned)

    def collect(self, most: int) -> Collected:
        """Up to so many records, of as many partitions as it takes; an error only when there is no record before it."""
        collected = Collected()
        paused: list[CompletedFetch] = []
        try:
            while self._queue and len(collected.records) < most:
                self._step(collected, most, paused)
        except KafkaError:
            if not collected.records:
                self._drop_failed()
                raise
        finally:
            self._queue.extend(paused)
        return collected

    def _step(self, collected: Collected, most: int, paused: list[CompletedFetch]) -> None:
        fetch = self._queue[0]
        if not fetch.is_ready:
            if not self._look(fetch):
                self._queue.popleft()
            return
        state = self._subscriptions.get(fetch.tp)
        if state is not None and state.is_paused:
            paused.append(self._queue.popleft())
            return
        position = state.position if state is not None and state.is_fetchable else None
        if state is None or position is None or position.offset != fetch.next_offset:
            self._queue.popleft()
        else:
            self._take(state, position, fetch, collected, most)

    def _take(
        self,
        state: PartitionSubscription,
        position: FetchPosition,
        fetch: CompletedFetch,
        collected: Collected,
        most: int,
    ) -> None:
        records, behind = fetch.take(most - len(collected.records))
        if behind.offset > position.offset:
            state.position = behind.led_by(position.leader)
            collected.advanced = True
        collected.records += records
        if len(collected.records) < most and fetch.broken is None:
            self._queue.popleft()
            if fetch.end >= 0:
                self._subscriptions.move_to_end(fetch.tp)

    def _drop_failed(self) -> None:
        """An error that was told goes; an answer whose records cannot be read stays, to tell it again, as in Kafka."""
        if self._queue and not self._queue[0].answer.records:
            self._queue.popleft()
