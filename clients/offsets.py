"""Asks leaders for offsets: the end, the start, or the first record of a time (Kafka: ``OffsetFetcher``).

One request to each leader that is asked, for all its partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafsim.clients.calls import OffsetAndTimestamp
from kafsim.clients.metadata import ClientMetadata, Leader
from kafsim.clients.network import ClientNetwork, Lost
from kafsim.protocol import errors
from kafsim.protocol.client_config import reset_duration_ms
from kafsim.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafsim.protocol.types import Micros, TopicPartition

LIST_OFFSETS = 2
LATEST, EARLIEST = -1, -2
OnFound = Callable[[Micros, TopicPartition, OffsetAndTimestamp | None], None]
"""Told the offset (-1: none of that time), or None when it should be asked again a little later."""


BY_DURATION = -100
"""A reset to what is not older than a duration: which time that is shows when the leader is asked."""


def reset_policy(settings: dict[str, Any]) -> int | None:
    """The timestamp to ask for by auto.offset.reset; None for ``none``."""
    policy = settings["auto.offset.reset"]
    if reset_duration_ms(policy) is not None:
        return BY_DURATION
    return None if policy == "none" else EARLIEST if policy == "earliest" else LATEST


class OffsetFinder:
    """``isolation``: 1 for read_committed, whose end is the last stable offset."""

    def __init__(self, network: ClientNetwork, metadata: ClientMetadata, isolation: int) -> None:
        self._network = network
        self._metadata = metadata
        self._isolation = isolation

    def find(self, now: Micros, wanted: Mapping[TopicPartition, int], on_found: OnFound) -> None:
        """``wanted``: a time, or LATEST or EARLIEST, for each partition."""
        by_node: dict[int, dict[TopicPartition, tuple[int, Leader]]] = {}
        for tp, timestamp in wanted.items():
            leader = self._metadata.leader(tp)
            if leader is None:
                self._metadata.request_update(now)
                on_found(now, tp, None)
            elif not self._network.is_ready(now, leader.id):
                on_found(now, tp, None)
            else:
                by_node.setdefault(leader.id, {})[tp] = (timestamp, leader)
        for node, asked in by_node.items():
            self._ask(now, node, asked, on_found)

    def _ask(self, now: Micros, node: int, asked: dict[TopicPartition, tuple[int, Leader]], on_found: OnFound) -> None:
        topics: dict[str, list[ListOffsetsPartition]] = {}
        for tp, (timestamp, leader) in asked.items():
            topics.setdefault(tp.topic, []).append(
                ListOffsetsPartition(
                    partition_index=tp.partition, current_leader_epoch=leader.epoch, timestamp=timestamp
                )
            )
        request = ListOffsetsRequest(
            replica_id=-1,
            isolation_level=self._isolation,
            topics=tuple(ListOffsetsTopic(name=name, partitions=tuple(p)) for name, p in topics.items()),
        )

        def answered(at: Micros, response: ListOffsetsResponse | Lost) -> None:
            if isinstance(response, Lost):
                self._metadata.request_update(at)
                for tp in asked:
                    on_found(at, tp, None)
                return
            for topic in response.topics:
                for answer in topic.partitions:
                    self._take(at, TopicPartition(topic.name, answer.partition_index), answer, on_found)

        self._network.send(now, node, LIST_OFFSETS, request, answered, version=11)

    def _take(self, now: Micros, tp: TopicPartition, answer: ListOffsetsPartitionResponse, on_found: OnFound) -> None:
        if answer.error_code:
            if answer.error_code in errors.INVALID_METADATA:
                self._metadata.request_update(now)
            on_found(now, tp, None)
        else:
            on_found(now, tp, OffsetAndTimestamp(answer.offset, answer.timestamp, answer.leader_epoch))
