"""AssignReplicasToDirs, request and response (Kafka: ``AssignReplicasToDirsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)


@struct
class TopicData:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@struct
class DirectoryData:
    id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    topics: tuple[TopicData, ...] = kafka("[]TopicData", "0+", default=())


@message(73, "0", "0+")
class AssignReplicasToDirsRequest:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)
    directories: tuple[DirectoryData, ...] = kafka("[]DirectoryData", "0+", default=())


@struct
class PartitionDataResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)


@struct
class TopicDataResult:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    partitions: tuple[PartitionDataResult, ...] = kafka("[]PartitionDataResult", "0+", default=())


@struct
class DirectoryDataResult:
    id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    topics: tuple[TopicDataResult, ...] = kafka("[]TopicDataResult", "0+", default=())


@message(73, "0", "0+")
class AssignReplicasToDirsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    directories: tuple[DirectoryDataResult, ...] = kafka("[]DirectoryDataResult", "0+", default=())
