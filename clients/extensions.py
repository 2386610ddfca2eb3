"""What users plug into clients: partitioners, interceptors and callbacks (Kafka: ``Partitioner``, ``Callback``).

They run inside the client, at the moment the client has something to tell. What an interceptor or a callback raises is
stated and changes nothing, as in Kafka; what a partitioner raises fails the send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from kafsim.clients.calls import ConsumerRecord, RecordMetadata, Send
from kafsim.clients.errors import KafkaError
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts.client import ExtensionFailed
from kafsim.protocol.types import CallId, TopicPartition

Callback = Callable[[RecordMetadata, Exception | None], None]
"""Told where a record is, or with offset -1 what its send failed with."""


class Partitioner:
    """Chooses a partition for each record that names none."""

    def partition(
        self, topic: str, key: bytes | None, value: bytes | None, partitions: int, available: list[int]
    ) -> int:
        """``partitions``: how many there are; ``available``: those with a leader, as far as is known."""
        raise NotImplementedError


class ProducerInterceptor:
    """Sees every record before it is sent, and what became of it. Several are asked in their order."""

    def on_send(self, record: Send) -> Send:
        """The record that is sent instead."""
        return record

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None) -> None:
        """Before the callback of the send; after it when the record never got into a batch."""


class ConsumerInterceptor:
    """Sees every record before the one who polls does."""

    def on_consume(self, records: tuple[ConsumerRecord, ...]) -> tuple[ConsumerRecord, ...]:
        """The records that are given instead."""
        return records


class RebalanceListener:
    """Told when a group gives partitions to a consumer or takes them away (Kafka: ``ConsumerRebalanceListener``).

    Called inside a poll of the consumer; it cannot wait for anything.
    """

    def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Those that were added, perhaps none."""

    def on_partitions_revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Before another member gets them."""

    def on_partitions_lost(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Another member may have them already."""
        self.on_partitions_revoked(partitions)


@attrs.define
class SendHooks:
    """Callbacks by call, and the interceptors, of one producer."""

    outbox: Outbox
    interceptors: Sequence[ProducerInterceptor] = ()
    callbacks: dict[CallId, Callback] = attrs.field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self.interceptors or self.callbacks)

    def on_send(self, record: Send) -> Send:
        for interceptor in self.interceptors:
            try:
                record = interceptor.on_send(record)
            except Exception as error:  # noqa: BLE001  # a user's code may raise anything
                self._state("on_send", error)
        return record

    def answered(self, call: CallId, metadata: RecordMetadata, error: Exception | None) -> None:
        """The answer to a batch: interceptors first."""
        self._acknowledge(metadata, error)
        callback = self.callbacks.pop(call, None)
        if callback is not None:
            try:
                callback(metadata, error)
            except Exception as raised:  # noqa: BLE001
                self._state("a callback", raised)

    def refused(self, call: CallId, tp: TopicPartition, error: Exception) -> Exception:
        """A record never got into a batch: its callback first. What the callback raises is what the send raises."""
        metadata = RecordMetadata(*tp, -1, -1)
        callback = self.callbacks.pop(call, None)
        if callback is not None and isinstance(error, KafkaError):
            try:
                callback(metadata, error)
            except Exception as raised:  # noqa: BLE001
                return raised
        self._acknowledge(metadata, error)
        return error

    def _acknowledge(self, metadata: RecordMetadata, error: Exception | None) -> None:
        for interceptor in self.interceptors:
            try:
                interceptor.on_acknowledgement(metadata, error)
            except Exception as raised:  # noqa: BLE001
                self._state("on_acknowledgement", raised)

    def _state(self, what: str, error: Exception) -> None:
        self.outbox.happened(ExtensionFailed(what=what, error=f"{type(error).__name__}: {error}"))


def consume(
    outbox: Outbox, interceptors: Sequence[ConsumerInterceptor], records: tuple[ConsumerRecord, ...]
) -> tuple[ConsumerRecord, ...]:
    """What the interceptors make of the records of one poll."""
    for interceptor in interceptors:
        try:
            records = interceptor.on_consume(records)
        except Exception as error:  # noqa: BLE001
            outbox.happened(ExtensionFailed(what="on_consume", error=f"{type(error).__name__}: {error}"))
    return records


def checked(partition: Any) -> int:
    """ValueError for what no partition can be."""
    if not isinstance(partition, int) or partition < 0:
        raise ValueError(
            f"The partitioner generated an invalid partition number: {partition}. Partition number should always be "
            "non-negative."
        )
    return partition
