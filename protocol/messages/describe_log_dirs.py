"""DescribeLogDirs, request and response (Kafka: ``DescribeLogDirsRequest.json``; KIP-113, KIP-827)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class DescribableLogDirTopic:
    topic: str = kafka("string", "0+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(35, "1-5", "2+")
class DescribeLogDirsRequest:
    topics: tuple[DescribableLogDirTopic, ...] | None = kafka(
        "[]DescribableLogDirTopic", "0+", default=(), nullable="0+"
    )


@struct
class DescribeLogDirsPartition:
    partition_index: int = kafka("int32", "0+", default=0)
    partition_size: int = kafka("int64", "0+", default=0)
    offset_lag: int = kafka("int64", "0+", default=0)
    is_future_key: bool = kafka("bool", "0+", default=False)


@struct
class DescribeLogDirsTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[DescribeLogDirsPartition, ...] = kafka("[]DescribeLogDirsPartition", "0+", default=())


@struct
class DescribeLogDirsResult:
    error_code: int = kafka("int16", "0+", default=0)
    log_dir: str = kafka("string", "0+", default="")
    topics: tuple[DescribeLogDirsTopic, ...] = kafka("[]DescribeLogDirsTopic", "0+", default=())
    total_bytes: int = kafka("int64", "4+", default=-1)
    usable_bytes: int = kafka("int64", "4+", default=-1)
    is_cordoned: bool = kafka("bool", "5+", default=False)


@message(35, "1-5", "2+")
class DescribeLogDirsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "3+", default=0)
    results: tuple[DescribeLogDirsResult, ...] = kafka("[]DescribeLogDirsResult", "0+", default=())
