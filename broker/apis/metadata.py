"""Metadata (3), version 13.

Behaviour:
* Brokers that are fenced are left out of the list; a fenced leader is still named as leader.
* A partition without a leader, or whose leader is not registered: LEADER_NOT_AVAILABLE, leader -1.
* A topic that is asked for by name and is not there is created when auto.create.topics.enable and the request allow it;
  the answer to this request is UNKNOWN_TOPIC_OR_PARTITION all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.controller.metadata_state import NO_LEADER, MetadataState, PartitionState
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kafsim.protocol.names import illegal
from kafsim.protocol.types import ConnectionId, Header, Micros
from kafsim.protocol.uuid import ZERO_UUID, Uuid


class MetadataApi:
    """``auto_create`` asks the controller for a topic, and is told only that; ``applied``: how far the metadata is.

    What is told of a topic is made once for all who ask before the metadata goes on.
    """

    def __init__(
        self,
        outbox: Outbox,
        metadata: MetadataState,
        settings: dict[str, Any],
        cluster_id: str,
        auto_create: Callable[[Micros, str], None],
        applied: Callable[[], int],
    ) -> None:
        self._applied = applied
        self._made_at = -1
        self._made: dict[Uuid, MetadataResponseTopic] = {}
        self._outbox = outbox
        self._metadata = metadata
        self._settings = settings
        self._cluster_id = cluster_id
        self._auto_create = auto_create

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: MetadataRequest) -> None:
        if request.topics is None:
            topics = [self._topic(name, id_) for name, id_ in self._metadata.topic_ids.items()]
        else:
            by_id = any(asked.topic_id != ZERO_UUID for asked in request.topics)
            topics = [
                self._named(now, asked.name, asked.topic_id, create=request.allow_auto_topic_creation)
                for asked in request.topics
                if not by_id or asked.topic_id != ZERO_UUID  # names beside ids are not looked at
            ]
        alive = [broker for broker in self._metadata.brokers.values() if not broker.fenced]
        brokers = tuple(
            MetadataResponseBroker(
                node_id=broker.id, host=broker.end_points[0].host, port=broker.end_points[0].port, rack=broker.rack
            )
            for broker in alive
        )
        response = MetadataResponse(
            brokers=brokers,
            cluster_id=self._cluster_id,
            controller_id=alive[0].id if alive else -1,
            topics=tuple(topics),
        )
        self._outbox.reply(connection, header, response)

    def _named(self, now: Micros, name: str | None, topic_id: Uuid, *, create: bool) -> MetadataResponseTopic:
        if name is None or topic_id != ZERO_UUID:
            known = self._metadata.topic_names.get(topic_id)
            if known is None:
                return MetadataResponseTopic(error_code=errors.UNKNOWN_TOPIC_ID, name=None, topic_id=topic_id)
            return self._topic(known, topic_id)
        found = self._metadata.topic_ids.get(name)
        if found is not None:
            return self._topic(name, found)
        if illegal(name) is not None:
            return MetadataResponseTopic(error_code=errors.INVALID_TOPIC_EXCEPTION, name=name, topic_id=ZERO_UUID)
        if create and self._settings["auto.create.topics.enable"]:
            self._auto_create(now, name)
        return MetadataResponseTopic(error_code=errors.UNKNOWN_TOPIC_OR_PARTITION, name=name, topic_id=ZERO_UUID)

    def _topic(self, name: str, topic_id: Uuid) -> MetadataResponseTopic:
        if self._made_at != self._applied():
            self._made_at = self._applied()
            self._made.clear()
        made = self._made.get(topic_id)
        if made is None:
            made = self._made[topic_id] = self._make_topic(name, topic_id)
        return made

    def _make_topic(self, name: str, topic_id: Uuid) -> MetadataResponseTopic:
        partitions = tuple(self._partition(i, state) for i, state in self._metadata.partitions_of(topic_id))
        return MetadataResponseTopic(
            name=name, topic_id=topic_id, is_internal=name.startswith("__"), partitions=partitions
        )

    def _is_offline(self, state: PartitionState, replica: int) -> bool:
        """Its broker is away, or has not the directory any more that the replica was in."""
        broker = self._metadata.brokers.get(replica)
        return broker is None or broker.fenced or not self._metadata.is_online(state, replica)

    def _partition(self, index: int, state: PartitionState) -> MetadataResponsePartition:
        brokers = self._metadata.brokers
        known = state.leader != NO_LEADER and state.leader in brokers
        offline = tuple(r for r in state.replicas if self._is_offline(state, r))
        return MetadataResponsePartition(
            error_code=errors.NONE if known else errors.LEADER_NOT_AVAILABLE,
            partition_index=index,
            leader_id=state.leader if known else NO_LEADER,
            leader_epoch=state.leader_epoch,
            replica_nodes=state.replicas,
            isr_nodes=state.isr,
            offline_replicas=offline,
        )
