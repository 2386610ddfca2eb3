"""Asks leaders for offsets: the end, the start, or the first record of a time (Kafka: ``OffsetFetcher``)."""

from __future__ import annotations

from collections.abc import Callable

from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import ClientNetwork, Lost
from kafsim.protocol import errors
from kafsim.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafsim.protocol.types import Micros, TopicPartition

LIST_OFFSETS = 2
LATEST, EARLIEST = -1, -2
OnFound = Callable[[Micros, int | None], None]
"""Told the offset (-1: none of that time), or None when it should be asked again a little later."""


class OffsetFinder:
    def __init__(self, network: ClientNetwork, metadata: ClientMetadata) -> None:
        self._network = network
        self._metadata = metadata

    def find(self, now: Micros, tp: TopicPartition, timestamp: int, on_found: OnFound) -> None:
        leader = self._metadata.leader(tp)
        if leader is None or not self._network.is_ready(now, leader.id):
            if leader is None:
                self._metadata.request_update(now)
            on_found(now, None)
            return
        asked = ListOffsetsPartition(
            partition_index=tp.partition, current_leader_epoch=leader.epoch, timestamp=timestamp
        )
        request = ListOffsetsRequest(replica_id=-1, topics=(ListOffsetsTopic(name=tp.topic, partitions=(asked,)),))

        def answered(at: Micros, response: ListOffsetsResponse | Lost) -> None:
            if isinstance(response, Lost):
                self._metadata.request_update(at)
                on_found(at, None)
                return
            answer = response.topics[0].partitions[0]
            if answer.error_code:
                if answer.error_code in errors.INVALID_METADATA:
                    self._metadata.request_update(at)
                on_found(at, None)
            else:
                on_found(at, answer.offset)

        self._network.send(now, leader.id, LIST_OFFSETS, request, answered, version=11)
