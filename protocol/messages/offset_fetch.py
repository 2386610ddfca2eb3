"""OffsetFetch, request and response (Kafka: ``OffsetFetchRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class OffsetFetchRequestTopic:
    name: str = kafka("string", "0-7", default="")
    partition_indexes: tuple[int, ...] = kafka("[]int32", "0-7", default=())


@struct
class OffsetFetchRequestTopics:
    name: str = kafka("string", "8-9", default="")
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    partition_indexes: tuple[int, ...] = kafka("[]int32", "8+", default=())


@struct
class OffsetFetchRequestGroup:
    group_id: str = kafka("string", "8+", default="")
    member_id: str | None = kafka("string", "9+", default=None, nullable="9+")
    member_epoch: int = kafka("int32", "9+", default=-1)
    topics: tuple[OffsetFetchRequestTopics, ...] | None = kafka(
        "[]OffsetFetchRequestTopics", "8+", default=(), nullable="8+"
    )


@message(9, "1-10", "6+")
class OffsetFetchRequest:
    group_id: str = kafka("string", "0-7", default="")
    topics: tuple[OffsetFetchRequestTopic, ...] | None = kafka(
        "[]OffsetFetchRequestTopic", "0-7", default=(), nullable="2-7"
    )
    groups: tuple[OffsetFetchRequestGroup, ...] = kafka("[]OffsetFetchRequestGroup", "8+", default=())
    require_stable: bool = kafka("bool", "7+", default=False)


@struct
class OffsetFetchResponsePartition:
    partition_index: int = kafka("int32", "0-7", default=0)
    committed_offset: int = kafka("int64", "0-7", default=0)
    committed_leader_epoch: int = kafka("int32", "5-7", default=-1)
    metadata: str | None = kafka("string", "0-7", default="", nullable="0-7")
    error_code: int = kafka("int16", "0-7", default=0)


@struct
class OffsetFetchResponseTopic:
    name: str = kafka("string", "0-7", default="")
    partitions: tuple[OffsetFetchResponsePartition, ...] = kafka("[]OffsetFetchResponsePartition", "0-7", default=())


@struct
class OffsetFetchResponsePartitions:
    partition_index: int = kafka("int32", "8+", default=0)
    committed_offset: int = kafka("int64", "8+", default=0)
    committed_leader_epoch: int = kafka("int32", "8+", default=-1)
    metadata: str | None = kafka("string", "8+", default="", nullable="8+")
    error_code: int = kafka("int16", "8+", default=0)


@struct
class OffsetFetchResponseTopics:
    name: str = kafka("string", "8-9", default="")
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    partitions: tuple[OffsetFetchResponsePartitions, ...] = kafka("[]OffsetFetchResponsePartitions", "8+", default=())


@struct
class OffsetFetchResponseGroup:
    group_id: str = kafka("string", "8+", default="")
    topics: tuple[OffsetFetchResponseTopics, ...] = kafka("[]OffsetFetchResponseTopics", "8+", default=())
    error_code: int = kafka("int16", "8+", default=0)


@message(9, "1-10", "6+")
class OffsetFetchResponse:
    throttle_time_ms: int = kafka("int32", "3+", default=0)
    topics: tuple[OffsetFetchResponseTopic, ...] = kafka("[]OffsetFetchResponseTopic", "0-7", default=())
    error_code: int = kafka("int16", "2-7", default=0)
    groups: tuple[OffsetFetchResponseGroup, ...] = kafka("[]OffsetFetchResponseGroup", "8+", default=())
