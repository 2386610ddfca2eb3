"""ElectLeaders, request and response (Kafka: ``ElectLeadersRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class TopicPartitions:
    topic: str = kafka("string", "0+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(43, "0-2", "2+")
class ElectLeadersRequest:
    election_type: int = kafka("int8", "1+", default=0)
    topic_partitions: tuple[TopicPartitions, ...] | None = kafka("[]TopicPartitions", "0+", default=(), nullable="0+")
    timeout_ms: int = kafka("int32", "0+", default=60000)


@struct
class PartitionResult:
    partition_id: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")


@struct
class ReplicaElectionResult:
    topic: str = kafka("string", "0+", default="")
    partition_result: tuple[PartitionResult, ...] = kafka("[]PartitionResult", "0+", default=())


@message(43, "0-2", "2+")
class ElectLeadersResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "1+", default=0)
    replica_election_results: tuple[ReplicaElectionResult, ...] = kafka("[]ReplicaElectionResult", "0+", default=())
