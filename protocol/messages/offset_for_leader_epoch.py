"""OffsetForLeaderEpoch, request and response (Kafka: ``OffsetForLeaderEpochRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class OffsetForLeaderPartition:
    partition: int = kafka("int32", "0+", default=0)
    current_leader_epoch: int = kafka("int32", "2+", default=-1)
    leader_epoch: int = kafka("int32", "0+", default=0)


@struct
class OffsetForLeaderTopic:
    topic: str = kafka("string", "0+", default="")
    partitions: tuple[OffsetForLeaderPartition, ...] = kafka("[]OffsetForLeaderPartition", "0+", default=())


@message(23, "2-4", "4+")
class OffsetForLeaderEpochRequest:
    replica_id: int = kafka("int32", "3+", default=-2)
    topics: tuple[OffsetForLeaderTopic, ...] = kafka("[]OffsetForLeaderTopic", "0+", default=())


@struct
class EpochEndOffset:
    error_code: int = kafka("int16", "0+", default=0)
    partition: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "1+", default=-1)
    end_offset: int = kafka("int64", "0+", default=-1)


@struct
class OffsetForLeaderTopicResult:
    topic: str = kafka("string", "0+", default="")
    partitions: tuple[EpochEndOffset, ...] = kafka("[]EpochEndOffset", "0+", default=())


@message(23, "2-4", "4+")
class OffsetForLeaderEpochResponse:
    throttle_time_ms: int = kafka("int32", "2+", default=0)
    topics: tuple[OffsetForLeaderTopicResult, ...] = kafka("[]OffsetForLeaderTopicResult", "0+", default=())
