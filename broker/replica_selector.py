"""Which replica a consumer had better read from (Kafka: ``RackAwareReplicaSelector``, KIP-392).

The leader when it is in the consumer's rack, or nobody there is in sync and has the offset; else the one in the rack
that is furthest, then the one that was caught up last, then the one with the larger id.
"""

from __future__ import annotations

from kafsim.broker.partition import Partition
from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol.types import Micros

RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


class ReplicaSelector:
    """``id``: of this broker."""

    def __init__(self, id_: int, metadata: MetadataState, name: str) -> None:
        self._id = id_
        self._metadata = metadata
        self._is_rack_aware = name == RACK_AWARE

    def select(self, partition: Partition, rack: str, offset: int) -> int | None:
        """A follower to read this offset from; None when the leader had better serve it itself."""
        leader = partition.leader
        if not self._is_rack_aware or not rack or leader is None or self._rack_of(self._id) == rack:
            return None
        best: tuple[int, Micros, int] | None = None
        for id_, replica in leader.replicas.items():
            has_it = replica.log_start_offset <= offset <= replica.log_end_offset
            if id_ in leader.isr.isr and has_it and self._rack_of(id_) == rack:
                rank = (replica.log_end_offset, replica.last_caught_up, id_)
                best = rank if best is None else max(best, rank)
        return None if best is None else best[2]

    def _rack_of(self, broker: int) -> str | None:
        """None for a broker that does not serve."""
        state = self._metadata.brokers.get(broker)
        return None if state is None or state.fenced else state.rack
