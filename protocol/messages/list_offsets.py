"""ListOffsets, request and response (Kafka: ``ListOffsetsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class ListOffsetsPartition:
    partition_index: int = kafka("int32", "0+", default=0)
    current_leader_epoch: int = kafka("int32", "4+", default=-1)
    timestamp: int = kafka("int64", "0+", default=0)


@struct
class ListOffsetsTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[ListOffsetsPartition, ...] = kafka("[]ListOffsetsPartition", "0+", default=())


@message(2, "1-11", "6+")
class ListOffsetsRequest:
    replica_id: int = kafka("int32", "0+", default=0)
    isolation_level: int = kafka("int8", "2+", default=0)
    topics: tuple[ListOffsetsTopic, ...] = kafka("[]ListOffsetsTopic", "0+", default=())
    timeout_ms: int = kafka("int32", "10+", default=0)


@struct
class ListOffsetsPartitionResponse:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    timestamp: int = kafka("int64", "1+", default=-1)
    offset: int = kafka("int64", "1+", default=-1)
    leader_epoch: int = kafka("int32", "4+", default=-1)


@struct
class ListOffsetsTopicResponse:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[ListOffsetsPartitionResponse, ...] = kafka("[]ListOffsetsPartitionResponse", "0+", default=())


@message(2, "1-11", "6+")
class ListOffsetsResponse:
    throttle_time_ms: int = kafka("int32", "2+", default=0)
    topics: tuple[ListOffsetsTopicResponse, ...] = kafka("[]ListOffsetsTopicResponse", "0+", default=())
