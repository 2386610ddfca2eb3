"""DescribeProducers, request and response (Kafka: ``DescribeProducersRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class TopicRequest:
    name: str = kafka("string", "0+", default="")
    partition_indexes: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(61, "0", "0+")
class DescribeProducersRequest:
    topics: tuple[TopicRequest, ...] = kafka("[]TopicRequest", "0+", default=())


@struct
class ProducerState:
    producer_id: int = kafka("int64", "0+", default=0)
    producer_epoch: int = kafka("int32", "0+", default=0)
    last_sequence: int = kafka("int32", "0+", default=-1)
    last_timestamp: int = kafka("int64", "0+", default=-1)
    coordinator_epoch: int = kafka("int32", "0+", default=0)
    current_txn_start_offset: int = kafka("int64", "0+", default=-1)


@struct
class PartitionResponse:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default=None, nullable="0+")
    active_producers: tuple[ProducerState, ...] = kafka("[]ProducerState", "0+", default=())


@struct
class TopicResponse:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionResponse, ...] = kafka("[]PartitionResponse", "0+", default=())


@message(61, "0", "0+")
class DescribeProducersResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    topics: tuple[TopicResponse, ...] = kafka("[]TopicResponse", "0+", default=())
