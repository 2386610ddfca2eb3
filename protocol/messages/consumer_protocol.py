"""What a consumer tells its group of itself, and is assigned (Kafka: ``ConsumerProtocol``)."""

from __future__ import annotations

from kafsim.protocol.schema import NO_KEY, kafka, message, struct


@struct
class TopicPartition:
    topic: str = kafka("string", "1+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "1+", default=())


@message(NO_KEY, "0-3", "none")
class ConsumerProtocolSubscription:
    topics: tuple[str, ...] = kafka("[]string", "0+", default=())
    user_data: bytes | None = kafka("bytes", "0+", default=None, nullable="0+")
    owned_partitions: tuple[TopicPartition, ...] = kafka("[]TopicPartition", "1+", default=())
    generation_id: int = kafka("int32", "2+", default=-1)
    rack_id: str | None = kafka("string", "3+", default=None, nullable="3+")


@struct
class TopicPartitionResult:
    topic: str = kafka("string", "0+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(NO_KEY, "0-3", "none")
class ConsumerProtocolAssignment:
    assigned_partitions: tuple[TopicPartitionResult, ...] = kafka("[]TopicPartitionResult", "0+", default=())
    user_data: bytes | None = kafka("bytes", "0+", default=None, nullable="0+")
