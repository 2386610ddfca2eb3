"""Produce, request and response (Kafka: ``ProduceRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class PartitionProduceData:
    index: int = kafka("int32", "0+", default=0)
    records: bytes | None = kafka("records", "0+", default=None, nullable="0+")


@struct
class TopicProduceData:
    name: str = kafka("string", "0-12", default="")
    topic_id: Uuid = kafka("uuid", "13+", default=ZERO_UUID)
    partition_data: tuple[PartitionProduceData, ...] = kafka("[]PartitionProduceData", "0+", default=())


@message(0, "3-13", "9+")
class ProduceRequest:
    transactional_id: str | None = kafka("string", "3+", default=None, nullable="3+")
    acks: int = kafka("int16", "0+", default=0)
    timeout_ms: int = kafka("int32", "0+", default=0)
    topic_data: tuple[TopicProduceData, ...] = kafka("[]TopicProduceData", "0+", default=())


@struct
class BatchIndexAndErrorMessage:
    batch_index: int = kafka("int32", "8+", default=0)
    batch_index_error_message: str | None = kafka("string", "8+", default=None, nullable="8+")


@struct
class LeaderIdAndEpoch:
    leader_id: int = kafka("int32", "10+", default=-1)
    leader_epoch: int = kafka("int32", "10+", default=-1)


@struct
class PartitionProduceResponse:
    index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    base_offset: int = kafka("int64", "0+", default=0)
    log_append_time_ms: int = kafka("int64", "2+", default=-1)
    log_start_offset: int = kafka("int64", "5+", default=-1)
    record_errors: tuple[BatchIndexAndErrorMessage, ...] = kafka("[]BatchIndexAndErrorMessage", "8+", default=())
    error_message: str | None = kafka("string", "8+", default=None, nullable="8+")
    current_leader: LeaderIdAndEpoch = kafka("LeaderIdAndEpoch", "10+", default=LeaderIdAndEpoch(), tag=0, tagged="10+")


@struct
class TopicProduceResponse:
    name: str = kafka("string", "0-12", default="")
    topic_id: Uuid = kafka("uuid", "13+", default=ZERO_UUID)
    partition_responses: tuple[PartitionProduceResponse, ...] = kafka("[]PartitionProduceResponse", "0+", default=())


@struct
class NodeEndpoint:
    node_id: int = kafka("int32", "10+", default=0)
    host: str = kafka("string", "10+", default="")
    port: int = kafka("int32", "10+", default=0)
    rack: str | None = kafka("string", "10+", default=None, nullable="10+")


@message(0, "3-13", "9+")
class ProduceResponse:
    responses: tuple[TopicProduceResponse, ...] = kafka("[]TopicProduceResponse", "0+", default=())
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    node_endpoints: tuple[NodeEndpoint, ...] = kafka("[]NodeEndpoint", "10+", default=(), tag=0, tagged="10+")
