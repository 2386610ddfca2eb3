"""ConsumerGroupHeartbeat, request and response (Kafka: ``ConsumerGroupHeartbeatRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class TopicPartitions:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(68, "0-1", "0+")
class ConsumerGroupHeartbeatRequest:
    group_id: str = kafka("string", "0+", default="")
    member_id: str = kafka("string", "0+", default="")
    member_epoch: int = kafka("int32", "0+", default=0)
    instance_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    rack_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    rebalance_timeout_ms: int = kafka("int32", "0+", default=-1)
    subscribed_topic_names: tuple[str, ...] | None = kafka("[]string", "0+", default=None, nullable="0+")
    subscribed_topic_regex: str | None = kafka("string", "1+", default=None, nullable="1+")
    server_assignor: str | None = kafka("string", "0+", default=None, nullable="0+")
    topic_partitions: tuple[TopicPartitions, ...] | None = kafka("[]TopicPartitions", "0+", default=None, nullable="0+")


@struct
class Assignment:
    topic_partitions: tuple[TopicPartitions, ...] = kafka("[]TopicPartitions", "0+", default=())


@message(68, "0-1", "0+")
class ConsumerGroupHeartbeatResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default=None, nullable="0+")
    member_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    member_epoch: int = kafka("int32", "0+", default=0)
    heartbeat_interval_ms: int = kafka("int32", "0+", default=0)
    assignment: Assignment | None = kafka("Assignment", "0+", default=None, nullable="0+")
