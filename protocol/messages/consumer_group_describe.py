"""ConsumerGroupDescribe, request and response (Kafka: ``ConsumerGroupDescribeRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(69, "0-1", "0+")
class ConsumerGroupDescribeRequest:
    group_ids: tuple[str, ...] = kafka("[]string", "0+", default=())
    include_authorized_operations: bool = kafka("bool", "0+", default=False)


@struct
class TopicPartitions:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@struct
class Assignment:
    topic_partitions: tuple[TopicPartitions, ...] = kafka("[]TopicPartitions", "0+", default=())


@struct
class Member:
    member_id: str = kafka("string", "0+", default="")
    instance_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    rack_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    member_epoch: int = kafka("int32", "0+", default=0)
    client_id: str = kafka("string", "0+", default="")
    client_host: str = kafka("string", "0+", default="")
    subscribed_topic_names: tuple[str, ...] = kafka("[]string", "0+", default=())
    subscribed_topic_regex: str | None = kafka("string", "0+", default=None, nullable="0+")
    assignment: Assignment = kafka("Assignment", "0+", default=Assignment())
    target_assignment: Assignment = kafka("Assignment", "0+", default=Assignment())
    member_type: int = kafka("int8", "1+", default=-1)


@struct
class DescribedGroup:
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default=None, nullable="0+")
    group_id: str = kafka("string", "0+", default="")
    group_state: str = kafka("string", "0+", default="")
    group_epoch: int = kafka("int32", "0+", default=0)
    assignment_epoch: int = kafka("int32", "0+", default=0)
    assignor_name: str = kafka("string", "0+", default="")
    members: tuple[Member, ...] = kafka("[]Member", "0+", default=())
    authorized_operations: int = kafka("int32", "0+", default=-2147483648)


@message(69, "0-1", "0+")
class ConsumerGroupDescribeResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    groups: tuple[DescribedGroup, ...] = kafka("[]DescribedGroup", "0+", default=())
