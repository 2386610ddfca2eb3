"""Fetch requests below version 13, which name topics instead of their ids, and below 15, which keep the replica apart.

A name that is not known gets a stand-in id, so that its partitions can be answered like any others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kafsim.protocol import errors
from kafsim.protocol.messages.fetch import (
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    LeaderIdAndEpoch,
    PartitionData,
    ReplicaState,
)
from kafsim.protocol.schema import changed
from kafsim.protocol.uuid import Uuid

IDS_SINCE, REPLICA_STATE_SINCE = 13, 15
NO_LEADER = LeaderIdAndEpoch()
_UNKNOWN = b"?"
T = TypeVar("T", FetchTopic, ForgottenTopic)


def with_ids(request: FetchRequest, version: int, id_of: Callable[[str], Uuid | None]) -> FetchRequest:
    """A request below version 15 as the newest version has it."""
    request = changed(request, replica_state=ReplicaState(replica_id=request.replica_id))
    if version >= IDS_SINCE:
        return request

    def named(topic: T) -> T:
        return changed(topic, topic_id=id_of(topic.topic) or _UNKNOWN + topic.topic.encode())

    return changed(
        request,
        topics=tuple(map(named, request.topics)),
        forgotten_topics_data=tuple(map(named, request.forgotten_topics_data)),
    )


def with_names(response: FetchResponse, name_of: Callable[[Uuid], str | None]) -> FetchResponse:
    """An answer as the versions below 13 have it."""
    return changed(
        response,
        responses=tuple(
            changed(
                topic,
                topic=name_of(topic.topic_id) or topic.topic_id.removeprefix(_UNKNOWN).decode(),
                partitions=tuple(map(_as_before, topic.partitions)),
            )
            for topic in response.responses
        ),
    )


def _as_before(data: PartitionData) -> PartitionData:
    unknown = errors.UNKNOWN_TOPIC_OR_PARTITION
    error = unknown if data.error_code == errors.UNKNOWN_TOPIC_ID else data.error_code
    return changed(data, error_code=error, current_leader=NO_LEADER)
