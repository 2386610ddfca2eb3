"""CreatePartitions, request and response (Kafka: ``CreatePartitionsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class CreatePartitionsAssignment:
    broker_ids: tuple[int, ...] = kafka("[]int32", "0+", default=())


@struct
class CreatePartitionsTopic:
    name: str = kafka("string", "0+", default="")
    count: int = kafka("int32", "0+", default=0)
    assignments: tuple[CreatePartitionsAssignment, ...] | None = kafka(
        "[]CreatePartitionsAssignment", "0+", default=(), nullable="0+"
    )


@message(37, "0-3", "2+")
class CreatePartitionsRequest:
    topics: tuple[CreatePartitionsTopic, ...] = kafka("[]CreatePartitionsTopic", "0+", default=())
    timeout_ms: int = kafka("int32", "0+", default=0)
    validate_only: bool = kafka("bool", "0+", default=False)


@struct
class CreatePartitionsTopicResult:
    name: str = kafka("string", "0+", default="")
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default=None, nullable="0+")


@message(37, "0-3", "2+")
class CreatePartitionsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    results: tuple[CreatePartitionsTopicResult, ...] = kafka("[]CreatePartitionsTopicResult", "0+", default=())
