"""DeleteRecords, request and response (Kafka: ``DeleteRecordsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class DeleteRecordsPartition:
    partition_index: int = kafka("int32", "0+", default=0)
    offset: int = kafka("int64", "0+", default=0)


@struct
class DeleteRecordsTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[DeleteRecordsPartition, ...] = kafka("[]DeleteRecordsPartition", "0+", default=())


@message(21, "0-2", "2+")
class DeleteRecordsRequest:
    topics: tuple[DeleteRecordsTopic, ...] = kafka("[]DeleteRecordsTopic", "0+", default=())
    timeout_ms: int = kafka("int32", "0+", default=0)


@struct
class DeleteRecordsPartitionResult:
    partition_index: int = kafka("int32", "0+", default=0)
    low_watermark: int = kafka("int64", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)


@struct
class DeleteRecordsTopicResult:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[DeleteRecordsPartitionResult, ...] = kafka("[]DeleteRecordsPartitionResult", "0+", default=())


@message(21, "0-2", "2+")
class DeleteRecordsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    topics: tuple[DeleteRecordsTopicResult, ...] = kafka("[]DeleteRecordsTopicResult", "0+", default=())
