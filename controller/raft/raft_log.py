"""The metadata log of one node with its snapshots (Kafka: ``KafkaRaftLog``, ``KRaftControlRecordStateMachine``).

A snapshot holds the whole state below its end offset, so the log may be cut there. The voters are those of the last
voters record in log or snapshot, committed or not.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from kafsim.controller.raft import snapshots
from kafsim.controller.raft.snapshots import OffsetAndEpoch
from kafsim.controller.raft.voter_set import VoterSet
from kafsim.protocol.facts.quorum import VotersChanged
from kafsim.protocol.metadata.control_records import KRaftVersionRecord, VotersRecord
from kafsim.protocol.records import batch as batches
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros
from kafsim.storage import recovery
from kafsim.storage.log import Log
from kafsim.storage.log_config import LogConfig

DIRECTORY = "__cluster_metadata-0"
NO_LIMIT = 0x7FFF_FFFF


class Kind(enum.Enum):
    VALID = "valid"
    DIVERGING = "diverging"
    SNAPSHOT = "snapshot"


class Validity(NamedTuple):
    """Is what a replica says of the end of its log true here? If not, where it may cut, or which snapshot to take."""

    kind: Kind
    at: OffsetAndEpoch


class RaftLog:
    """``voters`` and ``kraft_version`` are those of the end of the log."""

    def __init__(self, given: Surroundings, static_voters: VoterSet, *, segment_bytes: int, segment_ms: int) -> None:
        self._given = given
        self._static_voters = static_voters
        self._config = LogConfig(
            retention_ms=-1, segment_bytes=segment_bytes, segment_ms=segment_ms, max_message_bytes=8_388_608
        )
        self.log: Log
        self.snapshots: list[OffsetAndEpoch] = []
        """In order; the last one is the latest."""
        self.bytes_appended = 0
        """By this process."""
        self._history: list[tuple[int, VoterSet]] = []
        """Voters by the offset of their record, of a snapshot that of the last record in it."""
        self._versions: list[tuple[int, int]] = []

    def open(self, now: Micros) -> None:
        """Log and snapshots as the disk has them."""
        self.log = recovery.load(
            DIRECTORY,
            self._given.files,
            self._given.outbox,
            self._config,
            self._given.safeguards,
            now_ms=self._given.wall_ms(now),
            clean=False,
            log_start_offset=self._latest_on_disk_below_log(),
            is_quiet=False,
        )
        self._load_snapshots()
        if not self.truncate_to_latest_snapshot(now):
            self._read_control_records(self._read_snapshot_head())
        if not self._history:
            self._given.outbox.happened(VotersChanged(voters=tuple(self.voters.ids), at=-1))

    def _latest_on_disk_below_log(self) -> int:
        """A log whose first segment begins in the middle of what a snapshot covers starts where the snapshot ends."""
        names = [n for n in self._given.files.names(f"{DIRECTORY}/") if n.endswith(".log")]
        first = min((int(name.rpartition("/")[2].removesuffix(".log")) for name in names), default=0)
        ids = [snapshots.parse_name(name) for name in self._given.files.names(f"{DIRECTORY}/")]
        ends = [id_.offset for id_ in ids if id_ is not None and id_.offset >= first]
        return min(ends, default=0) if first else 0

    def _load_snapshots(self) -> None:
        for name in list(self._given.files.names(f"{DIRECTORY}/")):
            id_ = snapshots.parse_name(name)
            if id_ is None:
                continue
            if id_.offset < self.log.log_start_offset:
                self._given.files.delete(name)
            else:
                self.snapshots.append(id_)
        self.snapshots.sort()

    # ------------------------------------------------------------------------ the end

    @property
    def end_offset(self) -> int:
        return self.log.log_end_offset

    @property
    def start_offset(self) -> int:
        return self.log.log_start_offset

    @property
    def high_watermark(self) -> int:
        return self.log.high_watermark

    @property
    def last_epoch(self) -> int:
        """Of the last record, in the log or below it; 0 for a new log."""
        if self.log.latest_epoch >= 0:
            return self.log.latest_epoch
        latest = self.latest_snapshot
        return latest.epoch if latest is not None else 0

    @property
    def end(self) -> OffsetAndEpoch:
        return OffsetAndEpoch(self.last_epoch, self.end_offset)

    @property
    def latest_snapshot(self) -> OffsetAndEpoch | None:
        return self.snapshots[-1] if self.snapshots else None

    def end_offset_for_epoch(self, epoch: int) -> OffsetAndEpoch:
        found, end = self.log.end_offset_for_epoch(epoch)
        if found < 0:
            return self.end
        earliest = self.snapshots[0] if self.snapshots else None
        if earliest is not None and end == earliest.offset and found == epoch:
            return earliest
        return OffsetAndEpoch(found, end)

    def validate(self, offset: int, epoch: int) -> Validity:
        """May a replica whose log ends so go on from there?"""
        if self.start_offset == 0 and offset == 0:
            return Validity(Kind.VALID, OffsetAndEpoch(0, 0))
        earliest = self.snapshots[0] if self.snapshots else None
        if earliest is not None and (
            offset < self.start_offset
            or (offset == self.start_offset and epoch != earliest.epoch)
            or epoch < earliest.epoch
        ):
            return Validity(Kind.SNAPSHOT, self.snapshots[-1])
        known = self.end_offset_for_epoch(epoch)
        if known.epoch != epoch or known.offset < offset:
            return Validity(Kind.DIVERGING, known)
        return Validity(Kind.VALID, OffsetAndEpoch(epoch, offset))

    # ---------------------------------------------------------------------- writing

    def append_as_leader(self, batch: bytes, now: Micros) -> None:
        self._append(batch, batches.header(batch).leader_epoch, now, is_leader=True)

    def append_as_follower(self, data: bytes, epoch: int, now: Micros) -> None:
        self._append(data, epoch, now, is_leader=False)

    def _append(self, data: bytes, epoch: int, now: Micros, *, is_leader: bool) -> None:
        before, wall = self.end_offset, self._given.wall_ms(now)
        self.bytes_appended += len(data)
        if is_leader:
            self.log.append_control(data, wall)
        else:
            self.log.append_as_follower(data, epoch, wall)
        if any(batches.header(data, span.position).is_control for span in batches.spans_in_memory(data)):
            self._read_control_records(before)

    def truncate_to_end_offset(self, diverging: OffsetAndEpoch, now: Micros) -> int:
        """Cut what the leader does not have; the offset where the log ends now."""
        ours = self.end_offset_for_epoch(diverging.epoch)
        if diverging.epoch == 0:
            to = min(diverging.offset, self.end_offset)
        elif ours.epoch == diverging.epoch:
            to = min(ours.offset, diverging.offset)
        else:
            to = ours.offset
        assert to >= self.high_watermark, f"told to cut at {to}, and all below {self.high_watermark} is committed"
        self.log.truncate_to(to, self._given.wall_ms(now))
        before = self.voters
        self._history = [entry for entry in self._history if entry[0] < to]
        self._versions = [entry for entry in self._versions if entry[0] < to]
        if self.voters != before:
            self._given.outbox.happened(VotersChanged(voters=tuple(self.voters.ids), at=self.voters_offset))
        return to

    def truncate_to_latest_snapshot(self, now: Micros) -> bool:
        """A snapshot that is ahead of the log takes its place. True when it did."""
        latest = self.latest_snapshot
        if latest is None or latest <= OffsetAndEpoch(max(self.log.latest_epoch, 0), self.end_offset):
            return False
        self.log.replace_all(latest.offset, self._given.wall_ms(now))
        self._forget_before(latest)
        self._read_control_records(self._read_snapshot_head())
        return True

    # ----------------------------------------------------------------------- voters

    @property
    def voters(self) -> VoterSet:
        return self._history[-1][1] if self._history else self._static_voters

    @property
    def voters_offset(self) -> int:
        """Of the record that has them; -1 when they come from the settings or were there before the first record."""
        return self._history[-1][0] if self._history else -1

    @property
    def kraft_version(self) -> int:
        return self._versions[-1][1] if self._versions else 0

    def voters_at(self, offset: int) -> VoterSet | None:
        """As of a snapshot that ends here; None with kraft.version 0."""
        if not [version for at, version in self._versions if at < offset and version]:
            return None
        return next((voters for at, voters in reversed(self._history) if at < offset), self._static_voters)

    def _read_snapshot_head(self) -> int:
        """Voters and version of the latest snapshot, instead of all that was known; the offset after it."""
        self._history.clear()
        self._versions.clear()
        latest = self.latest_snapshot
        if latest is None:
            return self.start_offset
        for _, record, is_control in snapshots.decode(self.read_snapshot(latest) or b""):
            if is_control:
                self._note(latest.offset - 1, record)
        return latest.offset

    def _read_control_records(self, start: int) -> None:
        """Voters and version in the log from ``start`` on."""
        for segment in self.log.segments:
            for placed in segment.batches:
                if placed.base_offset >= start:
                    self._note_batch(segment.file.read(placed.position, placed.size))

    def _note_batch(self, data: bytes) -> None:
        if batches.header(data).is_control:
            for offset, record, _ in snapshots.decode(data):
                self._note(offset, record)

    def _note(self, offset: int, record: object) -> None:
        if isinstance(record, KRaftVersionRecord):
            self._versions.append((offset, record.k_raft_version))
        elif isinstance(record, VotersRecord):
            voters = VoterSet.from_record(record)
            if not self._given.safeguards.check_voter_directories:
                voters = voters.by_ids_alone()
            self._history.append((offset, voters))
            self._given.outbox.happened(VotersChanged(voters=tuple(self.voters.ids), at=offset))

    # ---------------------------------------------------------------------- snapshots

    def read_snapshot(self, id_: OffsetAndEpoch) -> bytes | None:
        if id_ not in self.snapshots:
            return None
        file = self._given.files.get(f"{DIRECTORY}/{snapshots.file_name(id_)}")
        return None if file is None else file.read()

    def add_snapshot(self, id_: OffsetAndEpoch, data: bytes) -> None:
        """Written here or fetched; durable once the disk has it."""
        file = self._given.files.replace(f"{DIRECTORY}/{snapshots.file_name(id_)}", data)
        self._given.outbox.flush(file)
        self.snapshots = sorted({*self.snapshots, id_})

    def epoch_at(self, offset: int) -> int:
        """The epoch of the record before ``offset``."""
        return self.log.epochs.epoch_for(offset - 1) if offset > self.start_offset else self.last_epoch

    def timestamp_before(self, offset: int) -> int:
        """Of the last batch below ``offset``."""
        for segment in reversed(self.log.segments):
            index = segment.index_before(offset)
            if index:
                return segment.batches[index - 1].max_timestamp
        return -1

    def clean(self, now: Micros, *, max_bytes: int, max_ms: int) -> bool:
        """Cut the log behind the second oldest snapshot as long as both together are too large or too old."""
        cleaned = False
        while len(self.snapshots) > 1 and self._is_too_much(now, max_bytes, max_ms):
            self._cut_before(self.snapshots[1])
            cleaned = True
        return cleaned

    def _is_too_much(self, now: Micros, max_bytes: int, max_ms: int) -> bool:
        sizes = [len(self.read_snapshot(id_) or b"") for id_ in self.snapshots]
        if max_bytes >= 0 and self.log.size + sum(sizes) > max_bytes:
            return True
        oldest = self.read_snapshot(self.snapshots[0])
        age = 0 if oldest is None else self._given.wall_ms(now) - snapshots.last_contained_timestamp(oldest)
        return 0 <= max_ms < age

    def _cut_before(self, id_: OffsetAndEpoch) -> None:
        log = self.log
        log.advance_log_start(id_.offset)
        while len(log.segments) > 1 and log.segments[1].base_offset <= id_.offset:
            log.segments.pop(0).delete()
        self._forget_before(id_)

    def _forget_before(self, id_: OffsetAndEpoch) -> None:
        for old in [known for known in self.snapshots if known < id_]:
            self._given.files.delete(f"{DIRECTORY}/{snapshots.file_name(old)}")
            self.snapshots.remove(old)
