"""ConsumerGroupCurrentMemberAssignment, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(8, "0", "none")
class ConsumerGroupCurrentMemberAssignmentKey:
    group_id: str = kafka("string", "0", default="")
    member_id: str = kafka("string", "0", default="")


@struct
class TopicPartitions:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    partitions: tuple[int, ...] = kafka("[]int32", "0+", default=())
    assignment_epochs: tuple[int, ...] | None = kafka("[]int32", "0+", default=(), nullable="0+", tag=0, tagged="0+")


@message(8, "0", "0+")
class ConsumerGroupCurrentMemberAssignmentValue:
    member_epoch: int = kafka("int32", "0+", default=0)
    previous_member_epoch: int = kafka("int32", "0+", default=0)
    state: int = kafka("int8", "0+", default=0)
    assigned_partitions: tuple[TopicPartitions, ...] = kafka("[]TopicPartitions", "0+", default=())
    partitions_pending_revocation: tuple[TopicPartitions, ...] = kafka("[]TopicPartitions", "0+", default=())
