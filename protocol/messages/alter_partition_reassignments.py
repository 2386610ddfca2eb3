"""AlterPartitionReassignments, request and response (Kafka: ``AlterPartitionReassignmentsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class ReassignablePartition:
    partition_index: int = kafka("int32", "0+", default=0)
    replicas: tuple[int, ...] | None = kafka("[]int32", "0+", default=None, nullable="0+")


@struct
class ReassignableTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[ReassignablePartition, ...] = kafka("[]ReassignablePartition", "0+", default=())


@message(45, "0-1", "0+")
class AlterPartitionReassignmentsRequest:
    timeout_ms: int = kafka("int32", "0+", default=60000)
    allow_replication_factor_change: bool = kafka("bool", "1+", default=True)
    topics: tuple[ReassignableTopic, ...] = kafka("[]ReassignableTopic", "0+", default=())


@struct
class ReassignablePartitionResponse:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")


@struct
class ReassignableTopicResponse:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[ReassignablePartitionResponse, ...] = kafka("[]ReassignablePartitionResponse", "0+", default=())


@message(45, "0-1", "0+")
class AlterPartitionReassignmentsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    allow_replication_factor_change: bool = kafka("bool", "1+", default=True)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
    responses: tuple[ReassignableTopicResponse, ...] = kafka("[]ReassignableTopicResponse", "0+", default=())
