"""What a broker makes of the metadata log: replay what is committed, publish each step (Kafka: ``MetadataLoader``).

Nothing is published before the high watermark is known and has been reached.
"""

from __future__ import annotations

from collections.abc import Callable

from kafsim.controller.committed import CommittedReader, SnapshotGenerator
from kafsim.controller.metadata_state import MetadataState
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.protocol.types import Micros


class MetadataLoader:
    """``on_publish`` is told after each step forward, once the log has been read to its end."""

    def __init__(self, raft: RaftClient, on_publish: Callable[[Micros], None]) -> None:
        self.state = MetadataState()
        self.state.touched = {}
        self.applied = -1
        """The offset of the last record that was published; -1 before the first time."""
        self._on_publish = on_publish
        self._reader = CommittedReader(raft)
        self._snapshots = SnapshotGenerator(raft)

    def on_committed(self, now: Micros) -> None:
        for _ in self._reader.catch_up(self.state):
            pass
        end = self._reader.next_offset
        if end > self.applied + 1:
            self._on_publish(now)
            self.applied = end - 1
            self._snapshots.maybe_generate(now, self.state, end)

    def on_leader_change(self, now: Micros, leader: int, epoch: int) -> None:
        """Whoever needs the active controller asks the quorum for it."""
