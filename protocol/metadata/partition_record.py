"""PartitionRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(3, "0-2", "0+")
class PartitionRecord:
    partition_id: int = kafka("int32", "0+", default=-1)
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())
    isr: tuple[int, ...] = kafka("[]int32", "0+", default=())
    removing_replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())
    adding_replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())
    leader: int = kafka("int32", "0+", default=-1)
    leader_recovery_state: int = kafka("int8", "0+", default=0, tag=0, tagged="0+")
    leader_epoch: int = kafka("int32", "0+", default=-1)
    partition_epoch: int = kafka("int32", "0+", default=-1)
    directories: tuple[Uuid, ...] = kafka("[]uuid", "1+", default=())
    eligible_leader_replicas: tuple[int, ...] | None = kafka(
        "[]int32", "2+", default=None, nullable="2+", tag=1, tagged="2+"
    )
    last_known_elr: tuple[int, ...] | None = kafka("[]int32", "2+", default=None, nullable="2+", tag=2, tagged="2+")
