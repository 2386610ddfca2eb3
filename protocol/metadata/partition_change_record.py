"""PartitionChangeRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(5, "0-2", "0+")
class PartitionChangeRecord:
    partition_id: int = kafka("int32", "0+", default=-1)
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    isr: tuple[int, ...] | None = kafka("[]int32", "0+", default=None, nullable="0+", tag=0, tagged="0+")
    leader: int = kafka("int32", "0+", default=-2, tag=1, tagged="0+")
    replicas: tuple[int, ...] | None = kafka("[]int32", "0+", default=None, nullable="0+", tag=2, tagged="0+")
    removing_replicas: tuple[int, ...] | None = kafka("[]int32", "0+", default=None, nullable="0+", tag=3, tagged="0+")
    adding_replicas: tuple[int, ...] | None = kafka("[]int32", "0+", default=None, nullable="0+", tag=4, tagged="0+")
    leader_recovery_state: int = kafka("int8", "0+", default=-1, tag=5, tagged="0+")
    directories: tuple[Uuid, ...] | None = kafka("[]uuid", "1+", default=None, nullable="1+", tag=8, tagged="1+")
    eligible_leader_replicas: tuple[int, ...] | None = kafka(
        "[]int32", "2+", default=None, nullable="2+", tag=6, tagged="2+"
    )
    last_known_elr: tuple[int, ...] | None = kafka("[]int32", "2+", default=None, nullable="2+", tag=7, tagged="2+")
