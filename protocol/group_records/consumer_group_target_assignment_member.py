"""ConsumerGroupTargetAssignmentMember, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(7, "0", "none")
class ConsumerGroupTargetAssignmentMemberKey:
    group_id: str = kafka("string", "0", default="")
    member_id: str = kafka("string", "0", default="")


@struct
class TopicPartition:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(7, "0", "0+")
class ConsumerGroupTargetAssignmentMemberValue:
    topic_partitions: tuple[TopicPartition, ...] = kafka("[]TopicPartition", "0+", default=())
