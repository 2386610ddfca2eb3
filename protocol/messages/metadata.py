"""Metadata, request and response (Kafka: ``MetadataRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class MetadataRequestTopic:
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    name: str | None = kafka("string", "0+", default="", nullable="10+")


@message(3, "0-13", "9+")
class MetadataRequest:
    topics: tuple[MetadataRequestTopic, ...] | None = kafka("[]MetadataRequestTopic", "0+", default=(), nullable="1+")
    allow_auto_topic_creation: bool = kafka("bool", "4+", default=True)
    include_cluster_authorized_operations: bool = kafka("bool", "8-10", default=False)
    include_topic_authorized_operations: bool = kafka("bool", "8+", default=False)


@struct
class MetadataResponseBroker:
    node_id: int = kafka("int32", "0+", default=0)
    host: str = kafka("string", "0+", default="")
    port: int = kafka("int32", "0+", default=0)
    rack: str | None = kafka("string", "1+", default=None, nullable="1+")


@struct
class MetadataResponsePartition:
    error_code: int = kafka("int16", "0+", default=0)
    partition_index: int = kafka("int32", "0+", default=0)
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "7+", default=-1)
    replica_nodes: tuple[int, ...] = kafka("[]int32", "0+", default=())
    isr_nodes: tuple[int, ...] = kafka("[]int32", "0+", default=())
    offline_replicas: tuple[int, ...] = kafka("[]int32", "5+", default=())


@struct
class MetadataResponseTopic:
    error_code: int = kafka("int16", "0+", default=0)
    name: str | None = kafka("string", "0+", default="", nullable="12+")
    topic_id: Uuid = kafka("uuid", "10+", default=ZERO_UUID)
    is_internal: bool = kafka("bool", "1+", default=False)
    partitions: tuple[MetadataResponsePartition, ...] = kafka("[]MetadataResponsePartition", "0+", default=())
    topic_authorized_operations: int = kafka("int32", "8+", default=-2147483648)


@message(3, "0-13", "9+")
class MetadataResponse:
    throttle_time_ms: int = kafka("int32", "3+", default=0)
    brokers: tuple[MetadataResponseBroker, ...] = kafka("[]MetadataResponseBroker", "0+", default=())
    cluster_id: str | None = kafka("string", "2+", default=None, nullable="2+")
    controller_id: int = kafka("int32", "1+", default=-1)
    topics: tuple[MetadataResponseTopic, ...] = kafka("[]MetadataResponseTopic", "0+", default=())
    cluster_authorized_operations: int = kafka("int32", "8-10", default=-2147483648)
    error_code: int = kafka("int16", "13+", default=0)
