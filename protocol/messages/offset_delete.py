"""OffsetDelete, request and response (Kafka: ``OffsetDeleteRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class OffsetDeleteRequestPartition:
    partition_index: int = kafka("int32", "0+", default=0)


@struct
class OffsetDeleteRequestTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[OffsetDeleteRequestPartition, ...] = kafka("[]OffsetDeleteRequestPartition", "0+", default=())


@message(47, "0", "none")
class OffsetDeleteRequest:
    group_id: str = kafka("string", "0+", default="")
    topics: tuple[OffsetDeleteRequestTopic, ...] = kafka("[]OffsetDeleteRequestTopic", "0+", default=())


@struct
class OffsetDeleteResponsePartition:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)


@struct
class OffsetDeleteResponseTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[OffsetDeleteResponsePartition, ...] = kafka("[]OffsetDeleteResponsePartition", "0+", default=())


@message(47, "0", "none")
class OffsetDeleteResponse:
    error_code: int = kafka("int16", "0+", default=0)
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    topics: tuple[OffsetDeleteResponseTopic, ...] = kafka("[]OffsetDeleteResponseTopic", "0+", default=())
