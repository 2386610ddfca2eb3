"""DescribeQuorum, request and response (Kafka: ``DescribeQuorumRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)


@struct
class TopicData:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@message(55, "0-2", "0+")
class DescribeQuorumRequest:
    topics: tuple[TopicData, ...] = kafka("[]TopicData", "0+", default=())


@struct
class ReplicaState:
    replica_id: int = kafka("int32", "0+", default=0)
    replica_directory_id: Uuid = kafka("uuid", "2+", default=ZERO_UUID)
    log_end_offset: int = kafka("int64", "0+", default=0)
    last_fetch_timestamp: int = kafka("int64", "1+", default=-1)
    last_caught_up_timestamp: int = kafka("int64", "1+", default=-1)


@struct
class PartitionDataResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "2+", default="", nullable="2+")
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)
    high_watermark: int = kafka("int64", "0+", default=0)
    current_voters: tuple[ReplicaState, ...] = kafka("[]ReplicaState", "0+", default=())
    observers: tuple[ReplicaState, ...] = kafka("[]ReplicaState", "0+", default=())


@struct
class TopicDataResult:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionDataResult, ...] = kafka("[]PartitionDataResult", "0+", default=())


@struct
class Listener:
    name: str = kafka("string", "2+", default="")
    host: str = kafka("string", "2+", default="")
    port: int = kafka("uint16", "2+", default=0)


@struct
class Node:
    node_id: int = kafka("int32", "2+", default=0)
    listeners: tuple[Listener, ...] = kafka("[]Listener", "2+", default=())


@message(55, "0-2", "0+")
class DescribeQuorumResponse:
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "2+", default="", nullable="2+")
    topics: tuple[TopicDataResult, ...] = kafka("[]TopicDataResult", "0+", default=())
    nodes: tuple[Node, ...] = kafka("[]Node", "2+", default=())
