"""AlterPartition, request and response (Kafka: ``AlterPartitionRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class BrokerState:
    broker_id: int = kafka("int32", "3+", default=0)
    broker_epoch: int = kafka("int64", "3+", default=-1)


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)
    new_isr: tuple[int, ...] = kafka("[]int32", "0-2", default=())
    new_isr_with_epochs: tuple[BrokerState, ...] = kafka("[]BrokerState", "3+", default=())
    leader_recovery_state: int = kafka("int8", "1+", default=0)
    partition_epoch: int = kafka("int32", "0+", default=0)


@struct
class TopicData:
    topic_id: Uuid = kafka("uuid", "2+", default=ZERO_UUID)
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@message(56, "2-3", "0+")
class AlterPartitionRequest:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)
    topics: tuple[TopicData, ...] = kafka("[]TopicData", "0+", default=())


@struct
class PartitionDataResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)
    isr: tuple[int, ...] = kafka("[]int32", "0+", default=())
    leader_recovery_state: int = kafka("int8", "1+", default=0)
    partition_epoch: int = kafka("int32", "0+", default=0)


@struct
class TopicDataResult:
    topic_id: Uuid = kafka("uuid", "2+", default=ZERO_UUID)
    partitions: tuple[PartitionDataResult, ...] = kafka("[]PartitionDataResult", "0+", default=())


@message(56, "2-3", "0+")
class AlterPartitionResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    topics: tuple[TopicDataResult, ...] = kafka("[]TopicDataResult", "0+", default=())
