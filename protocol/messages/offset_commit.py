"""OffsetCommit, request and response (Kafka: ``OffsetCommitRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class OffsetCommitRequestPartition:
    partition_index: int = kafka("int32", "0+", default=0)
    committed_offset: int = kafka("int64", "0+", default=0)
    committed_leader_epoch: int = kafka("int32", "6+", default=-1)
    committed_metadata: str | None = kafka("string", "0+", default="", nullable="0+")


@struct
class OffsetCommitRequestTopic:
    name: str = kafka("string", "0-9", default="")
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    partitions: tuple[OffsetCommitRequestPartition, ...] = kafka("[]OffsetCommitRequestPartition", "0+", default=())


@message(8, "2-10", "8+")
class OffsetCommitRequest:
    group_id: str = kafka("string", "0+", default="")
    generation_id_or_member_epoch: int = kafka("int32", "1+", default=-1)
    member_id: str = kafka("string", "1+", default="")
    group_instance_id: str | None = kafka("string", "7+", default=None, nullable="7+")
    retention_time_ms: int = kafka("int64", "2-4", default=-1)
    topics: tuple[OffsetCommitRequestTopic, ...] = kafka("[]OffsetCommitRequestTopic", "0+", default=())


@struct
class OffsetCommitResponsePartition:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)


@struct
class OffsetCommitResponseTopic:
    name: str = kafka("string", "0-9", default="")
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    partitions: tuple[OffsetCommitResponsePartition, ...] = kafka("[]OffsetCommitResponsePartition", "0+", default=())


@message(8, "2-10", "8+")
class OffsetCommitResponse:
    throttle_time_ms: int = kafka("int32", "3+", default=0)
    topics: tuple[OffsetCommitResponseTopic, ...] = kafka("[]OffsetCommitResponseTopic", "0+", default=())
