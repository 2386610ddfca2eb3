"""What is committed, for whoever replays the metadata (Kafka: ``KafkaRaftClient.ListenerContext``).

From the log where it goes on from what was read last; from the latest snapshot where the log has been cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kafsim.controller.metadata_state import MetadataState
from kafsim.controller.raft import snapshots
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.protocol.facts.quorum import SnapshotTaken
from kafsim.protocol.records import batch as batches
from kafsim.protocol.types import Micros, millis

READ_BYTES = 1_048_576


class Replayed(NamedTuple):
    offset: int
    record: Any


class CommittedReader:
    """``next_offset``: all below has been replayed."""

    def __init__(self, raft: RaftClient) -> None:
        self._raft = raft
        self.next_offset = 0

    def catch_up(self, state: MetadataState) -> Iterator[Replayed]:
        """Bring a state up to the high watermark; gives each record of the log after it was replayed."""
        bound = self._raft.high_watermark
        latest = self._raft.log.latest_snapshot
        if self.next_offset < bound and latest is not None and self._is_behind():
            state.load([d.record for d in self._records_of(latest)], latest.offset - 1)
            self.next_offset = latest.offset
        while self.next_offset < bound:
            read = self._raft.log.log.read(self.next_offset, READ_BYTES, bound)
            if not read.records:
                return
            for offset, record, is_control in snapshots.decode(read.records):
                if offset >= self.next_offset and not is_control:
                    state.replay(record, offset)
                    yield Replayed(offset, record)
            self.next_offset = end_offset_of(read.records)

    def _is_behind(self) -> bool:
        return self.next_offset == 0 or self.next_offset < self._raft.log.start_offset

    def _records_of(self, id_: OffsetAndEpoch) -> Iterator[snapshots.Decoded]:
        data = self._raft.log.read_snapshot(id_)
        assert data is not None, f"snapshot {id_} is gone"
        return (decoded for decoded in snapshots.decode(data) if not decoded.control)


class SnapshotGenerator:
    """Writes a snapshot after so many bytes of the log, or after so long (Kafka: ``SnapshotGenerator``)."""

    def __init__(self, raft: RaftClient) -> None:
        self._raft = raft
        self._max_bytes: int = raft.settings["metadata.log.max.record.bytes.between.snapshots"]
        self._interval = millis(raft.settings["metadata.log.max.snapshot.interval.ms"])
        self._bytes_then = 0
        self._at: Micros | None = None

    def maybe_generate(self, now: Micros, state: MetadataState, end: int) -> None:
        """``state`` is that of all below ``end``, which is committed."""
        log = self._raft.log
        if self._at is None:
            self._at = now
        too_many = log.bytes_appended - self._bytes_then >= self._max_bytes
        too_long = bool(self._interval) and now - self._at >= self._interval
        if not (too_many or too_long) or end <= log.start_offset or end > log.high_watermark:
            return
        id_ = OffsetAndEpoch(log.epoch_at(end), end)
        self._at, self._bytes_then = now, log.bytes_appended
        if id_ not in log.snapshots:
            self._write(now, state, id_)

    def _write(self, now: Micros, state: MetadataState, id_: OffsetAndEpoch) -> None:
        raft = self._raft
        records = list(state.records())
        wall = raft.given.wall_ms(now)
        voters = raft.log.voters_at(id_.offset)
        contained = raft.log.timestamp_before(id_.offset)
        raft.log.add_snapshot(
            id_, snapshots.encode(records, id_, voters=voters, wall_ms=wall, last_contained_ms=contained)
        )
        taken = SnapshotTaken(end_offset=id_.offset, epoch=id_.epoch, records=len(records), fetched=False)
        raft.outbox.happened(taken)


def end_offset_of(data: bytes) -> int:
    """The offset after the last of some batches."""
    last = list(batches.spans_in_memory(data))[-1]
    return batches.header(data, last.position).next_offset
