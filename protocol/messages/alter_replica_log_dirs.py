"""AlterReplicaLogDirs, request and response (Kafka: ``AlterReplicaLogDirsRequest.json``; KIP-113)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class AlterReplicaLogDirTopic:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@struct
class AlterReplicaLogDir:
    path: str = kafka("string", "0+", default="")
    topics: tuple[AlterReplicaLogDirTopic, ...] = kafka("[]AlterReplicaLogDirTopic", "0+", default=())


@message(34, "1-2", "2+")
class AlterReplicaLogDirsRequest:
    dirs: tuple[AlterReplicaLogDir, ...] = kafka("[]AlterReplicaLogDir", "0+", default=())


@struct
class AlterReplicaLogDirPartitionResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)


@struct
class AlterReplicaLogDirTopicResult:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[AlterReplicaLogDirPartitionResult, ...] = kafka(
        "[]AlterReplicaLogDirPartitionResult", "0+", default=()
    )


@message(34, "1-2", "2+")
class AlterReplicaLogDirsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    results: tuple[AlterReplicaLogDirTopicResult, ...] = kafka("[]AlterReplicaLogDirTopicResult", "0+", default=())
